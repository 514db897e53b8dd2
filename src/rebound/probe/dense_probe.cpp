#include "rebound/probe/dense_probe.h"

#include <array>
#include <limits>
#include <map>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "rebound/stats/logistic_loss.h"
#include "rebound/stats/logistic_regression.h"

namespace rebound {
namespace {

constexpr std::array kLambdas = {1.0, 10.0, 100.0, 1000.0, 10000.0};
constexpr double kFoldTolerance = 1e-4;  // losses are compared, coefficients are not used
constexpr uint64_t kFoldStream = 41;

// Groups in the order of their first example, dealt to the folds after shuffling.
std::vector<int> folds_of(const std::vector<std::string>& groups, int folds) {
  std::map<std::string, int64_t> number;
  for (const std::string& group : groups)
    number.emplace(group, static_cast<int64_t>(number.size()));
  std::vector<int64_t> order(number.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  Rng rng({kFoldStream});
  rng.shuffle(order);
  std::vector<int> fold;
  for (const std::string& group : groups) {
    fold.push_back(static_cast<int>(order[static_cast<size_t>(number[group])] % folds));
  }
  return fold;
}

struct Fold {
  Samples train, held_out;
};

std::vector<Fold> split_folds(const Samples& samples, const std::vector<int>& fold_of, int folds) {
  std::vector<Fold> out;
  for (int fold = 0; fold < folds; ++fold) {
    std::vector<int64_t> inside, outside;
    for (size_t i = 0; i < fold_of.size(); ++i) {
      (fold_of[i] == fold ? inside : outside).push_back(static_cast<int64_t>(i));
    }
    out.push_back({samples.rows(outside), samples.rows(inside)});
  }
  return out;
}

}  // namespace

void DenseProbeOptions::validate() const {
  require<ConfigError>(lambda >= 0, "DenseProbeOptions.lambda must be >= 0, got ", lambda);
  require<ConfigError>(folds > 1, "DenseProbeOptions.folds must be > 1, got ", folds);
}

double choose_lambda(const Samples& samples, const std::vector<std::string>& groups, int folds) {
  require<ConfigError>(static_cast<int64_t>(groups.size()) == samples.n(),
                       "groups: got ",
                       groups.size(),
                       ", expected ",
                       samples.n());
  const std::vector<Fold> parts = split_folds(samples, folds_of(groups, folds), folds);
  for (const Fold& part : parts) {
    const int64_t positives = part.train.positives();
    if (positives == 0 || positives == part.train.n() || part.held_out.n() == 0) return 1;
  }
  double best = 1, least = std::numeric_limits<double>::infinity();
  for (const double lambda : kLambdas) {
    double loss = 0;
    for (const Fold& part : parts) {
      const LogisticFit fit = fit_l2(part.train, {.lambda = lambda, .tolerance = kFoldTolerance});
      loss += total_loss(fit.model.scores(part.held_out.x), part.held_out.is_positive);
    }
    if (loss < least) {
      least = loss;
      best = lambda;
    }
  }
  return best;
}

DenseProbe fit_dense(const Samples& samples,
                     const std::vector<std::string>& groups,
                     const DenseProbeOptions& options) {
  options.validate();
  samples.validate();
  const Standardiser standardiser = standardiser_of(samples);
  Samples scaled = samples;
  standardiser.apply(scaled.x);
  const double lambda =
      options.lambda > 0 ? options.lambda : choose_lambda(scaled, groups, options.folds);
  return {standardiser.on_raw(fit_l2(scaled, {.lambda = lambda}).model), lambda};
}

LinearModel fit_columns(const Samples& samples, const std::vector<int64_t>& columns) {
  Samples few = samples.columns(columns);
  const Standardiser standardiser = standardiser_of(few);
  standardiser.apply(few.x);
  return standardiser.on_raw(fit_l2(few, {.lambda = kRefitLambda}).model);
}

}  // namespace rebound
