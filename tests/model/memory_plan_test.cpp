// Sizes in words, what a model's forms take, and the plan under a limit.
#include "rebound/model/memory_plan.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

constexpr int64_t kMega = int64_t{1} << 20;

TEST(ParseBytesTest, TakesPowersOf1024) {
  EXPECT_EQ(parse_bytes("1000"), 1000);
  EXPECT_EQ(parse_bytes("3k"), 3 * 1024);
  EXPECT_EQ(parse_bytes("1.5G"), 3 * 512 * kMega);
  EXPECT_EQ(parse_bytes("800MB"), 800 * kMega);
  EXPECT_EQ(parse_bytes("2GiB"), 2048 * kMega);
}

TEST(ParseBytesTest, RefusesWhatIsNoSize) {
  for (const char* text : {"", "G", "-1G", "0", "1T", "1Gb", "2 G", "nan", "inf", "1e30G", "1Gx"}) {
    EXPECT_THROW(parse_bytes(text), ConfigError) << text;
  }
}

TEST(WeightBytesTest, AHuggingFaceFolderInThreeForms) {
  const std::string folder = std::string(REBOUND_SOURCE_DIR) + "/tests/model/golden/tiny_llama_untied";
  const Transformer model = load_model(folder);
  int64_t matrices = model.weights().embed.bytes() + model.weights().head.bytes();
  for (const LayerWeights& w : model.weights().layers) {
    for (const Matrix* m : {&w.qkv, &w.o, &w.gate_up, &w.down}) matrices += m->bytes();
  }
  const WeightBytes bytes = WeightBytes::of(folder);
  EXPECT_EQ(bytes.float32 - bytes.sixteen_bits, matrices / 2);
  EXPECT_GE(bytes.float32, matrices);
  EXPECT_LE(bytes.stored, bytes.float32);
}

TEST(RunBytesTest, GrowsWithRowsLayersAndLogits) {
  const ModelConfig config = tiny_config();
  const auto bytes = [&](RunShape shape) { return run_bytes(config, shape); };
  const RunShape one = {.rows = 5, .keys = 7};
  EXPECT_EQ(bytes({.rows = 10, .keys = 7}), 2 * bytes(one));
  EXPECT_GT(bytes({.rows = 5, .keys = 7, .kept_layers = 3}), 3 * bytes(one));
  EXPECT_EQ(bytes({.rows = 5, .keys = 7, .scored_rows = 2}) - bytes(one), 4 * 2 * 2 * 61);
}

class MemoryPlanTest : public ::testing::Test {
 protected:
  // Program and forms of 400, 200 and 100 MB beside 10 MB an example.
  const int64_t program = resident_bytes() / kMega + 152;
  const WeightBytes weights = {.float32 = 400 * kMega, .sixteen_bits = 200 * kMega, .stored = 100 * kMega};
  MemoryWish wish(int64_t beside_program, const std::string& dtype = "") const {
    return {.limit = (program + beside_program) * kMega * 16 / 15 + 1,
            .dtype = dtype,
            .at_once = 40,
            .bytes_each = 10 * kMega};
  }
};

TEST_F(MemoryPlanTest, TakesAllThatIsWishedForWhenItFits) {
  const MemoryPlan plan = plan_memory(wish(900), weights);
  EXPECT_EQ(plan.dtype, "float32");
  EXPECT_EQ(plan.at_once, 40);
  EXPECT_LE(plan.total(), plan.limit);
}

TEST_F(MemoryPlanTest, LowersTheBatchDownToAnEighthBeforeItChangesTheWeights) {
  const MemoryPlan plan = plan_memory(wish(505), weights);
  EXPECT_EQ(plan.dtype, "float32");
  EXPECT_GE(plan.at_once, 10);
  EXPECT_LT(plan.at_once, 14);
  EXPECT_EQ(plan_memory(wish(455), weights).dtype, "float32");
}

TEST_F(MemoryPlanTest, KeepsWeightsAsStoredWhenThatLetsMoreGoAtOnce) {
  const MemoryPlan plan = plan_memory(wish(310), weights);
  EXPECT_EQ(plan.dtype, "stored");
  EXPECT_GE(plan.at_once, 20);
  EXPECT_LE(plan.total(), plan.limit);
}

TEST_F(MemoryPlanTest, RoundsOnlyWhenTheFileHoldsNothingSmaller) {
  const WeightBytes wide = {.float32 = 400 * kMega, .sixteen_bits = 200 * kMega, .stored = 400 * kMega};
  EXPECT_EQ(plan_memory(wish(330), wide).dtype, "float16");
}

TEST_F(MemoryPlanTest, AGivenDtypeIsKept) {
  const MemoryPlan plan = plan_memory(wish(310, "bfloat16"), weights);
  EXPECT_EQ(plan.dtype, "bfloat16");
  EXPECT_LT(plan.at_once, 13);
  EXPECT_THROW(plan_memory(wish(310, "float32"), weights), ConfigError);
}

TEST_F(MemoryPlanTest, SaysTheLeastThatWouldDo) {
  try {
    plan_memory(wish(50), weights);
    FAIL() << "expected a ConfigError";
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("expected at least"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace rebound
