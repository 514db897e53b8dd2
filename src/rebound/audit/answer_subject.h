// Model, requests and answers of an audit of whole answers: what its defence is built from and tried on.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "rebound/audit/answer_spec.h"
#include "rebound/behaviour/answer_text.h"
#include "rebound/behaviour/requests.h"
#include "rebound/intervene/clamp_plan.h"
#include "rebound/recover/cross_generate.h"
#include "rebound/text/load.h"

namespace rebound {

struct PosedRequest {
  Request request;
  std::string set;           // of requests
  std::vector<int64_t> ids;  // the chat prompt, up to where the answer begins
};

struct AnswerSubject {
  std::string model_name, model_sha256;
  std::shared_ptr<const Transformer> model;   // float32
  std::shared_ptr<const Transformer> search;  // of the spec's dtype
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat;
  std::set<int64_t> stop_tokens;
  std::vector<PosedRequest> train, test, safe;

  std::vector<int64_t> prompt_of(const std::string& request) const;
  std::string text_of(const std::vector<int64_t>& tokens) const;
};

// What a spec asks of the request sets. train: of the first set; test: set by set. Throws IoError,
// and DataError for no request to test or, in `ids` and manifests, an id that is given twice, that
// no set has, or that is in the split the defence is chosen on.
struct ChosenRequests {
  struct OfSet {
    std::string set;
    std::vector<Request> requests;
  };
  OfSet train;
  std::vector<OfSet> test;
};
ChosenRequests choose_requests(const AnswerBehaviourSpec& spec);

// Number of the near-duplicates of each test request: those of one set and cluster share it. Sets
// number their clusters independently.
std::vector<int64_t> cluster_numbers(const std::vector<PosedRequest>& requests);

// Throws ConfigError, DataError or IoError; a model without a chat template is a DataError.
AnswerSubject load_answer_subject(const AnswerAuditSpec& spec);

// Greedy answers to the requests under `hooks`.
std::vector<std::vector<int64_t>> answer_all(const AnswerSubject& subject, const std::vector<PosedRequest>& requests,
                                             const Hooks& hooks, int64_t max_new_tokens);

// Verdicts of answers to the requests.
std::vector<AnswerAssessment> assess_all(const AnswerSubject& subject, const std::vector<PosedRequest>& requests,
                                         const std::vector<std::vector<int64_t>>& answers);

}  // namespace rebound
