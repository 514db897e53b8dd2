#include "rebound/audit/runner.h"

#include <fstream>
#include <set>

#include "audit/audit_fixture.h"
#include "rebound/audit/store.h"
#include "rebound/behaviour/toy.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

using RunnerTest = RunFolderTest;

const RowSummary& row_named(const AuditSummary& summary, const std::string& name) {
  for (const RowSummary& row : summary.rows) {
    if (row.name == name) return row;
  }
  throw DataError("no row " + name);
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

constexpr const char* kHeadline = "encoder_decoder/logit_diff/per_prompt@8";

TEST_F(RunnerTest, EveryFlipOfTheLeakyModelComesBackFromOutsideTheDictionary) {
  const AuditSummary summary = run_audit(toy_spec("toy-leaky"), folder());
  EXPECT_EQ(summary.n_prompts, 48);
  EXPECT_EQ(summary.n_valid, 48);
  const RowSummary& row = row_named(summary, kHeadline);
  EXPECT_EQ(row.recovered, 48);
  EXPECT_LT(row.drift_pre_rel, 1e-5);
  EXPECT_EQ(row.reactivated_fraction, 0);
  EXPECT_EQ(row.zero_reactivation, 1);
  EXPECT_EQ(row.extra.at("rechecked_float32"), 48);
  EXPECT_EQ(row.extra.at("disagreements_float32"), 0);
  EXPECT_EQ(summary.attribution.at("main_route"), "outside the dictionary");
  EXPECT_EQ(row_named(summary, concat("clamp_only/", kHeadline)).recovered, 0);
}

TEST_F(RunnerTest, EveryFlipOfTheRoutedModelComesBackAndTheFeatureIsNamed) {
  const AuditSummary summary = run_audit(toy_spec("toy-feature-routed"), folder());
  EXPECT_EQ(row_named(summary, kHeadline).recovered, 48);
  EXPECT_EQ(summary.attribution.at("main_route"), "other features");
  const auto top = summary.attribution.at("top_other_features").get<std::vector<double>>();
  for (const int64_t route : make_toy(ToyKind::kFeatureRouted).route_features) {
    EXPECT_EQ(std::count(top.begin(), top.end(), static_cast<double>(route)), 1) << route;
  }
}

TEST_F(RunnerTest, NoFlipOfTheSealedModelComesBackAndTheVerdictIsABottleneck) {
  AuditSpec spec = toy_spec("toy-sealed");
  spec.controls = {.is_on = true, .random_draws = 2, .inject_targets = 1, .shared_budgets = {}};
  const AuditSummary summary = run_audit(spec, folder());
  const RowSummary& sealed = row_named(summary, kHeadline);
  EXPECT_EQ(sealed.n_valid, 48);
  EXPECT_EQ(sealed.recovered, 0);
  EXPECT_EQ(row_named(summary, "none/logit_diff/per_prompt@8").recovered, 48);
  EXPECT_EQ(summary.verdict, "bottleneck at budget 8");
  // A zero counts only because the same attack finds a leak planted for the check.
  const RowSummary& power = row_named(summary, std::string("power/") + kHeadline);
  EXPECT_EQ(power.n_valid, 48);
  EXPECT_GE(power.recovered, 44);
}

TEST_F(RunnerTest, TheFolderHoldsTheEffectiveSpecTheStoreAndTheReturnedSummary) {
  AuditSpec spec = toy_spec("toy-leaky");
  spec.rows.resize(1);
  spec.rows[0].steps = 3;
  spec.trace = true;
  const AuditSummary summary = run_audit(spec, folder());
  for (const char* name : {"spec.json", "run.sqlite", "summary.json"})
    EXPECT_EQ(names_in(folder()).count(name), 1u);
  EXPECT_EQ(to_json(read_spec(read_json_file(folder() / "spec.json"), "spec.json")), to_json(spec));
  EXPECT_EQ(AuditSummary::from_json(read_json_file(folder() / "summary.json")).to_json(),
            summary.to_json());

  const Store store = Store::open_read_only(folder() / "run.sqlite");
  EXPECT_EQ(store.examples().size(), 48u);
  EXPECT_EQ(store.results(kHeadline).size(), 48u);
  const std::vector<TracePoint> traces = store.traces();
  ASSERT_EQ(traces.size(), 48u * 3);
  for (const TracePoint& point : traces) EXPECT_LE(point.norm, 8 * (1 + 1e-6));
}

TEST_F(RunnerTest, BatchesOfTwelveGiveWhatOneBatchGives) {
  AuditSpec spec = toy_spec("toy-leaky");
  spec.rows.resize(1);
  const AuditSummary whole = run_audit(spec, folder("whole"));
  spec.batch = 12;
  const AuditSummary parts = run_audit(spec, folder("parts"));
  const RowSummary &a = row_named(whole, kHeadline), &b = row_named(parts, kHeadline);
  EXPECT_EQ(a.recovered, b.recovered);
  EXPECT_NEAR(a.kl_to_base, b.kl_to_base, 1e-3 * std::abs(a.kl_to_base));
  EXPECT_NEAR(a.norm_mean, b.norm_mean, 1e-4 * a.norm_mean);
}

AuditSpec spec_with_every_control() {
  AuditSpec spec = toy_spec("toy-leaky");
  spec.rows[0].steps = 5;
  spec.rows[1].steps = 2;
  spec.controls = {.is_on = true, .random_draws = 2, .inject_targets = 1, .shared_budgets = {8}};
  spec.batch = 24;
  return spec;
}

TEST_F(RunnerTest, AnInterruptedRunResumesToTheSummaryOfAnUninterruptedOne) {
  const AuditSpec spec = spec_with_every_control();
  int asked = 0;
  const AuditSummary whole = run_audit(spec, folder("whole"), [&] { return ++asked, false; });
  ASSERT_GT(asked, 20);

  int left = asked / 2;
  try {
    run_audit(spec, folder("halves"), [&] { return left-- == 0; });
    FAIL() << "was not interrupted";
  } catch (const Error& e) {
    EXPECT_EQ(e.exit_code, 130);
    EXPECT_NE(std::string(e.what()).find("--resume"), std::string::npos) << e.what();
  }
  EXPECT_FALSE(fs::exists(folder("halves") / "summary.json"));
  int rest = 0;
  const AuditSummary resumed = resume_audit(folder("halves"), [&] { return ++rest, false; });
  EXPECT_EQ(rest, asked - asked / 2);  // finished batches are not repeated
  EXPECT_EQ(difference_of(whole.to_json(), resumed.to_json()), "");

  // A finished run resumes to itself.
  EXPECT_EQ(difference_of(whole.to_json(), resume_audit(folder("whole")).to_json()), "");
}

TEST_F(RunnerTest, EveryControlIsARowWithItsName) {
  AuditSpec spec = spec_with_every_control();
  spec.batch = 48;
  const AuditSummary summary = run_audit(spec, folder());
  std::set<std::string> names, controls;
  for (const RowSummary& row : summary.rows) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    if (!row.control) continue;
    controls.insert(*row.control);
    EXPECT_EQ(row.name.rfind(*row.control + "/", 0), 0u) << row.name;
  }
  // No power check where the headline row recovered everything.
  std::set<std::string> expected(kControls.begin(), kControls.end());
  if (row_named(summary, kHeadline).recovered == summary.n_valid) expected.erase("power");
  EXPECT_EQ(controls, expected);
  const std::string minimal = "encoder_decoder/minimal_budget/per_prompt@8";
  for (const std::string& name : {std::string(kHeadline),
                                  std::string("none/logit_diff/per_prompt@8"),
                                  concat("random/", kHeadline),
                                  std::string("projected_undo/encoder/logit_diff/per_prompt@8"),
                                  concat("inject/", minimal, "/unrelated"),
                                  concat("inject/", minimal, "/other_name"),
                                  concat("inject/", minimal, "/gap_matched"),
                                  std::string("encoder_decoder/logit_diff/shared@8"),
                                  std::string("inject/encoder_decoder/logit_diff/shared@8")}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
  EXPECT_EQ(row_named(summary, concat("random/", kHeadline)).n_valid, 2 * 48);
}

TEST_F(RunnerTest, NoValidFlipIsNoError) {
  AuditSpec spec = spec_with_every_control();
  spec.defence.edit.kind = EditKind::kAdd;
  spec.defence.edit.value = 0;
  spec.defence.is_value_given = true;
  const AuditSummary summary = run_audit(spec, folder());
  EXPECT_EQ(summary.n_valid, 0);
  EXPECT_EQ(summary.verdict, "undetermined");
  ASSERT_FALSE(summary.rows.empty());
  EXPECT_EQ(summary.rows[0].name, kHeadline);
  EXPECT_EQ(summary.rows[0].n_valid, 0);
  EXPECT_TRUE(summary.to_json().at("rows")[0].at("rate").is_null());
  EXPECT_EQ(summary.to_json().dump().find("nan"), std::string::npos);
}

TEST_F(RunnerTest, ASharedRowAloneIsAWholeAudit) {
  AuditSpec spec = toy_spec("toy-leaky");
  spec.rows.resize(1);
  spec.rows[0].scope = RowScope::kShared;
  spec.rows[0].steps = 5;
  spec.controls = {.is_on = true, .random_draws = 2, .inject_targets = 1, .shared_budgets = {}};
  spec.batch = 24;
  const AuditSummary summary = run_audit(spec, folder());
  EXPECT_EQ(row_named(summary, "encoder_decoder/logit_diff/shared@8").n_valid, 48);
  EXPECT_EQ(row_named(summary, "random/encoder_decoder/logit_diff/shared@8").n_valid, 2 * 48);
  EXPECT_EQ(row_named(summary, "inject/encoder_decoder/logit_diff/shared@8").target, "wrong_rule");
}

TEST_F(RunnerTest, AMinimalBudgetRowAloneIsAWholeAudit) {
  AuditSpec spec = toy_spec("toy-leaky");
  spec.rows.resize(1);
  spec.rows[0].kind = RowKind::kMinimalBudget;
  spec.rows[0].steps = 5;
  const AuditSummary summary = run_audit(spec, folder());
  EXPECT_EQ(row_named(summary, "encoder_decoder/minimal_budget/per_prompt@8").recovered, 48);
  EXPECT_TRUE(summary.headline.contains("minimal_budgets"));
}

TEST_F(RunnerTest, AFolderWithFilesIsRefusedAndLeftAlone) {
  fs::create_directories(folder());
  std::ofstream(folder() / "notes.txt") << "mine";
  EXPECT_THROW(run_audit(toy_spec("toy-leaky"), folder()), IoError);
  EXPECT_EQ(names_in(folder()), std::set<std::string>{"notes.txt"});
}

TEST_F(RunnerTest, ARunThatCannotStartLeavesNothing) {
  AuditSpec bad_feature = toy_spec("toy-leaky");
  bad_feature.defence.features = {100'000};
  EXPECT_THROW(run_audit(bad_feature, folder()), ConfigError);
  EXPECT_FALSE(fs::exists(folder()));

  AuditSpec bad_position = toy_spec("toy-leaky");
  bad_position.perturb = {PositionSet::Kind::kList, {5000}};
  fs::create_directories(folder());
  EXPECT_THROW(run_audit(bad_position, folder()), ConfigError);
  EXPECT_EQ(names_in(folder()), std::set<std::string>{});
}

TEST_F(RunnerTest, AFolderBelowAFileCannotBeCreated) {
  std::ofstream(folder("file")) << "x";
  EXPECT_THROW(run_audit(toy_spec("toy-leaky"), folder("file") / "run"), IoError);
}

TEST_F(RunnerTest, OnlyARunCanBeResumed) {
  EXPECT_THROW(resume_audit(folder("absent")), IoError);
  fs::create_directories(folder());
  std::ofstream(folder() / "spec.json") << "{\"rows\": ";
  EXPECT_THROW(resume_audit(folder()), DataError);
}

}  // namespace
}  // namespace rebound
