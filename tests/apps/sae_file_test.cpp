// rebound sae inspect | encode | convert: their JSON contracts on an SAE of another package.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "rebound/base/json.h"
#include "support/failures.h"
#include "support/program.h"

namespace rebound {
namespace {

Outcome sae(const std::string& flags) { return run_program("sae --quiet --threads 1 " + flags); }

std::string golden(const std::string& inside) {
  return REBOUND_SOURCE_DIR "/tests/sae/golden/formats/" + inside;
}

const std::string kBatchTopK = golden("dictionary_learning_BatchTopKSAE/trainer_0");
const std::string kInput = golden("dictionary_learning_BatchTopKSAE/golden.safetensors");

void expect_sae_error(const std::string& flags, int exit_code, const std::string& words) {
  expect_one_line(sae(flags + " 2>&1 >/dev/null"), exit_code, words);
}

TEST(SaeFileVerbTest, InspectPrintsTheContract) {
  const Json json = Json::parse(sae("inspect --json " + kBatchTopK).text);
  EXPECT_EQ(json.at("format"), "dictionary_learning");
  EXPECT_EQ(json.at("architecture"), "BatchTopKSAE");
  EXPECT_EQ(json.at("d_in"), 8);
  EXPECT_EQ(json.at("d_sae"), 12);
  EXPECT_EQ(json.at("hook"), "blocks.3.hook_resid_post");
  EXPECT_EQ(json.at("hf_module"), "gpt_neox.layers.3.output");
  EXPECT_GE(json.at("folds").size(), 3u);
  EXPECT_EQ(json.at("folds").at(0).at("name"), "threshold");
  const std::string text = sae("inspect " + kBatchTopK).text;
  EXPECT_NE(text.find("error_term"), std::string::npos) << text;
}

TEST(SaeFileVerbTest, EncodeAndConvertWriteWhatIsReadBackEqual) {
  const std::string folder = fresh_folder("encode").string();
  const std::string converted = folder + "/saelens";
  const Outcome outcome =
      sae("convert --json --to saelens --sae " + kBatchTopK + " --out " + converted);
  EXPECT_EQ(Json::parse(outcome.text).at("format"), "saelens");
  for (const auto& [from, to] : {std::pair(kBatchTopK, folder + "/a.safetensors"),
                                 std::pair(converted, folder + "/b.safetensors")}) {
    const Outcome encoded =
        sae("encode --json --sae " + from + " --input " + kInput + " --output " + to);
    ASSERT_EQ(encoded.exit_code, 0);
    EXPECT_EQ(Json::parse(encoded.text).at("n"), 7);
  }
  EXPECT_EQ(run_program("--version >/dev/null; cmp " + folder + "/a.safetensors " + folder +
                        "/b.safetensors")
                .exit_code,
            0);
}

TEST(SaeFileVerbTest, WhatCannotBeReadIsOneLine) {
  expect_sae_error("inspect " + golden("circuit_tracer_relu/none"), 5, "no such folder");
  expect_sae_error("inspect " + golden(""), 3, "no known format");
  expect_sae_error("inspect --format onnx " + kBatchTopK, 2, "--format");
  expect_sae_error("inspect --norm-scaling-factor 2 " + kBatchTopK, 2, "--norm-scaling-factor");
  expect_sae_error("inspect --transposed-skip " + kBatchTopK, 2, "--transposed-skip");
  expect_sae_error(
      "encode --sae " + kBatchTopK + " --input " + kBatchTopK + "/ae.pt --output x", 3, "ae.pt");
  expect_sae_error(
      "convert --to sparsify --sae " + kBatchTopK + " --out x", 3, "topk and groupmax");
  expect_sae_error("convert --to onnx --sae " + kBatchTopK + " --out x", 2, "--to");
  const std::string transcoder = golden("circuit_tracer_relu/set/layer_4.safetensors");
  expect_sae_error("eval --sae " + transcoder + " --text " REBOUND_SOURCE_DIR "/README.md",
                   3,
                   "got a transcoder");
}

}  // namespace
}  // namespace rebound
