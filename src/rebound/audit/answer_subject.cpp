#include "rebound/audit/answer_subject.h"

#include <torch/torch.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "rebound/audit/clamp_file.h"
#include "rebound/audit/run_memory.h"
#include "rebound/audit/subject.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/parallel.h"
#include "rebound/base/progress.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/io/hub_cache.h"
#include "rebound/model/device.h"
#include "rebound/model/generate_batch.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/self_check.h"

namespace rebound {
namespace {

std::vector<Request> load_requests(const std::string& name) {
  const auto names = request_set_names();
  return std::find(names.begin(), names.end(), name) != names.end() ? request_set(name) : read_requests(name);
}

std::vector<PosedRequest> pose(const AnswerSubject& subject, const ChosenRequests::OfSet& chosen) {
  std::vector<PosedRequest> posed;
  for (const Request& request : chosen.requests) {
    posed.push_back({request, chosen.set, subject.prompt_of(request.text)});
  }
  return posed;
}

std::vector<Request> first_of(std::vector<Request> requests, int64_t most) {
  if (static_cast<int64_t>(requests.size()) > most) requests.resize(static_cast<size_t>(most));
  return requests;
}

// Ids of one set, from {"set": [ids]}.
std::vector<std::string> manifest_ids(const std::string& manifest, const std::string& set) {
  const std::filesystem::path path = find_project_path(manifest);
  const Json json = read_json_file(path);
  require<DataError>(json.is_object() && json.contains(set) && json.at(set).is_array(), path.string(), ": got no list \"",
                     set, "\", expected {\"", set, "\": [ids]}");
  return json.at(set).get<std::vector<std::string>>();
}

// Of several sets, the first one's train split chooses the defence. `where` they were given.
void check_ids(const std::vector<std::string>& ids,
               const std::vector<std::vector<Request>>& sets,
               bool is_first_trained_on,
               const std::string& where) {
  std::set<std::string> known, trained_on, seen;
  for (size_t i = 0; i < sets.size(); ++i) {
    for (const Request& request : sets[i]) {
      known.insert(request.id);
      if (i == 0 && is_first_trained_on && request.split == "train") trained_on.insert(request.id);
    }
  }
  for (const std::string& id : ids) {
    require<DataError>(known.count(id), where, ": got \"", id, "\", expected an id of behaviour.requests");
    require<DataError>(seen.insert(id).second, where, ": got \"", id, "\" twice, expected every id once");
    require<DataError>(!trained_on.count(id), where, ": got \"", id,
                       "\" of the train split, which the defence is chosen on, expected requests of another split");
  }
}

std::vector<Request> with_ids(const std::vector<Request>& requests, const std::vector<std::string>& ids) {
  std::map<std::string, const Request*> by_id;
  for (const Request& request : requests) by_id[request.id] = &request;
  std::vector<Request> chosen;
  for (const std::string& id : ids) {
    if (const auto found = by_id.find(id); found != by_id.end()) chosen.push_back(*found->second);
  }
  return chosen;
}

// The requests of set i to test: those of the spec's ids, those of the manifest, or the test split.
std::vector<Request> tested(const AnswerBehaviourSpec& spec, const std::vector<std::vector<Request>>& sets, size_t i) {
  if (!spec.ids.empty()) return with_ids(sets[i], spec.ids);
  if (spec.manifest.empty()) return first_of(requests_of_split(sets[i], "test"), spec.n_test);
  const std::vector<std::string> ids = manifest_ids(spec.manifest, spec.requests[i]);
  check_ids(ids, {sets[i]}, i == 0, concat(spec.manifest, ": ", spec.requests[i]));
  return first_of(with_ids(sets[i], ids), spec.n_test);
}

// SAEs that a defence is made of say on what weights they were trained.
ModelLoadOptions form_of(const AnswerAuditSpec& spec) {
  ModelLoadOptions form = whole_form(spec.dtype);
  form.has_transformer_lens_processing = spec.has_transformer_lens_processing;
  if (form.has_transformer_lens_processing || spec.defence.kind == "directions") return form;
  if (spec.defence.kind == "edits") {
    form.has_transformer_lens_processing = has_processed_sae(spec.defence.edits);
    return form;
  }
  size_t asking = 0;
  for (const std::string& sae : spec.defence.saes) {
    asking += load_options_of(load_sae(find_sae(sae))).has_transformer_lens_processing;
  }
  require<ConfigError>(asking == 0 || asking == spec.defence.saes.size(), "defence.saes: got ", asking, " of ",
                       spec.defence.saes.size(),
                       " SAEs that were trained on weights as TransformerLens has them, expected all or none");
  form.has_transformer_lens_processing = asking > 0;
  return form;
}

}  // namespace

std::vector<int64_t> AnswerSubject::prompt_of(const std::string& request) const {
  return chat->encode_chat(*tokenizer, {{"user", request}}, {.add_generation_prompt = true});
}

std::string AnswerSubject::text_of(const std::vector<int64_t>& tokens) const { return tokenizer->decode(tokens); }

ChosenRequests choose_requests(const AnswerBehaviourSpec& spec) {
  std::vector<std::vector<Request>> sets;
  for (const std::string& set : spec.requests) sets.push_back(load_requests(set));
  check_ids(spec.ids, sets, /*is_first_trained_on=*/true, "behaviour.ids");
  ChosenRequests chosen;
  size_t n_test = 0;
  for (size_t i = 0; i < sets.size(); ++i) {
    if (i == 0) chosen.train = {spec.requests[i], first_of(requests_of_split(sets[i], "train"), spec.n_train)};
    chosen.test.push_back({spec.requests[i], tested(spec, sets, i)});
    n_test += chosen.test.back().requests.size();
  }
  require<DataError>(n_test > 0, "behaviour.requests: got no test request, expected at least one");
  return chosen;
}

std::vector<int64_t> cluster_numbers(const std::vector<PosedRequest>& requests) {
  std::map<std::pair<std::string, int64_t>, int64_t> number;
  std::vector<int64_t> numbers;
  for (const PosedRequest& posed : requests) {
    const auto next = static_cast<int64_t>(number.size());
    numbers.push_back(number.emplace(std::pair{posed.set, posed.request.cluster}, next).first->second);
  }
  return numbers;
}

AnswerSubject load_answer_subject(const AnswerAuditSpec& spec) {
  const ChosenRequests requests = choose_requests(spec.behaviour);
  AnswerSubject subject;
  const std::string path = find_model(spec.model);
  say(concat("loading ", path));
  subject.model = std::make_shared<const Transformer>(load_model(path, form_of(spec)));
  if (const at::Device device = device_named(spec.device); !device.is_cpu()) {
    subject.model = std::make_shared<const Transformer>(subject.model->to(device));
    if (device.is_cuda()) limit_workers(1);
  }
  subject.search = searched_in(spec.dtype, subject.model);
  subject.tokenizer = std::make_shared<const Tokenizer>(load_tokenizer(path));
  auto chat = load_chat_template(path);
  require<DataError>(chat.has_value(), path, ": got no chat template, expected one (answers are given in a chat)");
  subject.chat = std::make_shared<const ChatTemplate>(std::move(*chat));
  subject.model_name = name_of_path(path);
  if (std::filesystem::is_regular_file(path)) subject.model_sha256 = sha256_of_file(path);
  subject.stop_tokens = end_of_turn_tokens(*subject.tokenizer);

  subject.train = pose(subject, requests.train);
  for (const ChosenRequests::OfSet& chosen : requests.test) {
    for (PosedRequest& posed : pose(subject, chosen)) subject.test.push_back(std::move(posed));
  }
  require<DataError>(!subject.train.empty() || spec.defence.kind == "edits",
                     "behaviour.requests: got no train request to choose the defence on, expected at least one");
  subject.safe = pose(
      subject, {"xstest_safe", first_of(requests_of_split(request_set("xstest_safe"), "train"), spec.defence.n_safe)});
  return subject;
}

std::vector<std::vector<int64_t>> answer_all(const AnswerSubject& subject, const std::vector<PosedRequest>& requests,
                                             const Hooks& hooks, int64_t max_new_tokens) {
  std::vector<std::vector<int64_t>> prompts;
  for (const PosedRequest& request : requests) prompts.push_back(request.ids);
  GenerateBatchOptions options;
  options.max_new_tokens = max_new_tokens;
  options.stop_tokens = subject.stop_tokens;
  options.keeps_finished = false;
  options.is_split_allowed = true;
  return generate_batch(*subject.model, prompts, options, hooks);
}

std::vector<AnswerAssessment> assess_all(const AnswerSubject& subject, const std::vector<PosedRequest>& requests,
                                         const std::vector<std::vector<int64_t>>& answers) {
  std::vector<AnswerAssessment> assessed;
  for (size_t i = 0; i < answers.size(); ++i) {
    assessed.push_back(assess_answer(subject.text_of(answers[i]), requests[i].request.text));
  }
  return assessed;
}

}  // namespace rebound
