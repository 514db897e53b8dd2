// rebound probe: linear probes of a model's residual stream beside probes of an SAE's latents.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model_plan.h"
#include "device_flag.h"
#include "probe_setup.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/io/hub_cache.h"
#include "rebound/model/transformer.h"
#include "rebound/probe/fitted_probe.h"
#include "rebound/probe/run.h"
#include "rebound/probe/text_activations.h"
#include "rebound/report/table.h"
#include "verb.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

class Clock {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

struct ProbeOutcome {
  ProbeTask task;
  Site site;
  Pooler pooler;
  ProbeReport report;
  Json facts;  // everything but the rows
};

ProbeOutcome measure_probe(const ProbeFlags& flags, const CommonFlags& common) {
  ProbeOutcome out;
  out.pooler = parse_pooler(flags.pool);
  require<ConfigError>(flags.cache_mb >= 0, "--cache-mb must be >= 0, got ", flags.cache_mb);
  out.task = load_task(flags);
  std::shared_ptr<const Sae> sae = sae_of(flags);
  out.site = parse_site(sae ? sae->config().hook_name : flags.hook);
  const std::string path = find_model(flags.model);
  const Tokenizer tokenizer = load_tokenizer(path);
  const auto chat = load_chat_template(path);
  const auto ids = encode_texts(out.task, tokenizer, chat ? &*chat : nullptr);
  constexpr int64_t kTokensAtOnce = 2048;  // of text_activations.h
  const PlannedModel plan = plan_model(
      path, common, flags.memory_limit, {.rows = kTokensAtOnce, .keys = kTokensAtOnce / 8});
  const ModelLoadOptions form =
      processed_form(plan.form, flags.has_transformer_lens_processing, sae.get());
  const Transformer model = on_flag_device(load_model(path, form), common);
  if (sae) sae = std::make_shared<const Sae>(sae->to(model.device()));
  if (sae) check_sae(*sae, model, ids);

  ActivationCache cache(
      static_cast<int64_t>(ids.size()), model.d_model(), {.memory_bytes = cache_bytes(flags.cache_mb, plan)});
  Clock clock;
  harvest_texts(model, out.site, ids, cache);
  const double harvest = clock.lap();
  const PooledFeatures features = pool_features(cache, out.pooler, sae.get());
  const double pooling = clock.lap();
  out.report = run_probes(out.task, features, flags.options);
  const double fitting = clock.lap();

  int64_t tokens = 0;
  for (const auto& text : ids) tokens += static_cast<int64_t>(text.size());
  out.facts = {
      {"task", out.task.name},
      {"hook", to_string(out.site)},
      {"pool", to_string(out.pooler)},
      {"model", name_of_path(path)},
      {"sae", sae ? Json(sae_name_of(flags)) : Json()},
      {"transformer_lens_processing", form.has_transformer_lens_processing},
      {"texts", counts_of(out.task)},
      {"dropped", dropped_of(out.task)},
      {"tokens", tokens},
      {"cache", {{"memory_bytes", cache.bytes_in_memory()}, {"disk_bytes", cache.bytes_on_disk()}}},
      {"seconds", {{"activations", harvest}, {"pooling", pooling}, {"probes", fitting}}}};
  return out;
}

Json probe_json(const ProbeOutcome& outcome) {
  Json json = outcome.facts;
  json["rows"] = Json::array();
  for (const ProbeRow& row : outcome.report.rows) json["rows"].push_back(row.to_json());
  json["deficits"] = Json::array();
  for (const ProbeDeficit& deficit : outcome.report.deficits) {
    json["deficits"].push_back(deficit.to_json());
  }
  return json;
}

std::string estimate_text(const Estimate& e) {
  char text[64];
  std::snprintf(text, sizeof text, "%.4f [%.4f, %.4f]", e.value, e.low, e.high);
  return text;
}

// One line per probe, one column per split: AUROC with its interval, and TPR at 1 % FPR.
Table probe_table(const ProbeOutcome& outcome) {
  Table table = {.title = concat(outcome.task.name, ": AUROC [95 %], TPR at 1 % FPR"),
                 .columns = {{"probe"}},
                 .rows = {}};
  std::string last;
  for (const ProbeRow& row : outcome.report.rows) {
    std::string name = row.probe;
    if (row.k) name += concat(" k=", *row.k, row.selection == "l1" ? " L1" : " mean difference");
    if (name != last) table.rows.push_back({name});
    last = name;
    if (table.rows.size() == 1) table.columns.push_back({to_string(row.split), true});
    char tpr[16];
    std::snprintf(tpr, sizeof tpr, "  %.2f", row.tpr_at_1pct_fpr);
    table.rows.back().push_back(estimate_text(row.auroc) + tpr);
  }
  if (!outcome.report.deficits.empty()) {
    table.rows.push_back({"dense - reconstruction"});
    for (const ProbeDeficit& d : outcome.report.deficits) {
      table.rows.back().push_back(estimate_text(d.auroc) + "      ");
    }
  }
  return table;
}

void print_probe(const ProbeOutcome& outcome) {
  constexpr size_t kWidth = 200;
  std::printf("%s, pool %s, %s\n",
              outcome.facts["model"].get<std::string>().c_str(),
              to_string(outcome.pooler).c_str(),
              to_string(outcome.site).c_str());
  for (const Split split : kSplits) {
    const auto n = static_cast<long long>(outcome.task.of_split(split).size());
    const auto positives = static_cast<long long>(outcome.task.positives(split));
    if (n == 0) continue;
    std::printf("  %-6s %lld positive, %lld negative\n",
                to_string(split).c_str(),
                positives,
                n - positives);
  }
  const DroppedTexts& dropped = outcome.task.dropped;
  if (dropped.size() > 0) {
    std::printf("  dropped: %zu repeated, %zu across splits, %zu with both labels\n",
                dropped.repeated.size(),
                dropped.across_splits.size(),
                dropped.contradictory.size());
  }
  std::fputs(text_tables({probe_table(outcome)}, kWidth).c_str(), stdout);
}

void save_probe_outcome(const ProbeOutcome& outcome, const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  require<IoError>(!failure, folder.string(), ": cannot create: ", failure.message());
  write_file_atomically(folder / "probe.json", probe_json(outcome).dump(1) + "\n");
  save_probe({outcome.task.name, outcome.site, outcome.pooler, outcome.report.dense.model},
             folder / "dense.safetensors");
}

void list_probe_tasks(bool as_json) {
  Json tasks = Json::array();
  for (const std::string& name : task_names()) {
    ProbeFlags flags;
    flags.task = name;
    const ProbeTask task = load_task(flags);
    tasks.push_back({{"task", name}, {"texts", counts_of(task)}, {"dropped", task.dropped.size()}});
  }
  if (as_json) {
    std::printf("%s\n", Json{{"tasks", tasks}}.dump().c_str());
    return;
  }
  for (const Json& task : tasks) {
    std::printf("%-24s", task["task"].get<std::string>().c_str());
    for (const Split split : kSplits) {
      const std::string name = to_string(split);
      if (!task["texts"].contains(name)) continue;
      const Json& n = task["texts"][name];
      const int64_t all = n["positive"].get<int64_t>() + n["negative"].get<int64_t>();
      std::printf("  %s %lld", name.c_str(), static_cast<long long>(all));
    }
    std::printf("\n");
  }
}

void probe(const ProbeFlags& flags, const CommonFlags& common) {
  if (flags.is_listing) return list_probe_tasks(common.json);
  if (!flags.monitor.empty()) return run_monitor(flags, common);
  const ProbeOutcome outcome = measure_probe(flags, common);
  if (!flags.out.empty()) save_probe_outcome(outcome, flags.out);
  if (common.json) {
    std::printf("%s\n", probe_json(outcome).dump().c_str());
  } else {
    print_probe(outcome);
  }
}

}  // namespace

