#include "rebound/audit/answer_monitor.h"

#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "rebound/audit/answer_judge.h"
#include "rebound/audit/answer_search.h"
#include "rebound/base/error.h"
#include "rebound/base/progress.h"
#include "rebound/model/device.h"
#include "rebound/sae/sinks.h"

namespace rebound {
namespace {

constexpr std::array kStates = {"base", "defended", "recovered"};
constexpr std::array kWindows = {"request", "answer"};

// The prompt and what of its answer is read: the last scored token is predicted alone.
std::vector<int64_t> forced_text(const AnswerFlip& flip, int64_t target_tokens) {
  std::vector<int64_t> ids = flip.posed->ids;
  const auto kept = std::min<int64_t>(target_tokens, static_cast<int64_t>(flip.base_answer.size()));
  ids.insert(ids.end(),
             flip.base_answer.begin(),
             flip.base_answer.begin() + std::max<int64_t>(0, kept - 1));
  return ids;
}

at::Tensor resid_under(const Transformer& model,
                       const TokenBatch& batch,
                       const Site& site,
                       Hooks hooks) {
  hooks.capture.insert(site);
  return model.run(batch, {.hooks = std::move(hooks), .stop_before_layer = site.layer + 1})
      .activations.at(site);
}

// Clamps, and behind each the effective perturbation of its site as a plain addition at the rows.
Hooks perturbed_hooks(const AnswerBatch& batch,
                      const CrossRun& run,
                      const std::vector<int64_t>& first_row) {
  Hooks hooks;
  for (size_t s = 0; s < batch.plan->size(); ++s) {
    const auto clamp = batch.plan->clamps()[s];
    const at::Tensor added = run.effective[s];  // [batch, rows, d_model]
    hooks.edits[clamp->site()] = [clamp, added, first_row](const at::Tensor& value,
                                                           const Rows& rows) {
      at::Tensor out = clamp->apply(value, rows).clone();
      for (int64_t i = 0; i < value.size(0); ++i) {
        const int64_t first = first_row[static_cast<size_t>(i)];
        const int64_t n = std::min(added.size(1), value.size(1) - first);
        out[i].slice(0, first, first + n).add_(added[i].slice(0, 0, n));
      }
      return out;
    };
  }
  return hooks;
}

at::Tensor window_mask(const AnswerStates& states, const std::string& window) {
  const at::Device device = states.counted.device();
  const at::Tensor position = at::arange(states.counted.size(1), device).unsqueeze(0);
  const at::Tensor first = at::tensor(states.first_row, at::kLong).unsqueeze(1).to(device);
  return states.counted & (window == "request" ? position <= first : position >= first);
}

// |x - base|_F / |base|_F over the tokens of the mask, by text.
std::vector<double> distances(const at::Tensor& x, const at::Tensor& base, const at::Tensor& mask) {
  const at::Tensor kept = mask.unsqueeze(-1);
  const auto norm = [&](const at::Tensor& value) {
    return (value * kept).to(at::kDouble).flatten(1).norm(2, -1);
  };
  const at::Tensor ratio = (norm(x - base) / norm(base)).cpu().contiguous();
  return {ratio.data_ptr<double>(), ratio.data_ptr<double>() + ratio.numel()};
}

// Scores of one probe in one window, all states.
class Collector {
 public:
  explicit Collector(const std::vector<MonitorProbe>& probes) : probes_(probes) {
    for (const MonitorProbe& probe : probes) {
      for (const char* window : kWindows) cells_.push_back({&probe, window, {}});
    }
    for (Cell& cell : cells_) {
      for (const char* state : kStates) cell.states.push_back({state, {}, {}, {}});
    }
  }

  void add(const AnswerStates& found, bool is_own) {
    const std::array values = {&found.base, &found.defended, &found.recovered};
    for (Cell& cell : cells_) {
      const at::Tensor mask = window_mask(found, cell.window);
      for (size_t s = 0; s < values.size(); ++s) {
        const std::vector<double> scores = cell.probe->scores(*values[s], mask);
        MonitorScores& state = cell.states[s];
        std::vector<double>& all = is_own ? state.own : state.other;
        all.insert(all.end(), scores.begin(), scores.end());
        if (!is_own) continue;
        const std::vector<double> far = distances(*values[s], found.base, mask);
        state.distance.insert(state.distance.end(), far.begin(), far.end());
      }
    }
  }

  std::vector<MonitorRow> rows(const MonitorTexts& texts, const BootstrapOptions& options) const {
    std::vector<MonitorRow> all;
    for (const Cell& cell : cells_) {
      for (MonitorRow& row :
           monitor_rows(cell.probe->name, cell.window, texts, cell.states, options)) {
        all.push_back(std::move(row));
      }
    }
    return all;
  }

