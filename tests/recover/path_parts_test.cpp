#include "rebound/recover/path_parts.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace rebound {
namespace {

// Two examples of two numbers each.
PathSplit small_split() {
  const at::Tensor a = at::tensor({3.0, 4.0, 0.0, 1.0}).view({2, 2});
  const at::Tensor b = at::tensor({0.0, 0.0, 2.0, 0.0}).view({2, 2});
  const at::Tensor c = at::tensor({-3.0, 8.0, 2.0, 2.0}).view({2, 2});
  return {a + b + c, {a, b, c}, at::full({2, 2}, 0.5), at::ones({2, 2})};
}

// The glove game: two left gloves, one right one; a pair is worth 1.
TEST(PathPartsTest, ShapleyValuesOfTheGloveGameAreTwoThirdsForTheRareGlove) {
  const PathSplit split = small_split();
  std::vector<at::Tensor> scores(path_variants(split).size(), at::zeros({2}));
  for (const size_t worth_one : {0b101, 0b110, 0b111}) scores[worth_one] = at::ones({2});
  const PathFigures figures = path_figures(split, scores);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(figures.parts[0].shapley[i], 1.0 / 6, 1e-12);
    EXPECT_NEAR(figures.parts[1].shapley[i], 1.0 / 6, 1e-12);
    EXPECT_NEAR(figures.parts[2].shapley[i], 4.0 / 6, 1e-12);
  }
  EXPECT_EQ(figures.main_route(), Part::kResidual);
}

// The score is the sum of the perturbation's numbers, so every figure can be read off.
TEST(PathPartsTest, EachFigureScoresTheVariantThatItNames) {
  const PathSplit split = small_split();
  std::vector<at::Tensor> scores;
  for (const at::Tensor& variant : path_variants(split)) scores.push_back(variant.sum(1));
  const PathFigures figures = path_figures(split, scores);
  EXPECT_EQ(figures.none, (std::vector<double>{0, 0}));
  EXPECT_EQ(figures.full, (std::vector<double>{12, 7}));
  EXPECT_EQ(figures.parts[0].replay, (std::vector<double>{7, 1}));
  EXPECT_EQ(figures.parts[0].knock_out, (std::vector<double>{5, 6}));
  EXPECT_EQ(figures.parts[2].replay, (std::vector<double>{5, 4}));
  EXPECT_EQ(figures.parts[2].knock_out, (std::vector<double>{7, 3}));
  EXPECT_EQ(figures.parts[0].norm, (std::vector<double>{5, 1}));
  EXPECT_EQ(figures.top_replay, (std::vector<double>{1, 1}));
  EXPECT_EQ(figures.top_knock_out, (std::vector<double>{11, 6}));
  EXPECT_EQ(figures.random, (std::vector<double>{2, 2}));
  // |(0, 12)| / |(3, 4)| = 12 / 5 times 7, and |(4, 3)| / |(0, 1)| = 5 times 1.
  EXPECT_NEAR(figures.parts[0].norm_matched[0], 7 * 12.0 / 5, 1e-9);
  EXPECT_NEAR(figures.parts[0].norm_matched[1], 5, 1e-9);
  EXPECT_EQ(figures.parts[1].norm_matched[0], 0);  // a part that is not there stays so
}

// A clamped part of 1e-6 beside a whole of 14 is what rounding leaves, no route.
TEST(PathPartsTest, RoundingIsNotScaledUpToTheWhole) {
  PathSplit split = small_split();
  split.parts[0] = at::tensor({3e-6, 4e-6, 0.0, 1.0}).view({2, 2});
  split.whole = split.parts[0] + split.parts[1] + split.parts[2];
  const at::Tensor matched = path_variants(split)[8];  // behind the eight sums of parts
  EXPECT_EQ(matched[0].abs().max().item<double>(), 0);
  EXPECT_NEAR(matched[1].norm().item<double>(), split.whole[1].norm().item<double>(), 1e-6);
}

}  // namespace
}  // namespace rebound
