#include "rebound/audit/answer_counts.h"

#include <torch/torch.h>

#include <algorithm>

#include "rebound/audit/answer_flips.h"
#include "rebound/audit/result_figures.h"
#include "rebound/base/error.h"
#include "rebound/base/progress.h"

namespace rebound {
namespace {

std::string row_name(const AnswerAuditSpec& spec, int64_t count) {
  return concat("features=", count, "/", spec.headline().name());
}

const AnswerRow& headline_row(const std::vector<AnswerRow>& rows, const AnswerAuditSpec& spec) {
  return *std::find_if(rows.begin(), rows.end(),
                       [&](const AnswerRow& row) { return row.head.name == spec.headline().name(); });
}

int64_t count_of(const std::vector<StoredResult>& results, const char* flag) {
  return std::count_if(results.begin(), results.end(),
                       [&](const StoredResult& result) { return result.figures.value(flag, false); });
}

}  // namespace

void sweep_feature_counts(const CountSweepInput& in, Store& store, const std::function<void()>& before_batch) {
  const std::vector<AnswerRow> rows = answer_rows(in.spec);
  const AnswerRow& headline = headline_row(rows, in.spec);
  const auto width = in.spec.batch;
  Progress progress("feature counts", static_cast<int64_t>(in.spec.feature_counts.size()));
  for (size_t i = 0; i < in.spec.feature_counts.size(); ++i) {
    const int64_t count = in.spec.feature_counts[i];
    progress.update(static_cast<int64_t>(i), concat(count, " features"));
    const std::string name = row_name(in.spec, count);
    if (store.artefact(name)) continue;
    before_batch();
    const auto plan = in.defence.design->with_features(count, in.spec.defence.features)
                          .at_strength(in.defence.strength, in.subject.model->config());
    const AnswerFlips flips = find_answer_flips(in.subject, in.base_answers, *plan, in.spec.max_new_tokens);
    const auto n = static_cast<int64_t>(flips.refused.size());
    for (int64_t first = 0, b = 0; first < n; first += width, ++b) {
      if (store.is_done(name, b)) continue;
      before_batch();
      AnswerBatch batch{&in.subject, &in.spec, plan, {}, {}};
      batch.first_flip = first;
      batch.flips.assign(flips.refused.begin() + first, flips.refused.begin() + std::min(n, first + width));
      store.put_batch({.row = name, .batch = b, .results = headline.run(batch).results});
    }
    store.put_artefact(name, Json({{"n_valid_refused", n}, {"n_valid_broken", flips.n_broken}}).dump());
  }
  progress.update(static_cast<int64_t>(in.spec.feature_counts.size()), "done");
}

Json summarise_feature_counts(const AnswerAuditSpec& spec, const Store& store) {
  Json table = Json::array();
  for (const int64_t count : spec.feature_counts) {
    const std::string name = row_name(spec, count);
    const auto flips = store.artefact(name);
    if (!flips) continue;
    const std::vector<StoredResult> results = store.results(name);
    Json line = {{"name", concat(count, " of each SAE")}, {"features", count}};
    line.update(parse_json(*flips, "run.sqlite"));
    line["recovered"] = std::count_if(results.begin(), results.end(), [](const auto& r) { return r.recovered; });
    for (const char* flag : {"base_like", "strict_base_like"}) line[flag] = count_of(results, flag);
    for (const char* key : {"drift_pre_rel", "drift_generation_rel", "norm"}) {
      line[key] = finite_or_null(mean_figure(results, key));
    }
    table.push_back(std::move(line));
  }
  return table;
}

}  // namespace rebound
