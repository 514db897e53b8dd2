#include "rebound/sae/fit_stats.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "rebound/base/shape.h"

namespace rebound {
namespace {

constexpr int64_t kChunk = 2048;

double sum_of(const at::Tensor& x) { return x.sum(at::kDouble).item<double>(); }

}  // namespace

FitStats::FitStats(const Sae& sae)
    : sae_(sae),
      x_sum_(at::zeros({sae.d_in()}, sae.weights().b_dec.options().dtype(at::kDouble))),
      firing_count_(at::zeros({sae.d_sae()}, sae.weights().b_enc.options().dtype(at::kLong))) {}

void FitStats::add(const at::Tensor& activations) {
  at::NoGradGuard no_grad;
  check_shape("activations", activations, {{"tokens"}, {"d_in", sae_.d_in()}});
  for (int64_t first = 0; first < activations.size(0); first += kChunk) {
    const at::Tensor x = activations.slice(0, first, first + kChunk).to(at::kFloat);
    const at::Tensor f = sae_.encode(x);
    const at::Tensor out = sae_.decode(f, x);
    tokens_ += x.size(0);
    error_sum_ += sum_of((x - out).square());
    square_sum_ += sum_of(x.square());
    norm_in_ += sum_of(x.norm(2, {1}));
    norm_out_ += sum_of(out.norm(2, {1}));
    x_sum_ += x.sum(0, false, at::kDouble);
    firing_count_ += (f != 0).sum(0);
  }
}

double FitStats::fvu() const {
  const double spread =
      square_sum_ - x_sum_.square().sum().item<double>() / static_cast<double>(tokens_);
  return error_sum_ / spread;
}

double FitStats::l0() const {
  return static_cast<double>(firing_count_.sum().item<int64_t>()) / static_cast<double>(tokens_);
}

double FitStats::norm_ratio() const { return norm_out_ / norm_in_; }

at::Tensor FitStats::mean() const { return (x_sum_ / static_cast<double>(tokens_)).to(at::kFloat); }

at::Tensor FitStats::firing_frequency() const {
  return firing_count_.to(at::kFloat) / static_cast<double>(tokens_);
}

int64_t FitStats::dead_latents() const { return (firing_count_ == 0).sum().item<int64_t>(); }

int64_t FitStats::dense_latents() const {
  return (firing_frequency() > kDenseFrequency).sum().item<int64_t>();
}

FiringHistogram FitStats::firing_histogram() const {
  FiringHistogram bins{};
  const at::Tensor counts = firing_count_.cpu();
  const int64_t* count = counts.data_ptr<int64_t>();
  for (int64_t j = 0; j < sae_.d_sae(); ++j) {
    size_t bin = 0;
    if (count[j] > 0) {
      const double decade =
          std::log10(static_cast<double>(count[j]) / static_cast<double>(tokens_));
      bin = static_cast<size_t>(std::clamp(std::floor(decade) + 6.0, 1.0, 5.0));
    }
    ++bins[bin];
  }
  return bins;
}

}  // namespace rebound
