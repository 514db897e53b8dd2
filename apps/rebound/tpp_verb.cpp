// rebound tpp: targeted probe perturbation, and whether the probe's reading comes back.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model_plan.h"
#include "rebound/audit/subject.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/io/hub_cache.h"
#include "rebound/model/transformer.h"
#include "rebound/probe/class_task.h"
#include "rebound/probe/text_activations.h"
#include "rebound/probe/tpp.h"
#include "rebound/report/table.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/self_check.h"
#include "rebound/text/load.h"
#include "tpp_scr.h"
#include "verb.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr size_t kTppCheckTexts = 24;
constexpr int64_t kTppContext = 128;  // tokens, as SAEBench's

struct TppFlags {
  std::string task = "wikitext_topic_6";
  std::string data;  // a file in place of a named task
  std::string model, sae, out;
  bool is_listing = false, is_scr = false;
  bool has_transformer_lens_processing = false;
  int64_t cache_mb = 512;
  int64_t texts = 0;  // of a class in a split
  TppOptions options;
};

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(find_project_path("data/probes/classes"))) {
    if (entry.path().extension() == ".jsonl") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

fs::path path_of(const TppFlags& flags) {
  if (!flags.data.empty()) return flags.data;
  const std::vector<std::string> names = task_names();
  std::string known;
  for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
  require<ConfigError>(std::find(names.begin(), names.end(), flags.task) != names.end(),
                       "--task: got ",
                       flags.task,
                       ", expected one of: ",
                       known);
  return find_project_path("data/probes/classes/" + flags.task + ".jsonl");
}

Json counts_of(const ClassTask& task) {
  Json counts = Json::object();
  for (int64_t which = 0; which < task.n_classes(); ++which) {
    counts[task.classes[static_cast<size_t>(which)]] = {
        {"train", task.of_class(which, Split::kTrain).size()},
        {"test", task.of_class(which, Split::kTest).size()}};
  }
  return counts;
}

struct TppOutcome {
  TppReport report;
  Json json;
};

Json tpp_json(const TppReport& report, const ClassTask& task) {
  Json json = {{"rows", Json::array()}, {"scores", Json::array()}, {"lambda", Json::object()}};
  for (const TppRow& row : report.rows) json["rows"].push_back(row.to_json());
  for (const auto& [n, tpp] : report.scores) json["scores"].push_back({{"n", n}, {"tpp", tpp}});
  for (size_t i = 0; i < report.lambda.size(); ++i)
    json["lambda"][task.classes[i]] = report.lambda[i];
  return json;
}

// What needs no model is looked at before the model is read.
TppOutcome measure_tpp(const TppFlags& flags, const CommonFlags& common) {
  require<ConfigError>(flags.cache_mb >= 0, "--cache-mb must be >= 0, got ", flags.cache_mb);
  flags.options.recovery.validate();
  const ClassTask task = first_of_each(read_class_task(path_of(flags)), flags.texts);
  const std::string sae_path = find_sae(flags.sae);
  const Sae sae = load_sae(sae_path);
  for (const int64_t n : flags.options.n) {
    require<ConfigError>(n >= 1 && n <= sae.d_sae(),
                         "--n: got ",
                         n,
                         ", expected 1 to ",
                         sae.d_sae(),
                         ", the latents of the SAE");
  }
  const std::string path = find_model(flags.model);
  const HarvestOptions harvest = {.max_tokens = kTppContext};
  const ProbeTask texts = {.name = task.name, .texts = task.texts};
  const auto ids = encode_texts(texts, load_tokenizer(path), nullptr, harvest);
  const ModelLoadOptions form =
      processed_form(dtype_named(common.dtype), flags.has_transformer_lens_processing, &sae);
  const Transformer model = load_model(path, form);
  check_fits(sae, model.config());
  const auto few = static_cast<int64_t>(std::min(ids.size(), kTppCheckTexts));
  require_good_fit(self_check(
      sae,
      model,
      TokenBatch::from(std::vector<std::vector<int64_t>>(ids.begin(), ids.begin() + few))));

  ActivationCache cache(
      static_cast<int64_t>(ids.size()), model.d_model(), {.memory_bytes = flags.cache_mb << 20});
  harvest_texts(model, parse_site(sae.config().hook_name), ids, cache, harvest);
  TppOutcome out = {.report = run_tpp(task, cache, sae, flags.options)};
  out.json = tpp_json(out.report, task);
  out.json.update({{"task", task.name},
                   {"hook", sae.config().hook_name},
                   {"model", name_of_path(path)},
                   {"sae", name_of_path(fs::path(sae_path).lexically_normal())},
                   {"transformer_lens_processing", form.has_transformer_lens_processing},
                   {"texts", counts_of(task)},
                   {"dropped", task.dropped},
                   {"budget", flags.options.recovery.budget},
                   {"perturbed", flags.options.recovery.perturbed},
                   {"threat", "after_clamp"},
                   {"tokens", cache.token_count()},
                   {"scr", nullptr}});
  return out;
}

std::string fixed(double value, const char* format = "%.3f") {
  if (!std::isfinite(value)) return "-";
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string share(int64_t count, int64_t n) { return n == 0 ? "-" : concat(count, "/", n); }

Table tpp_table(const TppReport& report, const std::string& title) {
  Table table = {.title = title,
                 .columns = {{"class"},
                             {"n", true},
                             {"accuracy", true},
                             {"TPP", true},
                             {"own drop", true},
                             {"other drop", true},
                             {"none", true},
                             {"encoder", true},
                             {"without reactivation", true},
                             {"minimal budget", true},
                             {"reactivated", true},
                             {"drift pre", true},
                             {"drift post", true},
                             {"certificate", true}},
                 .rows = {}};
  for (const TppRow& row : report.rows) {
    const PooledRecovery &none = row.none, &encoder = row.encoder;
    table.rows.push_back(
        {row.name,
         std::to_string(row.n),
         fixed(row.accuracy),
         fixed(row.tpp),
         fixed(row.own_drop),
         fixed(row.other_drop),
         share(none.recovered, none.n),
         share(encoder.recovered, encoder.n),
         share(none.zero_reactivation, none.n) + ", " + share(encoder.zero_reactivation, encoder.n),
         fixed(none.minimal_budget, "%.2f") + ", " + fixed(encoder.minimal_budget, "%.2f"),
         fixed(none.reactivated_fraction, "%.4f") + ", " +
             fixed(encoder.reactivated_fraction, "%.4f"),
         fixed(none.drift_pre, "%.2f") + ", " + fixed(encoder.drift_pre, "%.1e"),
         fixed(none.drift_post, "%.2f") + ", " + fixed(encoder.drift_post, "%.1e"),
         fixed(std::fmin(none.certificate_ratio, encoder.certificate_ratio), "%.4f")});
  }
  table.note =
      "pairs: none, encoder; drift is a mean over valid flips, the minimal budget a median";
  return table;
}

void print_tpp(const TppOutcome& outcome) {
  constexpr size_t kWidth = 200;
  const Json& json = outcome.json;
  std::printf("%s, %s, %lld classes, budget %g\n",
              json["model"].get<std::string>().c_str(),
              json["hook"].get<std::string>().c_str(),
              static_cast<long long>(json["texts"].size()),
              json["budget"].get<double>());
  const Table table = tpp_table(outcome.report, json["task"].get<std::string>());
  std::fputs(text_tables({table}, kWidth).c_str(), stdout);
  for (const auto& [n, tpp] : outcome.report.scores) {
    std::printf("  TPP_%lld %.3f\n", static_cast<long long>(n), tpp);
  }
}

void save_tpp(const TppOutcome& outcome, const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  require<IoError>(!failure, folder.string(), ": cannot create: ", failure.message());
  write_file_atomically(folder / "tpp.json", outcome.json.dump(1) + "\n");
}

void list_tpp_tasks(bool as_json) {
  Json tasks = Json::array();
  for (const std::string& name : task_names()) {
    TppFlags flags;
    flags.task = name;
    const ClassTask task = read_class_task(path_of(flags));
    tasks.push_back({{"task", name}, {"texts", counts_of(task)}, {"dropped", task.dropped}});
  }
  if (as_json) {
    std::printf("%s\n", Json{{"tasks", tasks}}.dump().c_str());
    return;
  }
  for (const Json& task : tasks) {
    std::printf("%s\n", task["task"].get<std::string>().c_str());
    for (const auto& [name, n] : task["texts"].items()) {
      std::printf(
          "  %-12s train %d  test %d\n", name.c_str(), n["train"].get<int>(), n["test"].get<int>());
    }
  }
}

void tpp(const TppFlags& flags, const CommonFlags& common) {
  if (flags.is_listing) return list_tpp_tasks(common.json);
  if (flags.is_scr) {
    return run_scr_verb({.data = flags.data,
                         .model = flags.model,
                         .sae = flags.sae,
                         .out = flags.out,
                         .has_transformer_lens_processing = flags.has_transformer_lens_processing,
                         .cache_mb = flags.cache_mb,
                         .texts = flags.texts,
                         .options = {flags.options.n, flags.options.probe, flags.options.seed}},
                        common);
  }
  const TppOutcome outcome = measure_tpp(flags, common);
  if (!flags.out.empty()) save_tpp(outcome, flags.out);
  if (common.json) {
    std::printf("%s\n", outcome.json.dump().c_str());
  } else {
    print_tpp(outcome);
  }
}

}  // namespace

void add_tpp_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<TppFlags>();
  CLI::App* verb = app.add_subcommand("tpp", "Targeted probe perturbation, and recovery after it");
  verb->fallthrough();
  auto* task =
      verb->add_option("--task", flags->task, "Task; --list shows them")->capture_default_str();
  verb->add_option("--data", flags->data, "JSON lines with \"text\", \"label\", \"split\"")
      ->excludes(task);
  verb->add_flag("--list", flags->is_listing, "Names and sizes of the tasks");
  verb->add_flag("--scr",
                 flags->is_scr,
                 "Spurious correlation removal instead, of intent_wrapper or --data with "
                 "\"spurious\", too")
      ->excludes(task);
  verb->add_option("--model", flags->model, kModelHelp);
  verb->add_option("--sae",
                   flags->sae,
                   "SAE folder, file or ORG/NAME:PATH; its site is probed [the default SAE]");
  verb->add_option("--n", flags->options.n, "Features ablated [2,5,10,20,50,100,500]")
      ->delimiter(',');
  verb->add_option("--budget", flags->options.recovery.budget, "Cap on the perturbation of a text")
      ->capture_default_str();
  verb->add_option(
          "--perturbed", flags->options.recovery.perturbed, "Last tokens perturbed; 0: all")
      ->capture_default_str();
  verb->add_option(
          "--l2", flags->options.probe.lambda, "Penalty of the probes [by cross-validation]")
      ->check(CLI::PositiveNumber);
  verb->add_option("--texts", flags->texts, "Texts of a class in each split; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb->add_option("--seed", flags->options.seed, "Of the texts that stand against a class")
      ->capture_default_str();
  verb->add_option(
          "--cache-mb", flags->cache_mb, "Activations in memory, the rest in a mapped file")
      ->capture_default_str();
  verb->add_flag("--transformer-lens-processing",
                 flags->has_transformer_lens_processing,
                 kTransformerLensHelp);
  verb->add_option("--out", flags->out, "Folder for tpp.json");
  verb->callback([flags, &common, &run] { run = [flags, &common] { tpp(*flags, common); }; });
}

}  // namespace rebound
