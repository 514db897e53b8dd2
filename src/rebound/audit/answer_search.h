// The search of a row inside the model: perturbations that write answers past the clamps.
#pragma once

#include "rebound/audit/answer_batch.h"
#include "rebound/recover/cross_solver.h"

namespace rebound {

// With the row's rung, budget and steps; the published algorithm in its two stages. The same search
// gives the same perturbations: nothing depends on when or after what it runs.
CrossSolution search_answers(const AnswerBatch& batch,
                             const AnswerRowSpec& row,
                             const CrossProblem& problem);

}  // namespace rebound
