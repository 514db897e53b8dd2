// Five steps of the released algorithm (method.md section 9) against the NumPy script
// tools/golden/recovery_numpy.py, which shares no code with rebound and takes no autograd.
#include <gtest/gtest.h>

#include <filesystem>

#include "rebound/base/json.h"
#include "rebound/sae/sae_lens_format.h"
#include "recover/recover_fixture.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

struct Golden {
  Json json = read_json_file(fs::path(REBOUND_SOURCE_DIR) /
                             "tests/recover/golden/published_five_steps.json");
  Setting setting;

  Golden() {
    const fs::path root = REBOUND_SOURCE_DIR;
    Setting& s = setting;
    s.model = std::make_unique<Transformer>(load_model(root / json.at("model")));
    const Json& edit = json.at("edit");
    FeatureEdit clamp{.features = json.at("features"),
                      .kind = parse_edit_kind(edit.at("kind")),
                      .value = edit.at("value"),
                      .when = parse_edit_when(edit.at("when")),
                      .positions = read_positions(json.at("clamp_positions"), "clamp_positions")};
    s.defence =
        std::make_unique<Defence>(std::make_shared<const Sae>(load_sae(root / json.at("sae"))),
                                  std::vector<FeatureEdit>{clamp},
                                  1e9);
    s.tokens = TokenBatch::from({json.at("ids").get<std::vector<int64_t>>()});
    s.first_position = {json.at("position").get<int64_t>()};
    fill_problem(s, {{json.at("correct_id")}, {json.at("wrong_id")}}, json.at("cap"));
  }

  SolverOptions options(int64_t steps) const {
    return {.max_steps = steps,
            .lr = json.at("lr"),
            .adam = {json.at("betas").at(0), json.at("betas").at(1), json.at("eps")},
            .keep_trace = true};
  }
};

void expect_relative(double got, double expected) {
  EXPECT_NEAR(got, expected, 1e-4 * std::max(std::abs(expected), 1e-2));
}

TEST(PublishedFiveStepsTest, TheClampedRunIsTheSame) {
  const Golden golden;
  const Problem& problem = golden.setting.problem;
  const at::Tensor h_def = at::tensor(golden.json.at("h_def").get<std::vector<double>>());
  EXPECT_LT(relative_gap(problem.segment.resid()[0][0], h_def), 1e-5);
  const at::Tensor zero = at::zeros_like(problem.segment.resid());
  expect_relative(scores_of(problem, zero)[0].item<double>(), golden.json.at("defended_objective"));
}

class TrajectoryTest : public ::testing::TestWithParam<const char*> {};

TEST_P(TrajectoryTest, AgreesAtEveryStep) {
  const Golden golden;
  const Setting& s = golden.setting;
  const Json& row = golden.json.at("rows").at(GetParam());
  EXPECT_EQ(rung_of("encoder_published").gradient_ridge, golden.json.at("ridge").get<double>());
  const Constraint constraint = s.constraint(GetParam());
  const Solution solution = solve(s.problem, constraint, golden.options(golden.json.at("steps")));
  ASSERT_EQ(solution.trace.size(), 5U);
  for (size_t i = 0; i < 5; ++i) {
    expect_relative(solution.trace[i].score, row.at("objective").at(i));
    expect_relative(solution.trace[i].drift_pre, row.at("drift_pre").at(i));
    expect_relative(solution.trace[i].norm, row.at("norm").at(i));
  }
  expect_relative(solution.score[0].item<double>(), row.at("final_objective"));
  const at::Tensor delta = at::tensor(row.at("delta").get<std::vector<double>>());
  EXPECT_LT(norm_of(solution.delta[0][0] - delta) / norm_of(delta), 1e-4);
}

TEST_P(TrajectoryTest, PostActivationDriftAgreesBeforeEveryUpdate) {
  const Golden golden;
  const Setting& s = golden.setting;
  const Constraint constraint = s.constraint(GetParam());
  const MeasureContext context{
      s.h_base, orthonormal_basis(s.defence->sae().encoder_columns(s.defence->features()))};
  for (int64_t i = 0; i < 5; ++i) {
    const Solution solution = solve(s.problem, constraint, golden.options(i));
    expect_relative(
        measure(s.problem, solution.delta, context)[0].drift_post_l2,
        golden.json.at("rows").at(GetParam()).at("drift_post").at(static_cast<size_t>(i)));
  }
}

INSTANTIATE_TEST_SUITE_P(Rungs, TrajectoryTest, ::testing::Values("none", "encoder_published"));

}  // namespace
}  // namespace rebound
