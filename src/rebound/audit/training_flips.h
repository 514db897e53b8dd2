// The flips on which a shared perturbation is fitted.
#pragma once

#include <memory>
#include <vector>

#include "rebound/audit/batch_context.h"

namespace rebound {

// Valid flips of the training prompts. Of facts: of the facts outside `fold` under the defence of
// `fold`, so that what is fitted meets neither the facts that it is tested on nor a defence that
// saw them. At most 32, of facts taken evenly from all folds: a shared delta has d_model numbers,
// and more flips cost more than they tell.
class TrainingFlips {
 public:
  TrainingFlips(const Subject& subject, const AuditSpec& spec, int64_t fold);

  const BatchContext* context() const { return context_.get(); }  // null where nothing flips

 private:
  std::shared_ptr<const std::vector<Prompt>> prompts_;  // what the context points into
  std::unique_ptr<BatchContext> context_;
};

}  // namespace rebound
