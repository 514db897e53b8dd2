#include "rebound/audit/answer_subject.h"

#include <torch/torch.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "rebound/audit/run_memory.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/parallel.h"
#include "rebound/base/progress.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/io/hub_cache.h"
#include "rebound/model/device.h"
#include "rebound/model/generate_batch.h"

namespace rebound {
namespace {

std::vector<Request> load_requests(const std::string& name) {
  const auto names = request_set_names();
  return std::find(names.begin(), names.end(), name) != names.end() ? request_set(name) : read_requests(name);
}

std::vector<PosedRequest> pose(const AnswerSubject& subject, const std::vector<Request>& requests, const std::string& set,
                               int64_t most) {
  std::vector<PosedRequest> posed;
  for (const Request& request : requests) {
    if (static_cast<int64_t>(posed.size()) == most) break;
    posed.push_back({request, set, subject.prompt_of(request.text)});
  }
  return posed;
}

// Ids of one set, from {"set": [ids]}.
std::vector<std::string> manifest_ids(const std::string& manifest, const std::string& set) {
  const std::filesystem::path path = find_project_path(manifest);
  const Json json = read_json_file(path);
  require<DataError>(json.is_object() && json.contains(set) && json.at(set).is_array(), path.string(), ": got no list \"",
                     set, "\", expected {\"", set, "\": [ids]}");
  return json.at(set).get<std::vector<std::string>>();
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

}  // namespace

std::vector<int64_t> AnswerSubject::prompt_of(const std::string& request) const {
  return chat->encode_chat(*tokenizer, {{"user", request}}, {.add_generation_prompt = true});
}

std::string AnswerSubject::text_of(const std::vector<int64_t>& tokens) const { return tokenizer->decode(tokens); }

AnswerSubject load_answer_subject(const AnswerAuditSpec& spec) {
  AnswerSubject subject;
  const std::string path = find_model(spec.model);
  say(concat("loading ", path));
  subject.model = std::make_shared<const Transformer>(load_model(path, whole_form(spec.dtype)));
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

  bool is_first = true;
  for (const std::string& set : spec.behaviour.requests) {
    const std::vector<Request> all = load_requests(set);
    if (is_first) subject.train = pose(subject, requests_of_split(all, "train"), set, spec.behaviour.n_train);
    is_first = false;
    std::vector<std::string> ids = spec.behaviour.ids;
    if (ids.empty() && !spec.behaviour.manifest.empty()) ids = manifest_ids(spec.behaviour.manifest, set);
    const std::vector<Request> chosen = ids.empty() ? requests_of_split(all, "test") : with_ids(all, ids);
    for (PosedRequest& request : pose(subject, chosen, set, spec.behaviour.n_test)) {
      subject.test.push_back(std::move(request));
    }
  }
  require<DataError>(!subject.test.empty(), "behaviour.requests: got no test request, expected at least one");
  require<DataError>(!subject.train.empty() || spec.defence.kind == "edits",
                     "behaviour.requests: got no train request to choose the defence on, expected at least one");
  subject.safe = pose(subject, requests_of_split(request_set("xstest_safe"), "train"), "xstest_safe", spec.defence.n_safe);
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
