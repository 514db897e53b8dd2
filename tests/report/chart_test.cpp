#include "rebound/report/chart.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/report/budgets.h"
#include "report/stored_audit.h"

namespace rebound {
namespace {

Json values_of(const Chart& chart) { return chart.spec.at("data").at("values"); }

TEST(ChartTest, ExactRowsAndDriftingOnesStandApart) {
  AuditSummary summary = small_audit().summary;
  EXPECT_EQ(values_of(exact_rows_chart(summary)).size(), 1u);  // drift 1e-7
  EXPECT_EQ(values_of(drift_chart(summary)).size(), 3u);
  summary.rows[0].drift_pre_rel = kNotMeasured;
  EXPECT_EQ(values_of(drift_chart(summary)).size(), 2u);
  summary.rows.clear();
  EXPECT_TRUE(exact_rows_chart(summary).spec.is_null());
  EXPECT_TRUE(drift_chart(summary).spec.is_null());
}

TEST(ChartTest, PointsCarryTheirNumberAndInterval) {
  const Json point = values_of(exact_rows_chart(small_audit().summary))[0];
  EXPECT_EQ(point.at("number"), 2);
  EXPECT_EQ(point.at("role"), "attack");
  EXPECT_EQ(point.at("recovered"), "20/21");
  EXPECT_LT(point.at("low"), point.at("rate"));
}

TEST(ChartTest, ACensoredSearchStandsAtItsCap) {
  const Json points = values_of(minimal_budget_chart(small_audit()));
  ASSERT_EQ(points.size(), 3u);
  EXPECT_EQ(points[2].at("search"), "censored");
  EXPECT_EQ(points[2].at("per_nat"), 5);
  EXPECT_EQ(points[1].at("per_nat"), 3);
}

TEST(ChartTest, AttributionBarsComeFromCountsAndShares) {
  const Json bars = values_of(attribution_chart(small_audit().summary));
  ASSERT_EQ(bars.size(), 2u);
  EXPECT_EQ(bars[0].at("recovered"), "0/21");
  EXPECT_EQ(bars[0].at("share"), 0);
  EXPECT_GT(bars[0].at("high"), 0.1);
  EXPECT_EQ(bars[1].at("measure"), "Shapley share");
  EXPECT_EQ(bars[1].at("share"), 0.93);
  AuditSummary summary = small_audit().summary;
  summary.attribution = {{"parts", {{{"name", "a"}, {"replay", {{"recovered", 3}, {"n", 2}}}}}}};
  EXPECT_TRUE(attribution_chart(summary).spec.is_null()) << "more hits than tries";
}

TEST(ChartTest, SharedRowsNeedTwoBudgetsForACurve) {
  AuditSummary summary = small_audit().summary;
  for (RowSummary& row : summary.rows) row.scope = "shared";
  EXPECT_TRUE(shared_budget_chart(summary).spec.is_null());
  summary.rows[1].constraint = "none";
  summary.rows[1].budget = 5;
  EXPECT_EQ(values_of(shared_budget_chart(summary)).size(), 4u);
}

TEST(BudgetsTest, StoredResultsAreTakenBeforeTheHeadline) {
  const std::vector<BudgetSearch> searches = budget_searches(stored_audit());
  ASSERT_EQ(searches.size(), 4u);
  EXPECT_EQ(series_of(searches),
            (std::vector<std::string>{"recover · encoder", "inject · unrelated"}));
  EXPECT_TRUE(searches[1].is_censored());
  EXPECT_EQ(searches[1].reached(), 20);
  EXPECT_EQ(budget_searches(small_audit()).size(), 3u);
}

TEST(BudgetsTest, ACurveCountsPromptsAndEndsAtTheCap) {
  const std::vector<BudgetCurve> curves = budget_curves(budget_searches(stored_audit()), false);
  ASSERT_EQ(curves.size(), 2u);
  EXPECT_EQ(curves[0].n_prompts, 2);
  ASSERT_EQ(curves[0].steps.size(), 3u);
  EXPECT_EQ(curves[0].steps[0].share, 0);
  EXPECT_EQ(curves[0].steps[1].x, 2);
  EXPECT_EQ(curves[0].steps[1].share, 0.5);
  EXPECT_EQ(curves[0].steps[2].x, 20);
  EXPECT_EQ(curves[0].steps[2].share, 0.5) << "one prompt is censored";
  EXPECT_EQ(curves[1].n_prompts, 1) << "two targets of one prompt";
  EXPECT_EQ(curves[1].steps[1].share, 0.5);
  EXPECT_EQ(curves[1].steps.back().share, 1);
}

TEST(BudgetsTest, PerNatDividesByTheGap) {
  const std::vector<BudgetCurve> curves = budget_curves(budget_searches(stored_audit()), true);
  EXPECT_EQ(curves[0].steps.back().x, 10);  // cap 20 over 2 nats
  EXPECT_EQ(curves[1].steps[1].x, 0.5);     // 3 over 6
}

TEST(BudgetsTest, LongCurvesAreThinnedWithTheirEnds) {
  std::vector<BudgetSearch> searches;
  for (int i = 1; i <= 5000; ++i) {
    searches.push_back({.series = "recover",
                        .is_recovery = true,
                        .prompt = i,
                        .gap = 1,
                        .budget = 1.0 * i,
                        .cap = 5000});
  }
  const std::vector<BudgetCurve::Step> steps = budget_curves(searches, false)[0].steps;
  EXPECT_EQ(steps.size(), 200u);
  EXPECT_EQ(steps.front().share, 0);
  EXPECT_EQ(steps.back().x, 5000);
  EXPECT_NEAR(steps.back().share, 1, 1e-9);
}

TEST(BudgetsTest, SearchesWithoutAGapOrABudgetAreLeftOut) {
  ReportInput input = small_audit();
  input.summary.headline["minimal_budgets"] = {{{"kind", "recover"}, {"gap", 0.0}, {"budget", 1.0}},
                                               {{"kind", "recover"}, {"gap", 1.0}},
                                               3,
                                               "text"};
  EXPECT_TRUE(budget_searches(input).empty());
  EXPECT_TRUE(budget_curve_chart(input).spec.is_null());
  EXPECT_TRUE(minimal_budget_chart(input).spec.is_null());
}

}  // namespace
}  // namespace rebound
