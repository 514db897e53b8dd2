// Loss against training compute:
//
//   L(C) = E + a C^-b        E >= 0, a > 0, b > 0       (Hoffmann et al. 2022, arXiv 2203.15556,
//                                                        with compute in place of size and data)
//
// C is in FLOP, L in nats per token. What a loss is worth is the inverse, C(L) = (a / (L -
// E))^(1/b).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace rebound {

struct PowerLaw {
  double e = 0;
  double a = 0;
  double b = 0;

  double loss_at(double compute) const;
  // Nothing for a loss at or below E: no compute reaches it.
  std::optional<double> compute_at(double loss) const;
};

struct ScalingPoint {
  double compute = 0;
  double loss = 0;
};

// Three numbers are fitted, and the residuals need a degree of freedom.
constexpr size_t kFewestPoints = 4;

// Least squares in nats. For a given b, E and a are the solution of a linear problem; b is the best
// of a grid over 0.001..3, refined by golden section. Throws NumericError for fewer than
// kFewestPoints points, a number that is not finite and positive, and losses that do not fall with
// compute.
PowerLaw fit_power_law(const std::vector<ScalingPoint>& points);

// Residual bootstrap: residuals, centred and widened by sqrt(n / (n - 3)), are drawn with
// replacement onto the fitted losses, and the law is fitted again. Runs differ by chance and the
// law is not exact; both are in the residuals. Draw d depends on (seed, d) alone. Draws that no law
// fits are nothing.
std::vector<std::optional<PowerLaw>> bootstrap_fits(const std::vector<ScalingPoint>& points,
                                                    int draws,
                                                    uint64_t seed);

// What the law fitted to the other points predicts for each point, by its place. Nothing where
// they are too few, or no law fits them.
std::vector<std::optional<double>> leave_one_out(const std::vector<ScalingPoint>& points);

}  // namespace rebound
