// The bench: one prompt, which features fire on it, and what clamps on them change.
//
//   base      the model as it is
//   clamped   h <- h + decode(edit(f)) - decode(f) at the site of each SAE   (intervene/defence.h)
//
// Features are those of the base run. Position 0 and attention sinks are shown but neither ranked
// nor clamped. A Bench keeps the base run of its last prompt; its calls must not overlap (the
// explorer lets one job run at a time).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rebound/intervene/clamp_plan.h"
#include "rebound/serve/bench_model.h"
#include "rebound/serve/bench_request.h"

namespace rebound {

// The undefended run of one prompt.
struct BenchBase {
  std::vector<int64_t> ids;
  Rows rows;
  std::map<Site, at::Tensor> resid;   // at each SAE's site, [1, pos, d_model]
  std::map<Site, double> sink_norms;  // infinite for a prompt of one token
  at::Tensor logits;                  // of the last position, [d_vocab]
};

class Bench {
 public:
  Bench(BenchModel model, BenchLimits limits);

  const BenchModel& model() const { return model_; }

  // {"tokens": [{"id", "text", "counts": false for position 0 and sinks}],
  //  "saes": [{"name", "site", "d_sae", "fvu", "l0",
  //            "features": [{"feature", "peak", "at": token, "values": one a token}],
  //            "tops": for each token its strongest features [{"feature", "value"}]}]}
  // fvu: |x - out|^2 over |x - mean x|^2 on the tokens that count; null for fewer than two.
  Json features(const BenchRequest& request);

  // {"kl_nats": KL(base || clamped), "tokens": [{"id", "text", "base_logit", "clamped_logit",
  //  "base_p", "clamped_p"}]}: the likeliest next tokens of either run, by the larger probability.
  Json next_token(const BenchRequest& request);

  // Greedy continuations of both runs side by side, token by token:
  //   {"base": " Mary" or null once it has ended, "clamped": " Tom"}
  // then {"done": true, "equal_tokens": n, the length of their common beginning}. Ends early when
  // `on_step` returns false.
  void generate(const BenchRequest& request, const std::function<bool(const Json&)>& on_step);

  // The sink norm that clamps at this SAE had with the last prompt, if there was one.
  std::optional<double> last_sink_norm(int64_t sae) const;

 private:
  std::vector<int64_t> encode(const BenchRequest& request) const;
  const BenchBase& base_of(const BenchRequest& request);
  std::unique_ptr<const ClampPlan> plan_of(const BenchRequest& request,
                                           const BenchBase& base) const;
  std::string token_text(int64_t id) const;
  Json features_of(const BenchSae& sae, const BenchBase& base, int64_t most) const;

  BenchModel model_;
  BenchLimits limits_;
  std::optional<BenchBase> base_;
};

// `hooks` on the second example of a batch of two alone.
Hooks second_only(const Hooks& hooks);

}  // namespace rebound