void add_probe_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<ProbeFlags>();
  CLI::App* verb = app.add_subcommand("probe", "Linear probes against probes of an SAE's latents");
  verb->fallthrough();
  auto* task =
      verb->add_option("--task", flags->task, "Task; --list shows them")->capture_default_str();
  verb->add_option("--data", flags->data, "JSON lines with \"text\" and \"label\" (0 or 1)")
      ->excludes(task);
  verb->add_flag("--chat", flags->is_chat, "Texts of --data are a user's messages to the model");
  verb->add_flag("--list", flags->is_listing, "Names and sizes of the tasks");
  verb->add_option("--model", flags->model, kModelHelp);
  auto* sae =
      verb->add_option("--sae",
                       flags->sae,
                       "SAE folder, file or ORG/NAME:PATH; its site is probed [the default SAE]");
  verb->add_option("--hook", flags->hook, "Residual site; the dense probe alone")->excludes(sae);
  verb->add_option("--pool", flags->pool, "max, mean, last, or a token such as -5")
      ->capture_default_str();
  verb->add_option("--k", flags->options.k, "Latents of the sparse probes [1,2,5,10,20,50]")
      ->delimiter(',');
  verb->add_option(
          "--l2", flags->options.dense.lambda, "Penalty of dense probes [by cross-validation]")
      ->check(CLI::PositiveNumber);
  verb->add_option("--draws", flags->options.bootstrap_draws, "Of the bootstrap")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--seed", flags->options.seed, "Of the bootstrap")->capture_default_str();
  verb->add_option(
          "--cache-mb", flags->cache_mb, "Activations in memory, the rest in a mapped file")
      ->capture_default_str();
  auto* memory_limit = verb->add_option("--memory-limit", flags->memory_limit, kMemoryLimitHelp);
  auto* monitor = verb->add_option(
      "--monitor", flags->monitor, "Folder of an audit of whole answers: the probe as its monitor");
  verb->add_flag("--transformer-lens-processing",
                 flags->has_transformer_lens_processing,
                 kTransformerLensHelp)
      ->excludes(monitor);
  verb->add_option("--others", flags->others, "Of --monitor: texts of the other class; 0: none")
      ->needs(monitor)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb->add_option("--out", flags->out, "Folder for probe.json and dense.safetensors")
      ->excludes(monitor);
  verb->callback([flags, &common, &run] { run = [flags, &common] { probe(*flags, common); }; });
}

}  // namespace rebound
