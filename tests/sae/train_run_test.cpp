#include "rebound/sae/train_run.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"
#include "rebound/sae/activation_buffer.h"
#include "rebound/sae/evaluate.h"
#include "rebound/sae/sae_lens_format.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

TrainRunOptions small_run(const std::string& name) {
  set_progress_mode(ProgressMode::kQuiet);
  TrainRunOptions run;
  run.train.d_sae = 48;
  run.train.k = 6;
  run.train.batch_tokens = 64;
  run.train.warmup_steps = 5;
  run.train.lr = 3e-3;
  run.train.dead_after_tokens = 2000;
  run.site = {2, SiteKind::kResidPre};
  run.tokens = 1400;
  run.buffer_tokens = 700;  // two rounds
  run.passes = 6;
  run.target_l0 = 6;
  run.out = fresh_folder("train-" + name);
  return run;
}

at::Tensor training_contexts(int64_t n) {
  Rng rng({41});
  return at::tensor(random_ids(rng, n * 16), at::kLong).view({n, 16}).to(at::kInt);
}

TEST(TrainRunTest, EndToEndGivesASaeThatFitsItsModel) {
  const TrainRunOptions run = small_run("whole");
  const Transformer model = tiny_transformer();
  const auto sae = train_sae(model, training_contexts(200), run);
  ASSERT_TRUE(sae.has_value());
  EXPECT_TRUE(sae->is_pointwise());
  EXPECT_EQ(sae->config().hook_name, "blocks.2.hook_resid_pre");
  const SaeEvaluation e = evaluate_sae(*sae, model, training_contexts(40));
  EXPECT_LT(e.fvu, 0.8);
  EXPECT_NEAR(e.l0, 6, 2);
  EXPECT_FALSE(std::filesystem::exists(run.out / "checkpoint"));
  EXPECT_EQ(load_sae(run.out).d_sae(), 48);
}

TEST(TrainRunTest, StoppedAndResumedEqualsUninterrupted) {
  const Transformer model = tiny_transformer();
  const at::Tensor contexts = training_contexts(200);
  const TrainRunOptions whole = small_run("straight");
  const auto expected = train_sae(model, contexts, whole);
  for (const int64_t stop : {int64_t{7}, whole.passes * whole.steps_per_pass() + 3}) {
    TrainRunOptions run = small_run("resumed");
    run.stop_after_steps = stop;
    EXPECT_FALSE(train_sae(model, contexts, run).has_value());
    EXPECT_FALSE(std::filesystem::exists(run.out / "cfg.json"));
    run.stop_after_steps = -1;
    run.resume = true;
    const auto resumed = train_sae(model, contexts, run);
    EXPECT_TRUE(at::equal(resumed->weights().W_dec, expected->weights().W_dec)) << stop;
    EXPECT_TRUE(at::equal(resumed->weights().threshold, expected->weights().threshold));
  }
}

TEST(TrainRunTest, AKilledHarvestContinuesFromWhatWasSaved) {
  const Transformer model = tiny_transformer();
  const at::Tensor contexts = training_contexts(200);
  const auto expected = train_sae(model, contexts, small_run("straight"));
  TrainRunOptions run = small_run("killed");
  run.stop_after_steps = 0;
  EXPECT_FALSE(train_sae(model, contexts, run).has_value());
  // As if killed after 10 batches of contexts, with a torn write behind them.
  const auto folder = run.out / "checkpoint";
  const Json saved = read_json_file(folder / "harvest.json");
  run.harvest_batch = 4;
  int64_t rows = 0;
  {
    TrainRunOptions partial = small_run("partial");
    partial.tokens = 256;
    partial.buffer_tokens = 256;
    partial.harvest_batch = 1;
    partial.stop_after_steps = 0;
    EXPECT_FALSE(train_sae(model, contexts, partial).has_value());
    const Json state = read_json_file(partial.out / "checkpoint" / "harvest.json");
    rows = state.at("rows").get<int64_t>();
  }
  EXPECT_EQ(rows, 256);
  EXPECT_EQ(saved.at("rows").get<int64_t>(), 700);
  std::filesystem::remove(folder / "state.safetensors");
  write_file_atomically(folder / "harvest.json",
                        Json{{"round", 0}, {"rows", 0}, {"contexts", 0}}.dump());
  run.stop_after_steps = -1;
  run.resume = true;
  run.harvest_batch = 16;
  EXPECT_TRUE(
      at::equal(train_sae(model, contexts, run)->weights().W_enc, expected->weights().W_enc));
}

TEST(TrainRunTest, ResumingWithOtherOptionsIsRefused) {
  const Transformer model = tiny_transformer();
  TrainRunOptions run = small_run("other");
  run.stop_after_steps = 3;
  train_sae(model, training_contexts(200), run);
  run.resume = true;
  run.train.lr = 1;
  EXPECT_THROW(train_sae(model, training_contexts(200), run), ConfigError);
}

TEST(TrainRunTest, TooLittleTextIsAConfigError) {
  EXPECT_THROW(train_sae(tiny_transformer(), training_contexts(20), small_run("short")),
               ConfigError);
}

TEST(ActivationBufferTest, GathersWhatWasAppendedAndDropsTornRows) {
  const auto path = fresh_folder("buffer") / "a.bf16";
  Rng rng({1});
  const at::Tensor x = random_tensor(rng, {10, 4}).to(at::kBFloat16).to(at::kFloat);
  {
    ActivationWriter writer(path, 4, 0);
    writer.append(x.slice(0, 0, 7));
    writer.flush();
  }
  {
    ActivationWriter writer(path, 4, 5);
    writer.append(x.slice(0, 5));
    writer.flush();
    EXPECT_EQ(writer.rows(), 10);
  }
  const ActivationBuffer buffer(path, 4, 10);
  const std::vector<int64_t> index = {9, 0, 5};
  EXPECT_TRUE(
      at::equal(buffer.gather(index.data(), 3), x.index_select(0, at::tensor(index, at::kLong))));
  EXPECT_TRUE(at::equal(buffer.first(99), x));
  EXPECT_THROW(ActivationBuffer(path, 4, 11), DataError);
}

TEST(ActivationBufferTest, EveryPassIsAnotherPermutation) {
  auto a = shuffled_rows(100, 1, 0), b = shuffled_rows(100, 1, 1);
  EXPECT_NE(a, b);
  EXPECT_EQ(a, shuffled_rows(100, 1, 0));
  std::sort(a.begin(), a.end());
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(a[static_cast<size_t>(i)], i);
}

}  // namespace
}  // namespace rebound
