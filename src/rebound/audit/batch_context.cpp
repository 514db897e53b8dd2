#include "rebound/audit/batch_context.h"

#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"

namespace rebound {
namespace {

std::vector<double> read_column(const at::Tensor& tensor) {
  const at::Tensor values = tensor.cpu().to(at::kDouble).contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

std::vector<std::vector<int64_t>> ids_of(const std::vector<ScoredExample>& flips) {
  std::vector<std::vector<int64_t>> ids;
  for (const ScoredExample& flip : flips) ids.push_back(flip.prompt->ids);
  return ids;
}

}  // namespace

std::vector<ScoredExample> score_examples(const Subject& subject, const std::vector<Prompt>& prompts,
                                          int64_t batch) {
  const at::NoGradGuard no_grad;
  std::vector<ScoredExample> examples;
  for (const Prompt& prompt : prompts) {
    examples.push_back({&prompt, static_cast<int64_t>(examples.size())});
  }
  for (std::vector<ScoredExample>& part : cut_batches(subject, examples, batch)) {
    std::vector<const Prompt*> pointers;
    for (const ScoredExample& example : part) pointers.push_back(example.prompt);
    const ScoredPrompts batch_prompts = scored(pointers);
    const Defence& defence = subject.defence_of(*pointers.front());
    const auto base = read_column(logit_differences(*subject.model, batch_prompts, {}));
    const auto defended = read_column(logit_differences(*subject.model, batch_prompts, defence.hooks()));
    for (size_t i = 0; i < part.size(); ++i) {
      examples[static_cast<size_t>(part[i].index)].base_score = base[i];
      examples[static_cast<size_t>(part[i].index)].defended_score = defended[i];
    }
  }
  return examples;
}

std::vector<std::vector<ScoredExample>> cut_batches(const Subject& subject,
                                                    const std::vector<ScoredExample>& examples,
                                                    int64_t batch) {
  std::vector<std::vector<ScoredExample>> batches;
  for (const ScoredExample& example : examples) {
    const bool fits = !batches.empty() && static_cast<int64_t>(batches.back().size()) < batch &&
                      &subject.defence_of(*batches.back().front().prompt) ==
                          &subject.defence_of(*example.prompt);
    if (!fits) batches.emplace_back();
    batches.back().push_back(example);
  }
  return batches;
}

std::vector<ScoredExample> flips_of(const std::vector<ScoredExample>& examples) {
  std::vector<ScoredExample> flips;
  for (const ScoredExample& example : examples) {
    if (example.is_valid()) flips.push_back(example);
  }
  return flips;
}

namespace {

// From the first perturbed position of each prompt on, scored at its end.
SegmentSpec segment_of(const BatchContext& context) {
  SegmentSpec segment{context.defence->site(), context.first_position, {}};
  for (const int64_t length : context.tokens.lengths) segment.scored.push_back({length - 1});
  return segment;
}

}  // namespace

std::optional<Problem> BatchContext::exact(const Problem& given) const {
  if (subject->search == subject->model) return std::nullopt;
  const at::NoGradGuard no_grad;
  Problem problem = given;
  problem.model = subject->model.get();
  problem.segment =
      Segment::record(*subject->model, tokens, defence->hooks(), segment_of(*this));
  return problem;
}

BatchContext BatchContext::build(const Subject& subject, const AuditSpec& spec,
                                 std::vector<ScoredExample> flips) {
  const at::NoGradGuard no_grad;
  BatchContext context;
  context.subject = &subject;
  context.flips = std::move(flips);
  context.defence = &subject.defence_of(*context.flips.front().prompt);
  context.tokens = TokenBatch::from(ids_of(context.flips));
  for (const int64_t length : context.tokens.lengths) {
    context.first_position.push_back(spec.perturb.first(length));
  }
  const SegmentSpec segment = segment_of(context);
  const Transformer& model = *subject.search;
  const auto record = [&](const Hooks& hooks, Segment& run, at::Tensor& logits) {
    run = Segment::record(model, context.tokens, hooks, segment);
    logits = model.logits(run.run(run.resid()).squeeze(1));
  };
  at::Tensor base_logits;
  run_parts(2, [&](int64_t i) {
    const at::NoGradGuard no_grad_here;
    if (i == 0) record(context.defence->hooks(), context.defended, context.defended_logits);
    else record({}, context.base, base_logits);
  });
  context.base_log_probs = at::log_softmax(base_logits, -1);
  context.perturbed = spec.perturb.contains(context.defended.rows());
  context.measure = {context.base.resid(),
                     orthonormal_basis(subject.sae->encoder_columns(context.defence->features()))};
  return context;
}

Contests BatchContext::recovery_contests(Objective objective) const {
  std::vector<int64_t> target;
  std::vector<const Prompt*> prompts;
  std::vector<float> goal;
  for (const ScoredExample& flip : flips) {
    target.push_back(flip.prompt->correct_id);
    prompts.push_back(flip.prompt);
    goal.push_back(objective == Objective::kMatchBase ? static_cast<float>(flip.base_score) : 0.0f);
  }
  const at::Device device = subject->search->device();
  return {at::tensor(target, at::kLong).to(device),
          wrong_tokens(prompts).to(device),
          at::tensor(goal).to(device)};
}

Problem BatchContext::problem(const Contests& contests, ThreatModel threat, Objective objective,
                              double budget) const {
  Problem problem;
  problem.model = subject->search.get();
  problem.defence = defence;
  problem.segment = defended;
  problem.threat = threat;
  problem.objective = objective;
  problem.contests = contests;
  problem.base_log_probs = base_log_probs;
  problem.perturbed = perturbed;
  problem.budget = at::full({size()}, budget, defended.resid().options());
  return problem;
}

}  // namespace rebound
