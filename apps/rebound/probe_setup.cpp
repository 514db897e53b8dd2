#include "probe_setup.h"

#include <algorithm>
#include <filesystem>

#include "rebound/audit/subject.h"
#include "rebound/base/error.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/io/hub_cache.h"
#include "rebound/probe/harmful_intent.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/self_check.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSelfCheckTexts = 24;

std::vector<LabelledText> requests_of(const std::string& set) {
  std::vector<LabelledText> texts;
  for (const Request& request : request_set(set)) {
    LabelledText text = {.id = request.id,
                         .text = request.text,
                         .is_positive = request.is_harmful,
                         .group = group_of(set, request)};
    text.split = request.split == "train" ? Split::kTrain : Split::kTest;
    if (set == "harmbench") text.split = Split::kOod;
    if (set == "xstest_safe") text.split = Split::kHard;
    const bool is_other_form = set == "harmless" && request.category != "imperative";
    if (!is_other_form) texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace

// AdvBench and Dolly's imperatives in train and test, HarmBench and other people's requests out of
// distribution, XSTest as the hard set.
std::vector<LabelledText> intent_requests() {
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
  return texts;
}

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

ProbeTask load_task(const ProbeFlags& flags) {
  if (!flags.data.empty()) {
    return make_task(fs::path(flags.data).stem(), read_labelled_texts(flags.data), flags.is_chat);
  }
  if (flags.task == kHarmfulIntent) return harmful_intent_task(intent_requests());
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

std::string group_of(const std::string& set, const Request& request) {
  return concat(set == "harmless" ? "dolly" : set, "-", request.cluster);
}

std::shared_ptr<const Sae> sae_of(const ProbeFlags& flags) {
  require<ConfigError>(flags.hook.empty() || flags.options.k.empty(),
                       "--k: got it with --hook, expected --sae: sparse probes read latents");
  if (!flags.hook.empty()) return nullptr;
  return std::make_shared<const Sae>(load_sae(find_sae(flags.sae)));
}

std::string sae_name_of(const ProbeFlags& flags) {
  return name_of_path(fs::path(find_sae(flags.sae)).lexically_normal());
}

void check_sae(const Sae& sae,
               const Transformer& model,
               const std::vector<std::vector<int64_t>>& texts) {
  check_fits(sae, model.config());
  const std::vector<std::vector<int64_t>> some(
      texts.begin(), texts.begin() + static_cast<int64_t>(std::min(texts.size(), kSelfCheckTexts)));
  require_good_fit(self_check(sae, model, TokenBatch::from(some)));
}

}  // namespace rebound
