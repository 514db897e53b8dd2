// Audits of whole answers, questions and relearning on another device against the CPU.
#include <cmath>

#include "audit/answer_fixture.h"
#include "device/device_fixture.h"
#include "rebound/audit/answer_design.h"
#include "rebound/audit/answer_monitor.h"
#include "rebound/audit/answer_path.h"
#include "rebound/audit/answer_rows.h"
#include "rebound/audit/answer_search.h"
#include "rebound/audit/fold_relearn.h"
#include "rebound/behaviour/multiple_choice.h"
#include "rebound/model/margin.h"
#include "rebound/sae/sae_lens_format.h"
#include "sae/sae_fixture.h"
#include "support/failures.h"

namespace rebound {
namespace {

// Figures of a search, relative to the larger of 1 and the figure.
constexpr double kFigureGap = 5e-3;

void expect_figures(const Json& found, const Json& expected, const std::string& where) {
  if (expected.is_number() && found.is_number()) {
    const double x = found.get<double>(), y = expected.get<double>();
    EXPECT_NEAR(x, y, kFigureGap * std::max(1.0, std::abs(y))) << where;
    return;
  }
  if (!expected.is_structured()) {
    EXPECT_EQ(found, expected) << where;
    return;
  }
  ASSERT_EQ(found.size(), expected.size()) << where;
  for (const auto& [key, value] : expected.items()) {
    if (key == "seconds" || key == "drift_by_feature") continue;
    const Json& other = expected.is_array() ? found.at(std::stoul(key)) : found.at(key);
    expect_figures(other, value, where + "." + key);
  }
}

class AnswerDeviceTest : public AnswerBatchTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_device(GetParam()); !why.empty()) GTEST_SKIP() << why;
  }

  void move() {
    const at::Device device = device_of(GetParam());
    subject.model = subject.search = std::make_shared<const Transformer>(subject.model->to(device));
    Rng rng({8});  // as the fixture drew them
    std::vector<std::shared_ptr<const Clamp>> clamps;
    for (const int64_t layer : {1, 2}) {
      DirectionClamp::Options options{.edit = DirectionEdit::kAdd, .strength = 0.5};
      options.sink_norm = 1e9;
      clamps.push_back(std::make_shared<const DirectionClamp>(
          Site{layer, SiteKind::kResidPre}, random_tensor(rng, {24}).to(device), options));
    }
    batch.plan = plan =
        std::make_shared<const ClampPlan>(std::move(clamps), subject.model->config());
  }

  // What `compute` gives on the CPU and then on the device.
  template <class Compute>
  void expect_same(const Compute& compute) {
    const Json expected = compute("near");
    move();
    expect_figures(compute("far"), expected, "");
  }
};

TEST_P(AnswerDeviceTest, EveryRowAndControlOfABatchIsTheCpus) {
  spec.rows = {AnswerRowSpec::of("forward_projection"),
               AnswerRowSpec::of("forward_projection", RowKind::kMinimalBudget),
               AnswerRowSpec::of("soft_suffix"),
               AnswerRowSpec::of("gcg")};
  for (AnswerRowSpec& row : spec.rows) {
    row.steps = 2;
    row.suffix = {.tokens = 3, .search_width = 6, .top_k = 8};
  }
  spec.controls.random_draws = 1;
  spec.controls.inject_answers = 1;
  std::vector<std::vector<int64_t>> others = batch.base_answers();
  std::rotate(others.begin(), others.begin() + 1, others.end());
  batch.foreign_answers = {others};
  expect_same([&](const char* name) {
    Store store = Store::create(fresh_folder(concat("answer_rows_", name)) / "run.sqlite");
    batch.store = &store;  // what the power check asks
    Json all = Json::object();
    for (const AnswerRow& row : answer_rows(spec)) {
      Json& mine = all[row.head.name] = Json::array();
      FinishedBatch finished = row.run(batch);
      finished.row = row.head.name;
      store.put_batch(finished);
      for (const StoredResult& result : finished.results) {
        mine.push_back({{"prompt", result.prompt},
                        {"score", std::isfinite(result.score) ? Json(result.score) : Json()},
                        {"figures", result.figures}});
      }
    }
    batch.store = nullptr;
    EXPECT_GE(all.size(), 8u);
    return all;
  });
}

