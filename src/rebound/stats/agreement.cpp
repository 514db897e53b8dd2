#include "rebound/stats/agreement.h"

#include "rebound/base/error.h"

namespace rebound {
namespace {

struct Margins {
  double total = 0, agreed = 0;
  std::vector<double> rows, columns;
};

Margins margins_of(const ConfusionCounts& counts) {
  const size_t n = counts.size();
  Margins margins = {.rows = std::vector<double>(n), .columns = std::vector<double>(n)};
  for (size_t i = 0; i < n; ++i) {
    require<ConfigError>(counts[i].size() == n,
                         "confusion counts: row ",
                         i,
                         " has ",
                         counts[i].size(),
                         " entries, expected ",
                         n);
    for (size_t j = 0; j < n; ++j) {
      require<ConfigError>(counts[i][j] >= 0, "confusion counts must be >= 0, got ", counts[i][j]);
      const auto count = static_cast<double>(counts[i][j]);
      margins.total += count;
      margins.rows[i] += count;
      margins.columns[j] += count;
      if (i == j) margins.agreed += count;
    }
  }
  return margins;
}

}  // namespace

std::optional<double> agreement_rate(const ConfusionCounts& counts) {
  const Margins margins = margins_of(counts);
  if (margins.total == 0) return std::nullopt;
  return margins.agreed / margins.total;
}

std::optional<double> cohen_kappa(const ConfusionCounts& counts) {
  const Margins margins = margins_of(counts);
  double products = 0;
  for (size_t i = 0; i < counts.size(); ++i) products += margins.rows[i] * margins.columns[i];
  const double square = margins.total * margins.total;
  if (products == square) return std::nullopt;  // also without items
  return (margins.total * margins.agreed - products) / (square - products);
}

}  // namespace rebound
