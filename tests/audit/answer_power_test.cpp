// Would the search have found a route? The flips that the headline missed, with a leak planted.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "audit/answer_fixture.h"
#include "rebound/audit/answer_rows.h"

namespace rebound {
namespace {

class AnswerPowerTest : public AnswerBatchTest {
 protected:
  AnswerPowerTest() {
    spec.rows[0].steps = 200;
    spec.rows[0].lr = 0.1;
  }

  std::vector<StoredResult> power_after(const std::set<int64_t>& recovered) {
    std::filesystem::create_directories(folder());
    store_ = std::make_unique<Store>(Store::create(folder() / "run.sqlite"));
    batch.store = store_.get();
    FinishedBatch headline{.row = spec.rows[0].name()};
    for (const AnswerFlip& flip : batch.flips) {
      headline.results.push_back({.prompt = flip.index, .recovered = recovered.count(flip.index) > 0});
    }
    store_->put_batch(headline);
    for (const AnswerRow& row : answer_rows(spec)) {
      if (row.head.control != "power") continue;
      EXPECT_EQ(row.head.name, "power/" + spec.rows[0].name());
      return row.run(batch).results;
    }
    ADD_FAILURE() << "no row of the power check";
    return {};
  }

  std::unique_ptr<Store> store_;
};

TEST_F(AnswerPowerTest, SearchesOnlyWhatWasMissedAndFindsThePlantedLeak) {
  const auto results = power_after({10, 12});
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[0].prompt, 11);
  EXPECT_EQ(results[1].prompt, 13);
  for (const StoredResult& result : results) {
    EXPECT_TRUE(result.recovered) << result.prompt;
    EXPECT_LE(result.figures.at("norm").get<double>(), spec.rows[0].budget * 1.001);
  }
}

// A search that may not move finds nothing: the row can fail.
TEST_F(AnswerPowerTest, ASearchWithoutStepsMissesTheLeak) {
  spec.rows[0].steps = 1;
  spec.rows[0].lr = 1e-6;
  for (const StoredResult& result : power_after({})) EXPECT_FALSE(result.recovered);
}

TEST_F(AnswerPowerTest, NothingMissedNothingToSearch) {
  EXPECT_TRUE(power_after({10, 11, 12, 13}).empty());
}

}  // namespace
}  // namespace rebound
