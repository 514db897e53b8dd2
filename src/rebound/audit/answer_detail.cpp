#include "rebound/audit/answer_detail.h"

#include <torch/torch.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "rebound/audit/result_figures.h"
#include "rebound/intervene/defence.h"
#include "rebound/recover/cross_search.h"

namespace rebound {
namespace {

// Lists are long, and nobody reads further: four significant digits.
double four_digits(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.4g", value);
  return std::strtod(text, nullptr);
}

std::vector<int64_t> numbers_of_readings(const Clamp& clamp, int64_t n) {
  if (const auto* defence = dynamic_cast<const Defence*>(&clamp))
    return {defence->features().begin(), defence->features().end()};
  std::vector<int64_t> numbers(static_cast<size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

void keep_largest(Json& moved) {
  std::vector<Json> entries(moved.begin(), moved.end());
  std::stable_sort(entries.begin(), entries.end(), [](const Json& a, const Json& b) {
    return a.at("shift").get<double>() > b.at("shift").get<double>();
  });
  entries.resize(std::min<size_t>(entries.size(), kMostMoved));
  moved = entries;
}

}  // namespace

Json most_moved(const std::string& site,
                const at::Tensor& shift,
                const std::vector<int64_t>& features) {
  Json moved = Json::array();
  const at::Tensor values = shift.cpu().to(at::kDouble).contiguous();
  for (size_t k = 0; k < features.size(); ++k) {
    const double value = values[static_cast<int64_t>(k)].item<double>();
    if (!(value > 0) || !std::isfinite(value)) continue;
    moved.push_back({{"site", site}, {"feature", features[k]}, {"shift", four_digits(value)}});
  }
  keep_largest(moved);
  return moved;
}

void add_detail(const CrossProblem& problem, const CrossRun& run, std::vector<Json>& figures) {
  const at::NoGradGuard no_grad;
  const at::Tensor mask = problem.is_real().unsqueeze(-1);
  at::Tensor squares = at::zeros_like(problem.is_real(), at::kFloat);
  for (const at::Tensor& effective : run.effective)
    squares = squares + (effective * mask).square().sum(-1);
  const at::Tensor norms = squares.sqrt().cpu(), lengths = problem.is_real().sum(1).cpu(),
                   scaled = squared_drift(problem, run.reading).sqrt().cpu();
  for (size_t i = 0; i < figures.size(); ++i) {
    const auto example = static_cast<int64_t>(i);
    Json by_position = Json::array();
    for (int64_t row = 0; row < lengths[example].item<int64_t>(); ++row)
      by_position.push_back(four_digits(norms[example][row].item<double>()));
    figures[i]["norm_by_position"] = std::move(by_position);
    figures[i]["drift_pre_scaled"] = finite_or_null(scaled[example].item<double>());
    figures[i]["drift_by_feature"] = Json::array();
  }
  for (size_t s = 0; s < problem.sites().size(); ++s) {
    const ClampedSite& site = problem.sites()[s];
    const at::Tensor shift = ((run.reading[s] - site.read_def) * mask).norm(2, 1);  // [batch, n]
    const std::vector<int64_t> features = numbers_of_readings(*site.clamp, shift.size(1));
    for (size_t i = 0; i < figures.size(); ++i) {
      Json& moved = figures[i]["drift_by_feature"];
      const Json of_site =
          most_moved(to_string(site.clamp->site()), shift[static_cast<int64_t>(i)], features);
      moved.insert(moved.end(), of_site.begin(), of_site.end());
      keep_largest(moved);
    }
  }
}

}  // namespace rebound
