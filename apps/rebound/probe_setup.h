// What the verb `probe` and its monitor share: flags, tasks by name, SAE.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rebound/behaviour/requests.h"
#include "rebound/model/transformer.h"
#include "rebound/probe/run.h"
#include "rebound/probe/task.h"
#include "rebound/sae/sae.h"
#include "verb.h"

namespace rebound {

inline constexpr const char* kHarmfulIntent = "harmful_intent";

struct ProbeFlags {
  std::string task = kHarmfulIntent;
  std::string data;  // a file in place of a named task
  std::string model, hook, sae;
  std::string pool = "max";
  std::string out, memory_limit;
  std::string monitor;   // run folder
  int64_t others = 100;  // of the monitor: texts of the other class
  bool is_chat = false, is_listing = false;
  bool has_transformer_lens_processing = false;
  int64_t cache_mb = 512;
  ProbeOptions options;
};

std::vector<std::string> task_names();
// What harmful_intent is made of, unwrapped (probe/harmful_intent.h).
std::vector<LabelledText> intent_requests();
// Throws ConfigError for an unknown name, else as read_labelled_texts and make_task.
ProbeTask load_task(const ProbeFlags& flags);
// {"train": {"positive", "negative"}, ...} and the ids that make_task dropped.
Json counts_of(const ProbeTask& task);
Json dropped_of(const ProbeTask& task);

// Near-duplicates of a request set that must stay on one side of every split.
std::string group_of(const std::string& set, const Request& request);

// Null with --hook. Without --sae the default one.
std::shared_ptr<const Sae> sae_of(const ProbeFlags& flags);
std::string sae_name_of(const ProbeFlags& flags);
// Runs the SAE on the first texts; throws DataError where it does not fit the model.
void check_sae(const Sae& sae,
               const Transformer& model,
               const std::vector<std::vector<int64_t>>& texts);

// rebound probe --monitor RUN
void run_monitor(const ProbeFlags& flags, const CommonFlags& common);

}  // namespace rebound
