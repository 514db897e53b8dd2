#include "rebound/audit/answer_monitor.h"

#include <gtest/gtest.h>

#include "audit/answer_fixture.h"
#include "rebound/audit/answer_search.h"
#include "rebound/base/file.h"
#include "support/failures.h"

namespace rebound {
namespace {

class AnswerMonitorTest : public AnswerBatchTest {
 protected:
  at::Tensor solved() const {
    return search_answers(batch, spec.rows[0], batch.problem(*subject.model, batch.base_answers()))
        .delta;
  }
  // Reads the first site along the first clamp's direction.
  MonitorProbe probe_of_clamp() const {
    MonitorProbe probe{.name = "dense"};
    probe.fitted = {.task = "t",
                    .site = plan->clamps()[0]->site(),
                    .pooler = {Pooler::Kind::kMean},
                    .model = {}};
    const at::Tensor unit =
        plan->clamps()[0]->read_columns().flatten().to(at::kDouble).contiguous();
    probe.fitted.model.weight.assign(unit.data_ptr<double>(),
                                     unit.data_ptr<double>() + unit.numel());
    return probe;
  }
  void fill(AnswerReplay& replay) const {
    replay.spec = spec;
    replay.subject = subject;
    replay.defence.plan = plan;
    replay.batches = {batch};
    replay.recovered = {{0, 2}};
    const CrossSolution again =
        search_answers(batch, spec.rows[0], batch.problem(*subject.model, batch.base_answers()));
    for (size_t i = 0; i < batch.flips.size(); ++i) {
      replay.score[batch.flips[i].index] = again.score[static_cast<int64_t>(i)].item<double>();
    }
  }
};

// Two roads to the recovered run: the cross-layer problem that was solved, and a plain run whose
// sites get the effective perturbation.
TEST_F(AnswerMonitorTest, TheRecoveredStateIsTheRunThatWasSolved) {
  const at::Tensor delta = solved();
  const CrossProblem problem = batch.problem(*subject.model, batch.base_answers());
  const at::Tensor expected = problem.run(delta, Span::kEncoder).logits;
  const AnswerStates states = answer_states(batch, {3, SiteKind::kResidPost}, delta);
  double moved = 0;
  for (size_t i = 0; i < batch.flips.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t first = states.first_row[i];
    const auto logits = [&](const at::Tensor& resid) {
      return subject.model->logits(resid[at].slice(0, first, first + spec.target_tokens));
    };
    EXPECT_LT(relative_gap(logits(states.recovered), expected[at]), 1e-4);
    moved = std::max(moved, relative_gap(logits(states.defended), expected[at]));
  }
  EXPECT_GT(moved, 1e-2);
}

TEST_F(AnswerMonitorTest, WithoutAPerturbationRecoveredIsDefended) {
  const Site site{2, SiteKind::kResidPre};
  const AnswerStates none = answer_states(batch, site, {});
  EXPECT_TRUE(at::equal(none.recovered, none.defended));
  const at::Tensor zero = batch.problem(*subject.model, batch.base_answers()).zero_delta();
  EXPECT_LT(relative_gap(answer_states(batch, site, zero).recovered, none.defended), 1e-6);
  EXPECT_GT(relative_gap(none.defended, none.base), 1e-2);
}

// A perturbation was solved beside flips with longer answers: rows that a part of them lacks are
// nothing.
TEST_F(AnswerMonitorTest, APartOfABatchKeepsItsPerturbations) {
  batch.flips[1].base_answer.resize(3);
  const at::Tensor delta = solved();
  const AnswerStates all = answer_states(batch, {3, SiteKind::kResidPost}, delta);
  AnswerBatch part = batch;
  part.flips = {batch.flips[1]};
  const AnswerStates one = answer_states(part, {3, SiteKind::kResidPost}, delta.slice(0, 1, 2));
  const int64_t length = one.recovered.size(1);
  EXPECT_LT(relative_gap(one.recovered[0], all.recovered[1].slice(0, 0, length)), 1e-4);
}

// The first clamp adds half its direction to every token that counts: the mean of a probe along it
// moves by half the direction's norm, and no more in the request's window of the defended state.
TEST_F(AnswerMonitorTest, AProbeAlongTheClampSeesTheClampAndNothingElse) {
  AnswerReplay replay;
  fill(replay);
  OtherRequest other{
      .posed = {{.id = "h0", .text = "x", .is_harmful = true}, "set", subject.prompt_of("a b")}};
  const MonitorReport report = monitor_answers(replay, {probe_of_clamp()}, {other}, {.draws = 50});
  EXPECT_EQ(report.n, 2);
  EXPECT_EQ(report.n_other, 1);
  EXPECT_FALSE(report.is_own_positive);
  EXPECT_LT(report.score_difference, 1e-5);
  ASSERT_EQ(report.rows.size(), 6U);
  const double half = 0.5 * plan->to_json()[0].at("direction_norm").get<double>();
  for (const MonitorRow& row : report.rows) {
    if (row.state == "base") {
      EXPECT_EQ(row.shift.value, 0);
      EXPECT_EQ(row.distance.value, 0);
    }
    if (row.state == "defended") {
      EXPECT_NEAR(row.shift.value, half, 1e-4);
      EXPECT_GT(row.distance.value, 0.01);
    }
    // The rung projects the perturbation off what the clamp reads: the probe cannot see it either.
    if (row.state == "recovered") {
      EXPECT_NEAR(row.shift.value, half, 1e-4) << row.window;
    }
    EXPECT_GE(row.auroc.value, 0);
  }
  EXPECT_GT(report.rows[5].distance.value, report.rows[4].distance.value + 1e-3);
  const Json json = report.to_json();
  EXPECT_EQ(json.at("own_class"), "negative");
  EXPECT_EQ(json.at("rows")[5].at("window"), "answer");
}

TEST_F(AnswerMonitorTest, AnotherSearchThanTheStoredOneIsSaid) {
  AnswerReplay replay;
  fill(replay);
  replay.score[batch.flips[1].index] += 0.25;
  EXPECT_NEAR(
      monitor_answers(replay, {probe_of_clamp()}, {}, {.draws = 5}).score_difference, 0.25, 1e-5);
}

TEST_F(AnswerMonitorTest, ASiteBelowEveryClampAndAnOtherOfTheSameClassAreConfigErrors) {
  AnswerReplay replay;
  fill(replay);
  MonitorProbe below = probe_of_clamp();
  below.fitted.site = {0, SiteKind::kResidPre};
  std::string message = message_of<ConfigError>([&] { monitor_answers(replay, {below}, {}); });
  EXPECT_NE(message.find("expected one that is not below the first clamp, blocks.1.hook_resid_pre"),
            std::string::npos);
  OtherRequest same{.posed = {{.id = "r9", .text = "x"}, "set", subject.prompt_of("x")}};
  message = message_of<ConfigError>([&] { monitor_answers(replay, {probe_of_clamp()}, {same}); });
  EXPECT_NE(message.find("got r9 of the run's own class"), std::string::npos);
}

class AnswerReplayTest : public RunFolderTest {};

TEST_F(AnswerReplayTest, ARunOfAnotherBehaviourOrWithAHeadlineAtTheInputIsAConfigError) {
  std::filesystem::create_directories(folder());
  const auto error = [&](const Json& spec) {
    write_file_atomically(folder() / "spec.json", spec.dump());
    return message_of<ConfigError>([&] { replay_answers(folder()); });
  };
  EXPECT_NE(error({{"behaviour", {{"kind", "ioi"}}}}).find("got a run of \"ioi\""),
            std::string::npos);
  EXPECT_NE(error(Json::array()).find("expected one of whole answers"), std::string::npos);
  const Json at_input = {{"behaviour", {{"kind", "refusal"}}}, {"rows", {{{"constraint", "gcg"}}}}};
  EXPECT_NE(error(at_input).find("expected an attack on activations"), std::string::npos);
  EXPECT_THROW(replay_answers(folder("absent")), IoError);
}

}  // namespace
}  // namespace rebound
