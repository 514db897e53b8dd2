// rebound probe: linear probes of a model's residual stream beside probes of an SAE's latents.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/behaviour/requests.h"
#include "rebound/model/transformer.h"
#include "rebound/probe/fitted_probe.h"
#include "rebound/probe/harmful_intent.h"
#include "rebound/probe/run.h"
#include "rebound/probe/text_activations.h"
#include "rebound/report/table.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/self_check.h"
#include "verb.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHarmfulIntent = "harmful_intent";
constexpr const char* kDefaultSae = "assets/sae/smollm2-135m-instruct-l12";
constexpr size_t kSelfCheckTexts = 24;

struct ProbeFlags {
  std::string task = kHarmfulIntent;
  std::string data;  // a file in place of a named task
  std::string model, hook, sae;
  std::string pool = "max";
  std::string out;
  bool is_chat = false, is_listing = false;
  int64_t cache_mb = 512;
  ProbeOptions options;
};

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(find_project_path("data/probes"))) {
    if (entry.path().extension() == ".jsonl") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  names.insert(names.begin(), kHarmfulIntent);
  return names;
}

std::vector<LabelledText> requests_of(const std::string& set) {
  std::vector<LabelledText> texts;
  for (const Request& request : request_set(set)) {
    LabelledText text = {.id = request.id,
                         .text = request.text,
                         .is_positive = request.is_harmful,
                         .group = concat(set, "-", request.cluster)};
    if (set == "harmless") text.group = concat("dolly-", request.cluster);
    text.split = request.split == "train" ? Split::kTrain : Split::kTest;
    if (set == "harmbench") text.split = Split::kOod;
    if (set == "xstest_safe") text.split = Split::kHard;
    const bool is_other_form = set == "harmless" && request.category != "imperative";
    if (!is_other_form) texts.push_back(std::move(text));
  }
  return texts;
}

// AdvBench and Dolly's imperatives in train and test, HarmBench and other people's requests out of
// distribution, XSTest as the hard set.
ProbeTask load_harmful_intent() {
  std::vector<LabelledText> texts;
  const auto add = [&](std::vector<LabelledText> more) {
    texts.insert(texts.end(), more.begin(), more.end());
  };
  for (const char* set : {"advbench", "harmless", "harmbench", "xstest_safe"})
    add(requests_of(set));
  for (const char* name : {"harmless_imperatives", "harmless_other", "xstest_unsafe"}) {
    add(read_labelled_texts(
        find_project_path(concat("data/probes/", kHarmfulIntent, "/", name, ".jsonl"))));
  }
  return harmful_intent_task(texts);
}

ProbeTask load_task(const ProbeFlags& flags) {
  if (!flags.data.empty()) {
    return make_task(fs::path(flags.data).stem(), read_labelled_texts(flags.data), flags.is_chat);
  }
  if (flags.task == kHarmfulIntent) return load_harmful_intent();
  std::string known;
  bool is_known = false;
  for (const std::string& name : task_names()) {
    known += (known.empty() ? "" : ", ") + name;
    is_known = is_known || name == flags.task;
  }
  require<ConfigError>(is_known, "--task: got ", flags.task, ", expected one of: ", known);
  return make_task(flags.task,
                   read_labelled_texts(find_project_path("data/probes/" + flags.task + ".jsonl")),
                   flags.is_chat);
}

Json counts_of(const ProbeTask& task) {
  Json counts = Json::object();
  for (const Split split : kSplits) {
    const auto n = static_cast<int64_t>(task.of_split(split).size());
    const int64_t positives = task.positives(split);
    if (n > 0) counts[to_string(split)] = {{"positive", positives}, {"negative", n - positives}};
  }
  return counts;
}

Json dropped_of(const ProbeTask& task) {
  return {{"repeated", task.dropped.repeated},
          {"across_splits", task.dropped.across_splits},
          {"contradictory", task.dropped.contradictory}};
}

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

struct Outcome {
  ProbeTask task;
  Site site;
  Pooler pooler;
  ProbeReport report;
  Json facts;  // everything but the rows
};

