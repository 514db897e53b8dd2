// A toy family end to end: trained, read by the engine, measured, fitted, priced.
#include "rebound/scaling/family_runs.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/rng.h"
#include "rebound/scaling/cost.h"
#include "rebound/scaling/splice_loss.h"
#include "rebound/stats/quantile.h"
#include "support/failures.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

FamilyOptions toy_family() {
  return {.name = "toy",
          .base_compute = 1e8,
          .budgets = {1, 3, 9, 27},
          .held_out = {15},
          .tokens_per_parameter = 8,
          .n_layers = 1,
          .context_length = 16,
          .batch_contexts = 4,
          .lr = 1e-2};
}

// Twelve words in random order: spelling can be learned, the order cannot.
at::Tensor word_contexts(int64_t n, uint64_t seed) {
  const char* words[] = {"red ",
                         "house ",
                         "window ",
                         "to ",
                         "river ",
                         "amber ",
                         "song ",
                         "lamp ",
                         "violet ",
                         "under ",
                         "ox ",
                         "quartz "};
  Rng rng({seed});
  std::vector<int64_t> bytes;
  while (static_cast<int64_t>(bytes.size()) < n * 16) {
    for (const char c : std::string(words[rng.below(12)])) bytes.push_back(c);
  }
  bytes.resize(static_cast<size_t>(n * 16));
  return at::tensor(bytes, at::kLong).view({n, 16}).to(at::kInt);
}

const CurveText kText{.file = "words", .sha256 = "w", .contexts = 40, .context_length = 16};

// Trained once, for every test of this file.
const fs::path& trained_family() {
  static const fs::path folder = [] {
    const fs::path out = fresh_folder("family");
    train_family(word_contexts(7000, 1), toy_family(), {.out = out, .text = "words"});
    return out;
  }();
  return folder;
}

TEST(FamilyRunsTest, MoreComputeLessLossAndTheHeldOutRunLiesOnTheCurve) {
  const ScalingCurve curve = measure_family(trained_family(), word_contexts(40, 2), kText);
  ASSERT_EQ(curve.runs.size(), 4u);
  ASSERT_EQ(curve.held_out.size(), 1u);
  EXPECT_EQ(curve.held_out[0].name, "15x");
  for (size_t i = 1; i < curve.runs.size(); ++i) {
    EXPECT_GT(curve.runs[i].compute, curve.runs[i - 1].compute);
    EXPECT_LT(curve.runs[i].loss, curve.runs[i - 1].loss);
  }
  const PowerLaw law = fit_power_law(curve.points());
  const ScalingRun& held_out = curve.held_out[0];
  EXPECT_NEAR(law.loss_at(held_out.compute) / held_out.loss, 1, 0.1);
}

TEST(FamilyRunsTest, TheLossOfARunIsThatOfTheEnginesModel) {
  const at::Tensor contexts = word_contexts(40, 2);
  const ScalingCurve curve = measure_family(trained_family(), contexts, kText);
  const Transformer model = load_model((trained_family() / "9x").string());
  EXPECT_DOUBLE_EQ(curve.runs[2].loss, mean(context_losses(model, contexts)));
  EXPECT_EQ(curve.runs[2].d_model, model.d_model());
  EXPECT_EQ(curve.runs[2].model_sha256,
            sha256_of_file(trained_family() / "9x" / "model.safetensors"));
}

TEST(FamilyRunsTest, AModelOfTheFamilyIsPricedByItsCurve) {
  const at::Tensor contexts = word_contexts(40, 2);
  const ScalingCurve curve = measure_family(trained_family(), contexts, kText);
  const fs::path file = fresh_folder("price") / "toy.json";
  write_file_atomically(file, to_json(curve).dump());
  const fs::path folder = trained_family() / "27x";
  const CurveChoice choice = choose_curve(folder, "", {file});
  ASSERT_TRUE(choice.run.has_value());
  const ComputePrice price(*choice.curve);
  const Transformer model = load_model(folder.string());
  const auto clean = context_losses(model, contexts);
  const Site site{0, SiteKind::kResidPost};
  const at::Tensor mean_value = mean_activation(model, site, contexts);

  double before = 1.0000001;
  for (const double kept : {1.0, 0.9, 0.6, 0.0}) {  // towards mean ablation
    Hooks hooks;
    hooks.edits[site] = [&](const at::Tensor& x, const Rows&) {
      return kept * x + (1 - kept) * mean_value;
    };
    const auto losses = context_losses(model, contexts, hooks);
    const SpliceCost cost = cost_of("kept", clean, losses, &price, choice.run->compute);
    ASSERT_TRUE(cost.share.has_value());
    EXPECT_LE(cost.share->share.value, before) << kept;
    if (kept == 1.0) {
      EXPECT_NEAR(cost.share->share.value, 1, 0.05);
    }
    if (kept == 0.0) {
      EXPECT_EQ(cost.share->relation, ShareRelation::kBelow);
    }
    before = cost.share->share.value;
  }
}

TEST(FamilyRunsTest, AResumedFamilyKeepsFinishedRunsAndMakesTheOthersTheSame) {
  const fs::path copy = fresh_folder("resume") / "family";
  fs::copy(trained_family(), copy, fs::copy_options::recursive);
  const std::string expected = sha256_of_file(copy / "3x" / "model.safetensors");
  fs::remove(copy / "3x" / "training.json");
  write_file_atomically(copy / "3x" / "model.safetensors", "half written");
  const auto kept_at = fs::last_write_time(copy / "27x" / "training.json");
  train_family(
      word_contexts(7000, 1), toy_family(), {.out = copy, .resume = true, .text = "words"});
  EXPECT_EQ(sha256_of_file(copy / "3x" / "model.safetensors"), expected);
  EXPECT_EQ(fs::last_write_time(copy / "27x" / "training.json"), kept_at);
}

TEST(FamilyRunsTest, AFinishedRunIsNeitherOverwrittenNorMixedWithAnother) {
  const at::Tensor contexts = word_contexts(7000, 1);
  const auto train = [&](const FamilyOptions& options, const Json& text, bool resume) {
    return message_of<ConfigError>([&] {
      train_family(contexts, options, {.out = trained_family(), .resume = resume, .text = text});
    });
  };
  EXPECT_NE(train(toy_family(), "words", false).find("--resume"), std::string::npos);
  EXPECT_NE(train(toy_family(), "other words", true).find("another plan"), std::string::npos);
  FamilyOptions faster = toy_family();
  faster.lr = 2e-2;
  EXPECT_NE(train(faster, "words", true).find("another plan"), std::string::npos);
}

TEST(FamilyRunsTest, TooLittleTextAndAnEmptyFolderAreErrors) {
  const fs::path out = fresh_folder("short");
  const std::string message = message_of<ConfigError>(
      [&] { train_family(word_contexts(30, 1), toy_family(), {.out = out}); });
  EXPECT_NE(message.find("got 30 contexts"), std::string::npos) << message;
  EXPECT_TRUE(fs::is_empty(out));
  EXPECT_THROW(measure_family(out, word_contexts(4, 2), kText), DataError);
  EXPECT_THROW(measure_family(out / "absent", word_contexts(4, 2), kText), IoError);
}

}  // namespace
}  // namespace rebound