TEST_P(AnswerDeviceTest, AttributionAndStatesAreTheCpus) {
  SaeConfig config = tiny_sae(SaeKind::kStandard).config();
  const auto folder = fresh_folder("answer_device_sae");
  save_sae(Sae(config, tiny_sae(SaeKind::kStandard).weights()), folder, SaveDType::kFloat32);
  spec.attribution.saes = {folder.string()};
  expect_same([&](const char* name) {
    Store store = Store::create(fresh_folder(concat("answer_device_", name)) / "run.sqlite");
    FinishedBatch done{.row = spec.headline().name()};
    for (const AnswerFlip& flip : batch.flips) {
      done.results.push_back({.prompt = flip.index, .recovered = flip.index != 11});
    }
    store.put_batch(done);
    const at::Tensor delta =
        search_answers(batch, spec.rows[0], batch.problem(*subject.search, batch.base_answers()))
            .delta;
    const AnswerStates states = answer_states(batch, {3, SiteKind::kResidPost}, delta);
    EXPECT_EQ(states.recovered.device(), subject.model->device());
    return Json{
        {"path", attribute_answers(batch, store, load_path_dictionaries(spec, *plan, subject))},
        {"counted", states.counted.sum().item<int64_t>()},
        {"defended", states.defended.norm().item<double>()},
        {"recovered", states.recovered.norm().item<double>()}};
  });
}

TEST_P(AnswerDeviceTest, DesignedDefencesAreTheCpus) {
  const auto folder = fresh_folder("answer_device_sae");
  save_sae(tiny_sae(SaeKind::kJumpRelu), folder, SaveDType::kFloat32);
  subject.train = subject.test;
  spec.defence.layers = {1, 2};
  spec.defence.saes = {folder.string()};
  spec.defence.features = 6;
  expect_same([&](const char*) {
    spec.defence.kind = "directions";
    const AnswerDesign directions = design_answer_defence(spec, subject);
    spec.defence.kind = "features";
    const AnswerDesign features = design_answer_defence(spec, subject).with_features(3, 6);
    const Hooks hooks = features.at_strength(0.5, subject.model->config())->hooks();
    return Json{{"direction", directions.parts.at(0).direction.norm().item<double>()},
                {"sink_norm", directions.parts.at(0).sink_norm},
                {"features", features.parts.at(0).features},
                {"differences", features.parts.at(0).differences},
                {"answers", answer_all(subject, subject.train, hooks, 6)}};
  });
}

TEST_P(AnswerDeviceTest, QuestionsAndRelearningAreTheCpus) {
  const std::vector<Question> questions = {{"a", "Where?", {"Rome", "Oslo", "Lima", "Bern"}, 0, -1},
                                           {"b", "Who?", {"Al", "Bo", "Cy", "Di"}, 2, -1}};
  std::vector<std::vector<int64_t>> ids;
  for (const PosedRequest& request : subject.test) ids.push_back(request.ids);
  const auto n = static_cast<int64_t>(ids.size());
  const ScoredPrompts prompts{
      TokenBatch::from(ids), at::arange(n, at::kLong) + 5, at::full({n}, kBestOther, at::kLong)};
  expect_same([&](const char*) {
    const Transformer& model = *subject.model;
    return Json{{"likelihoods", option_likelihoods(model, *subject.tokenizer, questions)},
                {"letters", letter_picks(model, *subject.tokenizer, questions)},
                {"loss", relearn(model, prompts, plan->hooks(), {.steps = 3, .lr = 0.01}).loss}};
  });
}

INSTANTIATE_TEST_SUITE_P(Devices,
                         AnswerDeviceTest,
                         ::testing::Values(kStrictDevice, kGpu),
                         name_of_device);

}  // namespace
}  // namespace rebound
