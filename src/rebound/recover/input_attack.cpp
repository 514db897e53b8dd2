#include "rebound/recover/input_attack.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"
#include "rebound/recover/drift_scale.h"

namespace rebound {
namespace {

const Site kFirstSite{0, SiteKind::kResidPre};

void append(std::vector<int64_t>& tokens, const std::vector<int64_t>& more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
}

}  // namespace

at::Tensor SuffixRun::is_won() const { return is_argmax.all(1); }

SuffixProblem SuffixProblem::record(const Transformer& model,
                                    std::shared_ptr<const ClampPlan> plan,
                                    const SuffixedPrompt& prompt,
                                    int64_t most_tokens) {
  require<ConfigError>(
      most_tokens >= 1, "suffix attack: got most_tokens ", most_tokens, ", expected at least 1");
  require<DataError>(!prompt.suffix.empty() && !prompt.answer.empty(),
                     "suffix attack: got ",
                     prompt.suffix.size(),
                     " suffix and ",
                     prompt.answer.size(),
                     " answer tokens, expected some of both");
  require<DataError>(!prompt.before.empty() || !prompt.after.empty(),
                     "suffix attack: got no prompt around the suffix, expected tokens");
  const at::NoGradGuard no_grad;
  SuffixProblem problem;
  problem.model_ = &model;
  problem.plan_ = std::move(plan);
  problem.prompt_ = prompt;
  const auto n_rows = std::min<int64_t>(most_tokens, static_cast<int64_t>(prompt.answer.size()));
  const auto answer_end = prompt.answer.begin() + n_rows;
  problem.targets_ = at::tensor(std::vector<int64_t>(prompt.answer.begin(), answer_end), at::kLong)
                         .to(model.device());
  // The last target is predicted, never read.
  const std::vector<int64_t> forced(prompt.answer.begin(), answer_end - 1);

  std::vector<int64_t> ids = problem.prompt_tokens();
  const auto first_row = static_cast<int64_t>(ids.size()) - 1;
  append(ids, forced);
  SegmentSpec spec{kFirstSite, {static_cast<int64_t>(prompt.before.size())}, {{}}};
  for (int64_t row = 0; row < n_rows; ++row) spec.scored[0].push_back(first_row + row);
  const TokenBatch batch = TokenBatch::from({ids});
  problem.segment_ = Segment::record(model, batch, problem.plan_->hooks(), spec);
  const auto n_head = static_cast<int64_t>(prompt.before.size() + prompt.suffix.size());
  problem.tail_ = model.embed(batch.ids.slice(1, n_head));
  problem.record_defended(forced);
  return problem;
}

void SuffixProblem::record_defended(const std::vector<int64_t>& forced) {
  std::vector<int64_t> ids = prompt_.before;
  append(ids, prompt_.after);
  append(ids, forced);
  RunOptions options{.hooks = plan_->hooks()};
  for (const auto& clamp : plan_->clamps()) options.hooks.capture.insert(clamp->site());
  const Activations values = model_->run(TokenBatch::from({ids}), options).activations;
  const auto n_ids = static_cast<int64_t>(ids.size());
  for (const auto& clamp : plan_->clamps()) {
    const at::Tensor h_def = values.at(clamp->site())[0].slice(0, n_ids - n_rows());
    read_def_.push_back(clamp->read(h_def));
    const double norm = h_def.norm().item<double>();
    least_norm_.push_back(1e-6 * norm);
    square_scale_ += std::max(read_def_.back().square().sum().item<double>(),
                              std::pow(reading_gain(*clamp) * norm, 2));
  }
}

SuffixRun SuffixProblem::run(const at::Tensor& suffix) const {
  check_shape(
      "suffix", suffix, {{"batch"}, {"n_suffix", n_suffix()}, {"d_model", model_->d_model()}});
  const int64_t batch = suffix.size(0), rows = n_rows();
  const Segment segment = batch == 1 ? segment_ : segment_.select(at::zeros({batch}, at::kLong));
  SuffixRun run;
  Hooks hooks;
  for (const auto& clamp : plan_->clamps()) {
    hooks.edits[clamp->site()] = [&run, clamp, rows](const at::Tensor& value, const Rows& where) {
      const at::Tensor clamped = clamp->apply(value, where);
      // Answer rows are the last ones, and the only ones in the last layer.
      run.reading.push_back(clamp->read(clamped.slice(1, clamped.size(1) - rows)));
      return clamped;
    };
  }
  at::Tensor resid = model_->with_positions(
      at::cat({suffix, tail_.expand({batch, -1, -1})}, 1), segment.rows().position);
  if (const auto edit = hooks.edits.find(kFirstSite); edit != hooks.edits.end()) {
    resid = edit->second(resid, segment.rows());
    hooks.edits.erase(edit);
  }
  const at::Tensor logits = model_->logits(segment.run(resid, hooks, nullptr));
  const at::Tensor target = targets_.view({1, -1, 1}).expand({batch, -1, 1});
  run.log_prob = logits.gather(-1, target).squeeze(-1) - at::logsumexp(logits, -1);
  run.score = run.log_prob.mean(1);
  run.is_argmax = logits.detach().argmax(-1) == targets_;
  return run;
}

at::Tensor SuffixProblem::relative_drift(const SuffixRun& run) const {
  at::Tensor shift = at::zeros_like(run.score);
  double defended = 0;
  for (size_t i = 0; i < read_def_.size(); ++i) {
    shift = shift + (run.reading[i] - read_def_[i]).square().sum({1, 2});
    defended += read_def_[i].square().sum().item<double>();
  }
  return relative_or_nan(shift.sqrt(),
                         at::full_like(shift, std::sqrt(defended)),
                         at::full_like(shift, std::sqrt(square_scale_)));
}

double SuffixProblem::least_reading() const {
  return kNextToNothing * std::sqrt(square_scale_);
}

at::Tensor SuffixProblem::squared_drift(const SuffixRun& run) const {
  at::Tensor sum = at::zeros_like(run.score);
  for (size_t i = 0; i < read_def_.size(); ++i) {
    const double norm = std::max({read_def_[i].norm().item<double>(), least_norm_[i], 1e-12});
    sum = sum + (run.reading[i] - read_def_[i]).square().sum({1, 2}) / (norm * norm);
  }
  return sum / static_cast<double>(read_def_.size());
}

std::vector<int64_t> SuffixProblem::prompt_tokens() const {
  std::vector<int64_t> ids = prompt_.before;
  append(ids, prompt_.suffix);
  append(ids, prompt_.after);
  return ids;
}

Hooks SuffixProblem::hooks(const at::Tensor& suffix) const {
  check_shape("suffix", suffix, {{"n_suffix", n_suffix()}, {"d_model", model_->d_model()}});
  Hooks hooks = plan_->hooks();
  SiteEdit clamp;
  if (const auto found = hooks.edits.find(kFirstSite); found != hooks.edits.end()) {
    clamp = found->second;
  }
  const auto first = static_cast<int64_t>(prompt_.before.size());
  const Transformer* model = model_;
  hooks.edits[kFirstSite] = [=](const at::Tensor& value, const Rows& rows) {
    const at::Tensor offset = rows.position - first;
    const at::Tensor is_suffix = (offset >= 0) & (offset < suffix.size(0));
    const at::Tensor mine = model->with_positions(
        at::embedding(suffix, offset.clamp(0, suffix.size(0) - 1)), rows.position);
    const at::Tensor replaced = at::where(is_suffix.unsqueeze(-1), mine, value);
    return clamp ? clamp(replaced, rows) : replaced;
  };
  return hooks;
}

}  // namespace rebound