std::optional<Sae> sae_of(const ProbeFlags& flags) {
  require<ConfigError>(flags.hook.empty() || flags.options.k.empty(),
                       "--k: got it with --hook, expected --sae: sparse probes read latents");
  if (!flags.hook.empty()) return std::nullopt;
  return load_sae(flags.sae.empty() ? find_project_path(kDefaultSae) : fs::path(flags.sae));
}

Outcome measure(const ProbeFlags& flags, const CommonFlags& common) {
  Outcome out;
  out.pooler = parse_pooler(flags.pool);
  require<ConfigError>(flags.cache_mb >= 0, "--cache-mb must be >= 0, got ", flags.cache_mb);
  out.task = load_task(flags);
  const std::optional<Sae> sae = sae_of(flags);
  out.site = parse_site(sae ? sae->config().hook_name : flags.hook);
  const std::string path = find_model(flags.model);
  const Tokenizer tokenizer = load_tokenizer(path);
  const auto chat = load_chat_template(path);
  const auto ids = encode_texts(out.task, tokenizer, chat ? &*chat : nullptr);
  const Transformer model =
      load_model(path, common.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat);
  if (sae) {
    check_fits(*sae, model.config());
    const std::vector<std::vector<int64_t>> some(
        ids.begin(), ids.begin() + static_cast<int64_t>(std::min(ids.size(), kSelfCheckTexts)));
    require_good_fit(self_check(*sae, model, TokenBatch::from(some)));
  }

  ActivationCache cache(
      static_cast<int64_t>(ids.size()), model.d_model(), {.memory_bytes = flags.cache_mb << 20});
  Clock clock;
  harvest_texts(model, out.site, ids, cache);
  const double harvest = clock.lap();
  const PooledFeatures features = pool_features(cache, out.pooler, sae ? &*sae : nullptr);
  const double pooling = clock.lap();
  out.report = run_probes(out.task, features, flags.options);
  const double fitting = clock.lap();

  int64_t tokens = 0;
  for (const auto& text : ids) tokens += static_cast<int64_t>(text.size());
  out.facts = {
      {"task", out.task.name},
      {"hook", to_string(out.site)},
      {"pool", to_string(out.pooler)},
      {"model", fs::path(path).filename()},
      {"sae",
       sae ? Json(fs::path(flags.sae.empty() ? kDefaultSae : flags.sae)
                      .lexically_normal()
                      .filename())
           : Json()},
      {"texts", counts_of(out.task)},
      {"dropped", dropped_of(out.task)},
      {"tokens", tokens},
      {"cache", {{"memory_bytes", cache.bytes_in_memory()}, {"disk_bytes", cache.bytes_on_disk()}}},
      {"seconds", {{"activations", harvest}, {"pooling", pooling}, {"probes", fitting}}}};
  return out;
}

Json json_of(const Outcome& outcome) {
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
Table table_of(const Outcome& outcome) {
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

void print(const Outcome& outcome) {
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
  std::fputs(text_tables({table_of(outcome)}, kWidth).c_str(), stdout);
}

void save(const Outcome& outcome, const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  require<IoError>(!failure, folder.string(), ": cannot create: ", failure.message());
  write_file_atomically(folder / "probe.json", json_of(outcome).dump(1) + "\n");
  save_probe({outcome.task.name, outcome.site, outcome.pooler, outcome.report.dense.model},
             folder / "dense.safetensors");
}

void list_tasks(bool as_json) {
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
  if (flags.is_listing) return list_tasks(common.json);
  const Outcome outcome = measure(flags, common);
  if (!flags.out.empty()) save(outcome, flags.out);
  if (common.json) {
    std::printf("%s\n", json_of(outcome).dump().c_str());
  } else {
    print(outcome);
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
  verb->add_option("--model", flags->model, "GGUF file or Hugging Face folder [the default model]");
  auto* sae =
      verb->add_option("--sae", flags->sae, "SAELens folder; its site is probed [the default SAE]");
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
  verb->add_option("--out", flags->out, "Folder for probe.json and dense.safetensors");
  verb->callback([flags, &common, &run] { run = [flags, &common] { probe(*flags, common); }; });
}

}  // namespace rebound
