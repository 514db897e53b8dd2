#include "rebound/intervene/edit.h"

#include <gtest/gtest.h>

#include "intervene/intervene_fixture.h"
#include "rebound/base/error.h"

namespace rebound {
namespace {

struct EditCase {
  EditKind kind;
  EditWhen when;
  std::vector<float> expected;  // of the code (0, 2, 5) with value -3
};

class FeatureEditTest : public ::testing::TestWithParam<EditCase> {};

TEST_P(FeatureEditTest, EditsTheCodeAsItsFormulaSays) {
  const FeatureEdit edit{.kind = GetParam().kind, .value = -3, .when = GetParam().when};
  const at::Tensor code = at::tensor({0.f, 2.f, 5.f}).view({1, 1, 3});
  EXPECT_TRUE(edit.apply(code).equal(at::tensor(GetParam().expected).view({1, 1, 3})))
      << edit.apply(code);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds,
    FeatureEditTest,
    ::testing::Values(EditCase{EditKind::kSet, EditWhen::kActiveOnly, {0, -3, -3}},
                      EditCase{EditKind::kSet, EditWhen::kAlways, {-3, -3, -3}},
                      EditCase{EditKind::kScale, EditWhen::kActiveOnly, {0, -6, -15}},
                      EditCase{EditKind::kScale, EditWhen::kAlways, {0, -6, -15}},
                      EditCase{EditKind::kAdd, EditWhen::kActiveOnly, {0, -1, 2}},
                      EditCase{EditKind::kAdd, EditWhen::kAlways, {-3, -1, 2}}));

TEST(FeatureEditTest, ANegativeCodeIsActive) {
  const FeatureEdit edit{.features = {0, 1, 2}, .kind = EditKind::kSet, .value = 1};
  EXPECT_TRUE(edit.apply(at::tensor({-2.f, 0.f, 3.f})).equal(at::tensor({1.f, 0.f, 1.f})));
}

TEST(FeatureEditTest, GradientPassesWhereTheEditKeepsTheCode) {
  const auto slope = [](const FeatureEdit& edit) {
    const at::Tensor code = at::tensor({0.f, 2.f}).requires_grad_(true);
    return torch::autograd::grad({edit.apply(code).sum()}, {code})[0];
  };
  EXPECT_TRUE(slope({.kind = EditKind::kSet, .value = -3}).equal(at::tensor({1.f, 0.f})));
  EXPECT_TRUE(slope({.kind = EditKind::kScale, .value = 4}).equal(at::tensor({1.f, 4.f})));
  EXPECT_TRUE(slope({.kind = EditKind::kAdd, .value = 4}).equal(at::tensor({1.f, 1.f})));
}

TEST(FeatureEditTest, NamesRoundTripAndWrongOnesAreRefused) {
  for (const EditKind kind : {EditKind::kSet, EditKind::kScale, EditKind::kAdd}) {
    EXPECT_EQ(parse_edit_kind(to_string(kind)), kind);
  }
  for (const EditWhen when : {EditWhen::kActiveOnly, EditWhen::kAlways}) {
    EXPECT_EQ(parse_edit_when(to_string(when)), when);
  }
  EXPECT_THROW(parse_edit_kind("clamp"), ConfigError);
  EXPECT_THROW(parse_edit_when("sometimes"), ConfigError);
}

TEST(FeatureEditTest, PrintsEverythingItDoes) {
  const FeatureEdit edit{.features = {7, 3},
                         .kind = EditKind::kAdd,
                         .value = 1.5,
                         .when = EditWhen::kAlways,
                         .positions = {PositionSet::Kind::kList, {-1}}};
  EXPECT_EQ(to_json(edit).dump(),
            R"({"edit":{"kind":"add","value":1.5,"when":"always"},"features":[7,3],)"
            R"("positions":[-1]})");
}

// Rows of two prompts with 3 and 5 tokens.
Rows two_prompts() { return TokenBatch::from({{1, 2, 3}, {1, 2, 3, 4, 5}}).rows(); }

void expect_inside(const PositionSet& set, const std::vector<int64_t>& expected) {
  const at::Tensor wanted = at::tensor(expected, at::kLong).view({2, 5}).to(at::kBool);
  EXPECT_TRUE(set.contains(two_prompts()).equal(wanted)) << set.contains(two_prompts());
}

TEST(PositionSetTest, CountsFromEitherEndAndNeverHitsPadding) {
  expect_inside({PositionSet::Kind::kAll, {}}, {1, 1, 1, 0, 0, 1, 1, 1, 1, 1});
  expect_inside({PositionSet::Kind::kAnswer, {}}, {0, 0, 1, 0, 0, 0, 0, 0, 0, 1});
  expect_inside({PositionSet::Kind::kList, {1, -1}}, {0, 1, 1, 0, 0, 0, 1, 0, 0, 1});
  expect_inside({PositionSet::Kind::kList, {3, -4}}, {0, 0, 0, 0, 0, 0, 1, 0, 1, 0});
}

TEST(PositionSetTest, FirstIsTheLowestPositionInsideThePrompt) {
  EXPECT_EQ((PositionSet{PositionSet::Kind::kAll, {}}).first(6), 0);
  EXPECT_EQ((PositionSet{PositionSet::Kind::kAnswer, {}}).first(6), 5);
  EXPECT_EQ((PositionSet{PositionSet::Kind::kList, {4, -3, 9}}).first(6), 3);
  EXPECT_EQ((PositionSet{PositionSet::Kind::kList, {-8, 2}}).first(6), 2);
  EXPECT_THROW((PositionSet{PositionSet::Kind::kList, {6, -7}}).first(6), ConfigError);
}

TEST(PositionSetTest, RoundTripsThroughJson) {
  for (const char* text : {"\"all\"", "\"answer\"", "[3,-1]"}) {
    EXPECT_EQ(to_json(read_positions(Json::parse(text), "x")).dump(), text);
  }
  for (const char* text : {"\"some\"", "[]", "[1.5]", "3", "null", "[\"1\"]"}) {
    EXPECT_THROW(read_positions(Json::parse(text), "x"), ConfigError) << text;
  }
}

}  // namespace
}  // namespace rebound
