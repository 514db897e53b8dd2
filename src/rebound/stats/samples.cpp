#include "rebound/stats/samples.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rebound/base/error.h"
#include "rebound/stats/place.h"

namespace rebound {
namespace {}  // namespace

int64_t Samples::positives() const {
  return std::count(is_positive.begin(), is_positive.end(), true);
}

void Samples::validate() const {
  require<DataError>(d > 0 && static_cast<int64_t>(x.size()) == n() * d,
                     "samples: got ",
                     x.size(),
                     " values, expected ",
                     n(),
                     " examples of ",
                     d,
                     " features");
  require<DataError>(positives() > 0 && positives() < n(),
                     "labels: got ",
                     positives(),
                     " positive and ",
                     n() - positives(),
                     " negative examples, expected some of both");
  const bool is_finite =
      std::all_of(x.begin(), x.end(), [](float value) { return std::isfinite(value); });
  require<DataError>(is_finite, "samples: got NaN or infinity, expected finite features");
}

Samples Samples::rows(const std::vector<int64_t>& index) const {
  Samples out = {.d = d};
  out.x.reserve(index.size() * place(d));
  for (const int64_t i : index) {
    out.x.insert(out.x.end(), x.begin() + i * d, x.begin() + (i + 1) * d);
    out.is_positive.push_back(is_positive[place(i)]);
  }
  return out;
}

Samples Samples::columns(const std::vector<int64_t>& index) const {
  Samples out = {.d = static_cast<int64_t>(index.size()), .x = {}, .is_positive = is_positive};
  out.x.reserve(place(n()) * index.size());
  for (int64_t i = 0; i < n(); ++i) {
    for (const int64_t j : index) out.x.push_back(x[place(i * d + j)]);
  }
  return out;
}

std::vector<double> LinearModel::scores(const std::vector<float>& x) const {
  const size_t d = weight.size();
  require<DataError>(d > 0 && x.size() % d == 0,
                     "features: got ",
                     x.size(),
                     " values, expected a multiple of ",
                     d);
  std::vector<double> out(x.size() / d);
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = std::inner_product(
        weight.begin(), weight.end(), x.begin() + static_cast<int64_t>(i * d), intercept);
  }
  return out;
}

void Standardiser::apply(std::vector<float>& x) const {
  const size_t d = mean.size();
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>((x[i] - mean[i % d]) / scale[i % d]);
  }
}

LinearModel Standardiser::on_raw(const LinearModel& model) const {
  LinearModel raw = model;
  for (size_t j = 0; j < mean.size(); ++j) {
    raw.weight[j] = model.weight[j] / scale[j];
    raw.intercept -= raw.weight[j] * mean[j];
  }
  return raw;
}

Standardiser standardiser_of(const Samples& samples) {
  const size_t d = place(samples.d);
  const auto n = static_cast<double>(samples.n());
  Standardiser out = {std::vector<double>(d, 0.0), std::vector<double>(d, 0.0)};
  for (size_t i = 0; i < samples.x.size(); ++i) out.mean[i % d] += samples.x[i];
  for (double& mean : out.mean) mean /= n;
  for (size_t i = 0; i < samples.x.size(); ++i) {
    out.scale[i % d] += std::pow(samples.x[i] - out.mean[i % d], 2);
  }
  for (size_t j = 0; j < d; ++j) {
    const double deviation = std::sqrt(out.scale[j] / n);
    out.scale[j] = deviation > 1e-7 * std::fabs(out.mean[j]) && deviation > 0 ? deviation : 1;
  }
  return out;
}

std::vector<int64_t> largest_mean_differences(const Samples& samples, int64_t k) {
  samples.validate();
  const size_t d = place(samples.d);
  std::vector<double> sums[2] = {std::vector<double>(d, 0.0), std::vector<double>(d, 0.0)};
  for (size_t i = 0; i < samples.x.size(); ++i) {
    sums[samples.is_positive[i / d] ? 1 : 0][i % d] += samples.x[i];
  }
  const auto positives = static_cast<double>(samples.positives());
  const double negatives = static_cast<double>(samples.n()) - positives;
  std::vector<double> difference(d);
  for (size_t j = 0; j < d; ++j) {
    difference[j] = std::fabs(sums[1][j] / positives - sums[0][j] / negatives);
  }
  std::vector<int64_t> order(d);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return difference[place(a)] > difference[place(b)];
  });
  order.resize(std::min(d, place(k)));
  return order;
}

}  // namespace rebound
