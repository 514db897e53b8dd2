#include "rebound/stats/roc.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>

#include "rebound/base/error.h"
#include "rebound/stats/place.h"

namespace rebound {
namespace {

void check(const std::vector<double>& scores, const std::vector<bool>& is_positive) {
  require<DataError>(scores.size() == is_positive.size(),
                     "scores: got ",
                     scores.size(),
                     ", expected ",
                     is_positive.size(),
                     " as labels");
  const auto positives = std::count(is_positive.begin(), is_positive.end(), true);
  const auto negatives = static_cast<int64_t>(is_positive.size()) - positives;
  require<DataError>(positives > 0 && negatives > 0,
                     "labels: got ",
                     positives,
                     " positive and ",
                     negatives,
                     " negative examples, expected some of both");
  const bool has_nan =
      std::any_of(scores.begin(), scores.end(), [](double s) { return std::isnan(s); });
  require<DataError>(!has_nan, "scores: got NaN, expected numbers");
}

// Position of each score among the distinct ones, so that a redrawn AUROC needs no sorting.
class Ranked {
 public:
  Ranked(const std::vector<double>& scores, const std::vector<bool>& is_positive)
      : is_positive_(is_positive), level_(scores.size()) {
    check(scores, is_positive);
    std::vector<double> distinct = scores;
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    for (size_t i = 0; i < scores.size(); ++i) {
      const auto found = std::lower_bound(distinct.begin(), distinct.end(), scores[i]);
      level_[i] = static_cast<size_t>(found - distinct.begin());
    }
    levels_ = distinct.size();
  }

  std::vector<int64_t> everyone() const {
    std::vector<int64_t> all(level_.size());
    std::iota(all.begin(), all.end(), 0);
    return all;
  }

  // Nothing where one class is missing.
  std::optional<double> area(const std::vector<int64_t>& drawn) const {
    std::vector<double> positive(levels_, 0), negative(levels_, 0);
    for (const int64_t i : drawn)
      (is_positive_[place(i)] ? positive : negative)[level_[place(i)]] += 1;
    double below = 0, wins = 0, positives = 0;
    for (size_t level = 0; level < levels_; ++level) {
      wins += positive[level] * (below + negative[level] / 2);
      below += negative[level];
      positives += positive[level];
    }
    if (positives == 0 || below == 0) return std::nullopt;
    return wins / (positives * below);
  }

  double best_tpr(double max_fpr) const {
    std::vector<double> positive(levels_, 0), negative(levels_, 0);
    for (size_t i = 0; i < level_.size(); ++i)
      (is_positive_[i] ? positive : negative)[level_[i]] += 1;
    const double positives = std::accumulate(positive.begin(), positive.end(), 0.0);
    const double allowed = max_fpr * (static_cast<double>(level_.size()) - positives);
    double hits = 0, alarms = 0, best = 0;
    for (size_t level = levels_; level-- > 0;) {
      hits += positive[level];
      alarms += negative[level];
      if (alarms > allowed * (1 + 1e-12)) break;
      best = hits;
    }
    return best / positives;
  }

 private:
  const std::vector<bool>& is_positive_;
  std::vector<size_t> level_;
  size_t levels_ = 0;
};

int64_t clusters_of_smaller_class(const std::vector<bool>& is_positive,
                                  const BootstrapOptions& options) {
  std::set<int64_t> of_class[2];
  for (size_t i = 0; i < is_positive.size(); ++i) {
    const int64_t own = static_cast<int64_t>(i);
    of_class[is_positive[i] ? 1 : 0].insert(options.clusters.empty() ? own : options.clusters[i]);
  }
  return static_cast<int64_t>(std::min(of_class[0].size(), of_class[1].size()));
}

}  // namespace

double auroc(const std::vector<double>& scores, const std::vector<bool>& is_positive) {
  const Ranked ranked(scores, is_positive);
  return *ranked.area(ranked.everyone());
}

double tpr_at_fpr(const std::vector<double>& scores,
                  const std::vector<bool>& is_positive,
                  double max_fpr) {
  require<ConfigError>(max_fpr >= 0 && max_fpr <= 1, "max_fpr must be in [0, 1], got ", max_fpr);
  return Ranked(scores, is_positive).best_tpr(max_fpr);
}

Estimate auroc_interval(const std::vector<double>& scores,
                        const std::vector<bool>& is_positive,
                        const BootstrapOptions& options) {
  const Ranked ranked(scores, is_positive);
  const Estimate redrawn = bootstrap_where_defined(
      static_cast<int64_t>(scores.size()),
      [&](const std::vector<int64_t>& drawn) { return ranked.area(drawn); },
      options);
  return widened_where_flat(redrawn, clusters_of_smaller_class(is_positive, options), 0, 1);
}

Estimate auroc_difference(const std::vector<double>& a,
                          const std::vector<double>& b,
                          const std::vector<bool>& is_positive,
                          const BootstrapOptions& options) {
  const Ranked first(a, is_positive), second(b, is_positive);
  const Estimate redrawn = bootstrap_where_defined(
      static_cast<int64_t>(a.size()),
      [&](const std::vector<int64_t>& drawn) -> std::optional<double> {
        const auto left = first.area(drawn), right = second.area(drawn);
        if (!left || !right) return std::nullopt;
        return *left - *right;
      },
      options);
  return widened_where_flat(redrawn, clusters_of_smaller_class(is_positive, options), -1, 1);
}

}  // namespace rebound
