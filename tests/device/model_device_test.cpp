// A model on another device against itself on the CPU.
#include "device/device_fixture.h"
#include "model/family_fixture.h"
#include "rebound/model/device.h"
#include "rebound/model/generate.h"
#include "rebound/model/generate_batch.h"
#include "rebound/model/margin.h"
#include "rebound/model/prefix_forest.h"
#include "rebound/model/segment.h"

namespace rebound {
namespace {

// What families differ in: learned positions and layer norm, parallel blocks, norms of queries and
// keys, soft caps and windows, post-norms.
constexpr const char* kDeviceFamilies[] = {
    "gpt2", "gpt_neox", "llama", "qwen3", "gemma2", "gemma3", "olmo2", "stablelm_parallel"};

at::Tensor longs(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

class ModelDeviceTest : public DeviceTest {
 protected:
  const at::NoGradGuard no_grad_;
  Transformer near_ = tiny_transformer();
  Rng rng_ = Rng({71});

  std::vector<int64_t> ids(int64_t count) { return random_ids(rng_, count); }
};

TEST_P(ModelDeviceTest, LogitsAndEverySiteOfEveryFamilyAreTheCpus) {
  for (const char* family : kDeviceFamilies) {
    SCOPED_TRACE(family);
    const Transformer near = load_model(family_folder(family).string()), far = near.to(device());
    EXPECT_EQ(far.device(), device());
    const auto tokens = random_ids(rng_, 11, near.config().vocab_size);
    const at::Tensor logits = last_logits(far, tokens);
    EXPECT_EQ(logits.device(), device());
    EXPECT_LT(relative_gap(logits.cpu(), last_logits(near, tokens)), kDeviceGap);
    const Activations expected = all_activations(near, tokens),
                      found = all_activations(far, tokens);
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [site, value] : expected) {
      EXPECT_EQ(found.at(site).device(), device()) << to_string(site);
      EXPECT_LT(relative_gap(found.at(site).cpu(), value), kDeviceGap) << to_string(site);
    }
  }
}

TEST_P(ModelDeviceTest, ThirtyTwoGreedyTokensOfEveryFamilyAreTheCpus) {
  for (const char* family : kDeviceFamilies) {
    SCOPED_TRACE(family);
    const Transformer near = load_model(family_folder(family).string());
    const auto prompt = random_ids(rng_, 6, near.config().vocab_size);
    const GenerateOptions options{.max_new_tokens = 32};
    EXPECT_EQ(generate(near.to(device()), prompt, options), generate(near, prompt, options));
  }
}

TEST_P(ModelDeviceTest, SampledTokensAreTheCpus) {
  const std::vector<int64_t> prompt = ids(5);
  const GenerateOptions options{.max_new_tokens = 12, .temperature = 0.7, .top_p = 0.9, .seed = 4};
  EXPECT_EQ(generate(near_.to(device()), prompt, options), generate(near_, prompt, options));
}

TEST_P(ModelDeviceTest, ABatchOfPromptsIsAnsweredAsOnTheCpuAndFinishedOnesMayLeave) {
  const std::vector<std::vector<int64_t>> prompts = {ids(3), ids(9), ids(5)};
  const Transformer far = near_.to(device());
  const auto expected = generate_batch(near_, prompts, {.max_new_tokens = 12});
  EXPECT_EQ(generate_batch(far, prompts, {.max_new_tokens = 12}), expected);
  const GenerateBatchOptions leaving{.max_new_tokens = 12,
                                     .stop_tokens = {expected[0][3], expected[2][6]},
                                     .keeps_finished = false};
  EXPECT_EQ(generate_batch(far, prompts, leaving), generate_batch(near_, prompts, leaving));
}

TEST_P(ModelDeviceTest, AnEditSeesValuesAndRowsOnTheDevice) {
  const Site site{2, SiteKind::kResidPre};
  const auto run = [&](const Transformer& model) {
    RunOptions options;
    options.hooks.edits[site] = [&](const at::Tensor& value, const Rows& rows) {
      EXPECT_EQ(value.device(), model.device());
      for (const at::Tensor& of_rows : {rows.position, rows.is_real, rows.length}) {
        EXPECT_EQ(of_rows.device(), model.device());
      }
      return at::where((rows.position == rows.length - 1).unsqueeze(-1), value * 2, value);
    };
    return model.run(TokenBatch::from({{1, 2, 3, 4}, {5, 6}}), options).resid.cpu();
  };
  EXPECT_LT(relative_gap(run(near_.to(device())), run(near_)), kDeviceGap);
}

TEST_P(ModelDeviceTest, ASegmentAndItsGradientAreTheCpus) {
  const TokenBatch batch = TokenBatch::from({ids(8), ids(6), ids(7)});
  const SegmentSpec spec{{2, SiteKind::kResidPre}, {5, 3, 4}, {{7}, {5}, {6}}};
  Hooks later;  // an edit that knows where its example ends
  later.edits[{3, SiteKind::kResidPre}] = [](const at::Tensor& value, const Rows& rows) {
    return at::where((rows.position == rows.length - 1).unsqueeze(-1), value * 2, value);
  };
  const auto run = [&](const Transformer& model) {
    const Segment whole = Segment::record(model, batch, later, spec);
    const Segment segment = whole.select(longs({2, 0}));
    const at::Tensor same =
        whole.run(whole.resid()).index_select(0, longs({2, 0}).to(model.device()));
    const at::AutoGradMode grad_mode(true);
    const at::Tensor resid = segment.resid().detach().requires_grad_(true);
    const at::Tensor out = segment.run(resid);
    EXPECT_LT(relative_gap(out.detach(), same), kDeviceGap);
    const at::Tensor loss =
        logit_margins(model, out.squeeze(1), longs({3, 4}), longs({9, 8})).sum();
    const at::Tensor gradient = torch::autograd::grad({loss}, {resid})[0];
    EXPECT_EQ(gradient.device(), model.device());
    return std::pair(out.detach().cpu(), gradient.cpu());
  };
  const auto [out, gradient] = run(near_);
  const auto [far_out, far_gradient] = run(near_.to(device()));
  EXPECT_LT(relative_gap(far_out, out), kDeviceGap);
  EXPECT_LT(relative_gap(far_gradient, gradient), kDeviceGap);
}

TEST_P(ModelDeviceTest, AForestOfPrefixesIsTheCpus) {
  const PrefixForest forest = PrefixForest::from({{1, 2, 3}, {1, 2, 7, 8}, {4}});
  EXPECT_LT(relative_gap(forest.run(near_.to(device())).cpu(), forest.run(near_)), kDeviceGap);
}

TEST_P(ModelDeviceTest, MarginsTakeTokensFromTheCpu) {
  const auto margins = [&](const Transformer& model) {
    const at::Tensor resid = model.run(TokenBatch::from({{1, 2, 3}, {4, 5, 6}})).resid.select(1, 2);
    const at::Tensor correct = longs({3, 4}), wrong = longs({7, kBestOther});
    return at::cat({logit_margins(model, resid, correct, longs({7, 8})),
                    logit_margins(model, resid, correct, wrong),
                    margins_of_logits(model.logits(resid), correct, wrong)})
        .cpu();
  };
  EXPECT_LT(relative_gap(margins(near_.to(device())), margins(near_)), kDeviceGap);
}

TEST_P(ModelDeviceTest, ItComesBackAsItWas) {
  const Transformer back = near_.to(device()).to(at::Device(at::kCPU));
  EXPECT_TRUE(at::equal(last_logits(back, {1, 2, 3}), last_logits(near_, {1, 2, 3})));
}

// Of bfloat16 products on two devices: 2^-8, and a few layers.
TEST_P(ModelDeviceTest, BFloat16MatricesGiveWhatTheyGiveOnTheCpu) {
  const Transformer half = near_.to(at::kBFloat16);
  EXPECT_LT(
      relative_gap(last_logits(half.to(device()), {1, 2, 3}).cpu(), last_logits(half, {1, 2, 3})),
      3e-2);
}

INSTANTIATE_TEST_SUITE_P(Devices,
                         ModelDeviceTest,
                         ::testing::Values(kStrictDevice, kGpu),
                         name_of_device);

TEST(DeviceNameTest, ANameThatIsNoDeviceAndAGpuThatIsNotThereAreConfigErrors) {
  EXPECT_EQ(device_named("cpu"), at::Device(at::kCPU));
  EXPECT_THROW(device_named("gpu"), ConfigError);
  EXPECT_THROW(device_named("cuda:x"), ConfigError);
  EXPECT_THROW(device_named("cuda:63"), ConfigError);
  if (torch::cuda::is_available()) GTEST_SKIP() << "a GPU is here";
  try {
    device_named("cuda", "--device");
    FAIL() << "no error";
  } catch (const ConfigError& e) {
    EXPECT_EQ(std::string(e.what()).rfind("--device: got cuda, but ", 0), 0u) << e.what();
  }
}

TEST(DeviceNameTest, TheCpuIsDescribedByItsName) {
  EXPECT_EQ(describe_device(at::Device(at::kCPU)), "cpu");
}

}  // namespace
}  // namespace rebound
