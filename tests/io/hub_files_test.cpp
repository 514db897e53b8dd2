// Which files of a repository are fetched, and what is refused of an untrusted listing.
#include "rebound/io/hub_files.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/json.h"

namespace rebound {
namespace {

using Paths = std::vector<std::string>;

const std::string kListedCommit(40, 'c');

std::string listing_text(const Paths& paths) {
  Json json = {{"sha", kListedCommit}, {"siblings", Json::array()}};
  for (const std::string& path : paths) json["siblings"].push_back({{"rfilename", path}});
  return json.dump();
}

HubListing listing_of(const Paths& paths) { return parse_hub_listing(listing_text(paths)); }

Paths listed_paths(const std::vector<HubFile>& files) {
  Paths paths;
  for (const HubFile& file : files) paths.push_back(file.path);
  return paths;
}

Paths model_choice(const Paths& paths, const Paths& include = {}) {
  return listed_paths(select_model_files(listing_of(paths), include));
}

Paths sae_choice(const Paths& paths, const std::string& path = "") {
  return listed_paths(select_sae_files(listing_of(paths), path));
}

TEST(HubListingTest, SizesAndHashesAreTheLargeFilesOwn) {
  const std::string small(40, 'a'), large(64, 'b');
  const Json json = {{"sha", kListedCommit},
                     {"siblings",
                      {{{"rfilename", "w.safetensors"},
                        {"size", 9},
                        {"blobId", small},
                        {"lfs", {{"sha256", large}, {"size", 7}}}},
                       {{"rfilename", "config.json"}, {"size", 3}, {"blobId", small}},
                       {{"rfilename", "z"}, {"size", -1}, {"blobId", "../x"}}}}};
  const HubListing listing = parse_hub_listing(json.dump());
  EXPECT_EQ(listing.commit, kListedCommit);
  EXPECT_EQ(listed_paths(listing.files), (Paths{"config.json", "w.safetensors", "z"}));
  EXPECT_EQ(listing.files[0].etag, small);
  EXPECT_EQ(listing.files[0].bytes, 3);
  EXPECT_EQ(listing.files[1].etag, large);
  EXPECT_EQ(listing.files[1].bytes, 7);
  EXPECT_EQ(listing.files[2].etag, "");
  EXPECT_EQ(listing.files[2].bytes, -1);
}

TEST(HubListingTest, OnePathThatLeavesTheSnapshotSpoilsTheWhole) {
  for (const char* path : {"../x", "/etc/passwd", "a/../../x", "", "a//b", "a\\b"}) {
    EXPECT_THROW(listing_of({"config.json", path}), DataError) << path;
  }
}

TEST(HubListingTest, OtherAnswersAreRefused) {
  for (const char* text :
       {"",
        "[]",
        "{}",
        "null",
        "<html>",
        R"({"sha": "main", "siblings": []})",
        R"({"sha": "cccccccccccccccccccccccccccccccccccccccc", "siblings": {}})",
        R"({"sha": "cccccccccccccccccccccccccccccccccccccccc", "siblings": [1]})",
        R"({"siblings": [{"rfilename": "a"}]})"}) {
    EXPECT_THROW(parse_hub_listing(text), DataError) << text;
  }
}

TEST(HubModelFilesTest, WhatTheLoaderReadsAndNothingElse) {
  const Paths all = {".gitattributes",
                     "README.md",
                     "config.json",
                     "generation_config.json",
                     "tokenizer.json",
                     "chat_template.jinja",
                     "model-00001-of-00002.safetensors",
                     "model-00002-of-00002.safetensors",
                     "model.safetensors.index.json",
                     "consolidated.safetensors",
                     "pytorch_model.bin",
                     "tf_model.h5",
                     "onnx/model.onnx",
                     "original/params.json",
                     "original/model.safetensors"};
  EXPECT_EQ(model_choice(all),
            (Paths{"chat_template.jinja",
                   "config.json",
                   "generation_config.json",
                   "model-00001-of-00002.safetensors",
                   "model-00002-of-00002.safetensors",
                   "model.safetensors.index.json",
                   "tokenizer.json"}));
  EXPECT_EQ(model_choice({"config.json", "weights.safetensors"}),
            (Paths{"config.json", "weights.safetensors"}));
}

TEST(HubModelFilesTest, IncludeReplacesTheUsualChoice) {
  const Paths all = {"config.json", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "sub/m-Q4_K_M.gguf"};
  EXPECT_EQ(model_choice(all, {"m-Q8_0.gguf"}), Paths{"m-Q8_0.gguf"});
  EXPECT_EQ(model_choice(all, {"*Q4_K_M.gguf", "config.json"}),
            (Paths{"config.json", "m-Q4_K_M.gguf", "sub/m-Q4_K_M.gguf"}));
  EXPECT_THROW(model_choice(all, {"m-Q8_0.gguf", "*.bin"}), ConfigError);
}

TEST(HubModelFilesTest, WithoutSafetensorsItSaysWhatIsThere) {
  const auto complaint = [](const Paths& paths) -> std::string {
    try {
      model_choice(paths);
    } catch (const DataError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(complaint({"a.gguf", "b.gguf"}).find("--include: a.gguf, b.gguf"), std::string::npos);
  EXPECT_NE(complaint({"pytorch_model.bin"}).find("pytorch_model.bin"), std::string::npos);
  EXPECT_NE(complaint({"README.md"}).find("no other weights"), std::string::npos);
}

TEST(HubSaeFilesTest, AFolderIsTakenWithAllBelow) {
  const Paths all = {"README.md",
                     "L3R/hyperparams.json",
                     "L3R/checkpoints/final.safetensors",
                     "L3R/plot.png",
                     "L30R/hyperparams.json",
                     "L30R/checkpoints/final.safetensors"};
  EXPECT_EQ(sae_choice(all, "L3R"),
            (Paths{"L3R/checkpoints/final.safetensors", "L3R/hyperparams.json"}));
  EXPECT_EQ(sae_choice(all, "L3R/"), sae_choice(all, "L3R"));
  EXPECT_EQ(sae_choice(all, ".").size(), 4u);
  EXPECT_THROW(sae_choice(all, "L3"), ConfigError);
  EXPECT_THROW(sae_choice(all), ConfigError);
}

TEST(HubSaeFilesTest, AFileComesWithTheSettingsBesideIt) {
  const Paths all = {
      "config.yaml", "layer_0.safetensors", "layer_1.safetensors", "features/layer_1.json"};
  EXPECT_EQ(sae_choice(all, "layer_1.safetensors"), (Paths{"config.yaml", "layer_1.safetensors"}));
}

TEST(HubSaeFilesTest, ARepositoryOfOneSaeNeedsNoPath) {
  EXPECT_EQ(sae_choice({"README.md", "sub/cfg.json", "sub/sae_weights.safetensors"}),
            (Paths{"sub/cfg.json", "sub/sae_weights.safetensors"}));
  EXPECT_THROW(sae_choice({"README.md", "cfg.json"}), DataError);
}

}  // namespace
}  // namespace rebound
