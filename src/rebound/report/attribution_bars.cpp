#include "rebound/report/attribution_bars.h"

#include <cmath>

#include "rebound/report/figure.h"
#include "rebound/stats/intervals.h"

namespace rebound {
namespace {

enum Measure { kAlone, kAtTheNorm, kWithout, kShapley };

void add_count_bar(std::vector<AttributionBar>& bars,
                   const std::string& part,
                   Measure measure,
                   const Json& count) {
  if (!count.is_object()) return;
  const Json n = count.value("n", Json()), recovered = count.value("recovered", Json());
  if (!n.is_number_integer() || !recovered.is_number_integer()) return;
  const int64_t total = n.get<int64_t>(), hits = recovered.get<int64_t>();
  if (total <= 0 || hits < 0 || hits > total) return;
  const Interval interval = wilson(hits, total);
  bars.push_back({.part = plain(part),
                  .measure = attribution_measures()[measure],
                  .share = static_cast<double>(hits) / static_cast<double>(total),
                  .low = interval.low,
                  .high = interval.high,
                  .count = count_of(hits, total)});
}

void add_shapley_bar(std::vector<AttributionBar>& bars,
                     const std::string& part,
                     const Json& share) {
  if (!share.is_number() || !std::isfinite(share.get<double>())) return;
  bars.push_back({.part = plain(part),
                  .measure = attribution_measures()[kShapley],
                  .share = share.get<double>(),
                  .count = {}});
}

void add_part_bars(std::vector<AttributionBar>& bars, const Json& part) {
  if (!part.is_object()) return;
  const std::string name = show_json(part.value("name", Json()));
  add_count_bar(bars, name, kAlone, part.value("replay", Json()));
  add_count_bar(bars, name, kAtTheNorm, part.value("norm_matched_replay", Json()));
  add_count_bar(bars, name, kWithout, part.value("knock_out", Json()));
  add_shapley_bar(
      bars,
      name,
      part.contains("shapley_share") ? part.at("shapley_share") : part.value("shapley", Json()));
}

}  // namespace

const std::vector<std::string>& attribution_measures() {
  static const std::vector<std::string> measures = {
      "replayed alone", "alone, at the whole's norm", "without it", "Shapley share"};
  return measures;
}

std::vector<AttributionBar> attribution_bars(const Json& attribution) {
  std::vector<AttributionBar> bars;
  if (!attribution.is_object()) return bars;
  const Json parts = attribution.value("parts", Json());
  if (!parts.is_array()) return bars;
  for (const Json& part : parts) add_part_bars(bars, part);
  if (bars.empty()) return bars;
  const std::string others = "strongest other features";
  add_count_bar(bars, others, kAlone, attribution.value("top_other_features_replay", Json()));
  add_count_bar(bars, others, kWithout, attribution.value("top_other_features_knock_out", Json()));
  add_count_bar(bars,
                "random direction, same norm",
                kAtTheNorm,
                attribution.value("random_same_norm", Json()));
  return bars;
}

}  // namespace rebound
