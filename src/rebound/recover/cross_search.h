// The search of solve_cross (cross_solver.h) for the examples that one thread takes.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "rebound/recover/cross_problem.h"
#include "rebound/recover/cross_solver.h"

namespace rebound {

inline constexpr double kBudgetSlack = 1e-6;  // of a budget: rounding, not a breach

// All examples of `problem` to their end. budget [batch]; fixed [batch, sites, rows, d_model] or
// undefined; options.budgets and options.fixed are not read.
CrossSolution search_cross(CrossProblem problem,
                           const CrossRung& rung,
                           const CrossSolverOptions& options,
                           const at::Tensor& budget,
                           const at::Tensor& fixed);

// Mean over sites of |shift|^2 / scale^2 before the activation, [batch]. The scale of a site:
// |defended readings|, at least those of a random residual as long (an ablated reading is nothing
// but rounding).
at::Tensor squared_drift(const CrossProblem& problem, const std::vector<at::Tensor>& reading);

}  // namespace rebound