 private:
  struct Cell {
    const MonitorProbe* probe;
    std::string window;
    std::vector<MonitorScores> states;
  };
  const std::vector<MonitorProbe>& probes_;
  std::vector<Cell> cells_;
};

void require_behind_clamps(const AnswerReplay& replay, const Site& site) {
  const Site& first = replay.defence.plan->clamps().front()->site();
  require<ConfigError>(!(site < first),
                       "site: got ",
                       to_string(site),
                       ", expected one that is not below the first clamp, ",
                       to_string(first),
                       " (all states are the same there)");
  require<ConfigError>(is_residual(site) && site.layer < replay.subject.model->n_layers(),
                       "site: got ",
                       to_string(site),
                       ", expected a residual site of the model");
}

// The recovered flips of a batch, and how far the search came out from what is stored.
AnswerStates states_of_batch(const AnswerReplay& replay,
                             size_t b,
                             const Site& site,
                             double& score_difference) {
  const AnswerBatch& batch = replay.batches[b];
  const CrossSolution solution = search_answers(
      batch, replay.spec.headline(), batch.problem(*replay.subject.search, batch.base_answers()));
  for (size_t i = 0; i < batch.flips.size(); ++i) {
    const auto stored = replay.score.find(batch.flips[i].index);
    if (stored == replay.score.end()) continue;
    const double score = solution.score[static_cast<int64_t>(i)].item<double>();
    score_difference = std::max(score_difference, std::abs(score - stored->second));
  }
  AnswerBatch chosen = batch;
  chosen.flips.clear();
  for (const int64_t place : replay.recovered[b])
    chosen.flips.push_back(batch.flips[static_cast<size_t>(place)]);
  const at::Tensor index = at::tensor(replay.recovered[b], at::kLong).to(solution.delta.device());
  const at::Tensor scale = delta_scales(replay.results, chosen.flips).to(solution.delta.device());
  return answer_states(chosen, site, solution.delta.index_select(0, index) * scale);
}

// The others in batches of the run's size, as flips of the same plan.
void add_others(const AnswerReplay& replay,
                const std::vector<OtherRequest>& others,
                const Site& site,
                Collector& collector) {
  if (others.empty()) return;
  std::vector<PosedRequest> posed;
  for (const OtherRequest& other : others) posed.push_back(other.posed);
  const auto answers = answer_all(replay.subject, posed, {}, replay.spec.target_tokens);
  const auto width = static_cast<size_t>(replay.spec.batch);
  for (size_t first = 0; first < posed.size(); first += width) {
    AnswerBatch batch{&replay.subject, &replay.spec, replay.defence.plan, {}, {}};
    for (size_t i = first; i < std::min(posed.size(), first + width); ++i) {
      batch.flips.push_back({&posed[i], static_cast<int64_t>(i), answers[i], {}});
    }
    collector.add(answer_states(batch, site, {}), /*is_own=*/false);
  }
}

}  // namespace

AnswerStates answer_states(const AnswerBatch& batch, const Site& site, const at::Tensor& delta) {
  const at::NoGradGuard no_grad;
  const Transformer& model = *batch.subject->model;
  AnswerStates states;
  std::vector<std::vector<int64_t>> texts;
  for (const AnswerFlip& flip : batch.flips) {
    texts.push_back(forced_text(flip, batch.spec->target_tokens));
    states.first_row.push_back(static_cast<int64_t>(flip.posed->ids.size()) - 1);
  }
  const TokenBatch tokens = TokenBatch::from(texts);
  states.base = resid_under(model, tokens, site, {});
  states.defended = resid_under(model, tokens, site, batch.plan->hooks());
  states.recovered = states.defended;
  if (delta.defined()) {
    const Span span = cross_rung_of(batch.spec->headline().constraint).projected;
    const CrossProblem problem = batch.problem(model, batch.base_answers());
    // Solved beside flips with longer answers, perhaps.
    const CrossRun run = problem.run_sites(delta.slice(2, 0, problem.n_rows()), span);
    states.recovered =
        resid_under(model, tokens, site, perturbed_hooks(batch, run, states.first_row));
  }
  states.counted = counted_tokens(states.base, on_device(tokens, model.device()).rows());
  return states;
}

MonitorReport monitor_answers(const AnswerReplay& replay,
                              const std::vector<MonitorProbe>& probes,
                              const std::vector<OtherRequest>& others,
                              const BootstrapOptions& options) {
  require<ConfigError>(!probes.empty(), "monitor: got no probe, expected at least one");
  const Site site = probes.front().fitted.site;
  require_behind_clamps(replay, site);
  MonitorReport report;
  report.row = replay.spec.headline().name();
  report.is_own_positive = replay.batches.front().flips.front().posed->request.is_harmful;
  MonitorTexts texts{
      .is_own_positive = report.is_own_positive, .own_clusters = {}, .other_clusters = {}};
  for (const OtherRequest& other : others) {
    require<ConfigError>(other.posed.request.is_harmful != report.is_own_positive,
                         "monitor: got ",
                         other.posed.request.id,
                         " of the run's own class, expected one of the other");
    texts.other_clusters.push_back(other.cluster);
  }
  Collector collector(probes);
  std::vector<PosedRequest> own;
  Progress progress("monitor", static_cast<int64_t>(replay.batches.size()) + 1);
  for (size_t b = 0; b < replay.batches.size(); ++b) {
    progress.update(static_cast<int64_t>(b), "searching again");
    if (replay.recovered[b].empty()) continue;
    collector.add(states_of_batch(replay, b, site, report.score_difference), /*is_own=*/true);
    for (const int64_t place : replay.recovered[b]) {
      own.push_back(*replay.batches[b].flips[static_cast<size_t>(place)].posed);
    }
  }
  progress.update(static_cast<int64_t>(replay.batches.size()), "the other class");
  add_others(replay, others, site, collector);
  texts.own_clusters = cluster_numbers(own);
  report.n = static_cast<int64_t>(own.size());
  report.n_other = static_cast<int64_t>(others.size());
  report.rows = collector.rows(texts, options);
  return report;
}

Json MonitorReport::to_json() const {
  Json json = {{"row", row},
               {"own_class", is_own_positive ? "positive" : "negative"},
               {"n", n},
               {"n_other", n_other},
               {"score_difference", score_difference},
               {"rows", Json::array()}};
  for (const MonitorRow& one : rows) json["rows"].push_back(one.to_json());
  return json;
}

}  // namespace rebound
