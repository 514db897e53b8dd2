// Probes that never saw the clamps, beside a finished run of whole answers (probe/monitor.h): does
// what they read survive the defence, and does a recovered run look to them as the base run did?
//
// All states are read on the same tokens, the request with its base answer forced as far as the run
// scores it, in two windows:
//
//   request   the tokens of the chat prompt, what such a probe was fitted on
//   answer    the rows that predict the answer: the prompt's last token (in both windows) and the
//   answer's
//             own; these are the ones that the headline row perturbs
//
// Texts of the other class get the same clamps and their own base answers, and no perturbation in
// any state. A token counts where it counts in the base state.
#pragma once

#include <string>
#include <vector>

#include "rebound/audit/answer_replay.h"
#include "rebound/probe/monitor.h"

namespace rebound {

// A request of the other class, as posed.
struct OtherRequest {
  PosedRequest posed;
  int64_t cluster = 0;
};

struct MonitorReport {
  bool is_own_positive = true;  // the run's requests are harmful
  int64_t n = 0;                // those that the headline row recovered
  int64_t n_other = 0;
  std::string row;
  // The largest difference between a score of the search made again and the stored one, nats: 0
  // where nothing but the run's own arithmetic was repeated.
  double score_difference = 0;
  std::vector<MonitorRow> rows;  // by probe, window, state

  Json to_json() const;
};

// All probes read the same site. Throws ConfigError for a site below every clamp, where all states
// are one, and for other requests of the run's own class.
MonitorReport monitor_answers(const AnswerReplay& replay,
                              const std::vector<MonitorProbe>& probes,
                              const std::vector<OtherRequest>& others,
                              const BootstrapOptions& options = {});

// The residual at `site` in the three states of some flips of a batch. [batch, pos, d_model] each
struct AnswerStates {
  at::Tensor base, defended, recovered;
  at::Tensor counted;              // [batch, pos] bool, of the base state
  std::vector<int64_t> first_row;  // position of the prompt's last token
};
// delta: as solved for these flips, [flips, sites, rows, d_model], rows perhaps more than theirs;
// undefined: no perturbation.
AnswerStates answer_states(const AnswerBatch& batch, const Site& site, const at::Tensor& delta);

}  // namespace rebound
