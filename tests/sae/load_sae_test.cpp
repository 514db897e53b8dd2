#include "rebound/sae/load_sae.h"

#include <gtest/gtest.h>

#include "rebound/base/file.h"
#include "rebound/sae/hf_module.h"
#include "rebound/sae/sae_registry.h"
#include "sae/format_fixture.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

std::string message_for(const fs::path& path, const LoadSaeOptions& options = {}) {
  return message_of<DataError>([&] { load_sae(path, options); });
}

void expect_in(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "got: " << text << "\nexpected in it: " << part;
}

void change_json(const fs::path& file, const Json& changes) {
  Json json = read_json_file(file);
  json.merge_patch(changes);
  write_file_atomically(file, json.dump());
}

const SaeFold& fold_of(const Sae& sae, const std::string& name) {
  for (const SaeFold& fold : sae.config().folds) {
    if (fold.name == name) return fold;
  }
  throw DataError("no fold " + name);
}

TEST(LoadSaeTest, AFolderThatFitsSeveralFormatsListsThem) {
  const fs::path folder = copy_of("sparsify_topk", "both");
  const fs::path other = FormatCase("gemma_scope_res").path();
  fs::copy_file(other / "params.npz", folder / "params.npz");
  expect_in(message_for(folder),
            "fits several formats: sparsify, gemma_scope; name one with --format");
  EXPECT_EQ(load_sae(folder, {.format = "gemma_scope"}).config().kind, SaeKind::kJumpRelu);
  EXPECT_EQ(load_sae(folder, {.format = "sparsify"}).config().kind, SaeKind::kTopK);
  expect_in(message_of<ConfigError>([&] { load_sae(folder, {.format = "onnx"}); }), "saelens, ");
}

TEST(LoadSaeTest, FoldersWithoutAnSaeNameTheirFiles) {
  const fs::path folder = fresh_folder("nothing");
  expect_in(message_for(folder), "no known format: got an empty folder");
  write_file_atomically(folder / "readme.txt", "hello");
  expect_in(message_for(folder), "got readme.txt; known are: saelens");
  expect_in(message_of<IoError>([&] { load_sae(folder / "missing"); }), "no such folder or file");
}

TEST(LoadSaeTest, ASetAsksForOneOfItsFiles) {
  const fs::path file = copy_of("circuit_tracer_relu", "set");
  fs::copy_file(file, file.parent_path() / "layer_5.safetensors");
  expect_in(message_for(file.parent_path()),
            "holds a set (layer_4.safetensors, layer_5.safetensors); name one file of it");
  EXPECT_EQ(load_sae(file.parent_path() / "layer_5.safetensors").config().hook_name,
            "blocks.5.mlp.hook_in");
}

TEST(LoadSaeTest, AReleaseForAFormatWithoutRegistryIsRefused) {
  const fs::path path = FormatCase("gemma_scope_res").path();
  expect_in(message_of<ConfigError>([&] { load_sae(path, {.release = "some/row"}); }),
            "--release: got some/row for format gemma_scope");
}

TEST(LoadSaeTest, AnArchitectureForFilesThatNameTheirsIsRefused) {
  const fs::path path = FormatCase("gemma_scope_res").path();
  expect_in(message_of<ConfigError>([&] { load_sae(path, {.architecture = "TopK"}); }),
            "--architecture: got TopK for format gemma_scope");
}

TEST(LoadSaeTest, AScaleForFilesThatLeaveNoneOpenIsRefused) {
  for (const char* name : {"saelens_transcoder", "llama_scope", "gemma_scope_res"}) {
    const fs::path path = FormatCase(name).path();
    expect_in(message_of<ConfigError>([&] { load_sae(path, {.norm_scaling_factor = 2.0}); }),
              "--norm-scaling-factor: got 2 for ");
  }
  const Sae sae = load_sae(FormatCase("llama_scope_r1").path(), {.norm_scaling_factor = 2.0});
  EXPECT_EQ(fold_of(sae, "scale").value, 2.0);
}

TEST(LoadSaeTest, ATransposedSkipForFilesWithoutOneIsRefused) {
  for (const char* name : {"saelens_skip_transcoder", "gemma_scope_2_res"}) {
    const fs::path path = FormatCase(name).path();
    expect_in(message_of<ConfigError>([&] { load_sae(path, {.transposed_skip = true}); }),
              "--transposed-skip: got it for ");
  }
}

TEST(LoadSaeTest, BothSchemasOfAePtAreToldApart) {
  const Sae plain = FormatCase("dictionary_learning_BatchTopKSAE").load();
  EXPECT_THROW(fold_of(plain, "bias_scale"), DataError);
  const Sae backup = FormatCase("dictionary_learning_BatchTopKSAE_backup").load();
  EXPECT_EQ(fold_of(backup, "bias_scale").value, 2.5);
  EXPECT_NEAR(backup.weights().threshold[0].item<double>(), 0.4 * 2.5, 1e-6);
}

TEST(LoadSaeTest, AePtWithoutItsConfigIsReadByItsKeysOrAsks) {
  const fs::path gated = copy_of("dictionary_learning_GatedAutoEncoder", "gated");
  fs::remove(gated / "config.json");
  EXPECT_EQ(load_sae(gated).config().architecture, "GatedAutoEncoder");
  const fs::path topk = copy_of("dictionary_learning_AutoEncoderTopK", "topk");
  fs::remove(topk / "config.json");
  expect_in(message_for(topk), "AutoEncoderTopK or BatchTopKSAE; name one with --architecture");
  EXPECT_EQ(load_sae(topk, {.architecture = "AutoEncoderTopK"}).config().k, 3);
  EXPECT_EQ(load_sae(topk, {.architecture = "BatchTopKSAE"}).config().kind, SaeKind::kJumpRelu);
}

TEST(LoadSaeTest, WhatIsNotImplementedIsRefusedByName) {
  const fs::path dictionary = copy_of("dictionary_learning_AutoEncoder", "class");
  change_json(dictionary / "config.json", {{"trainer", {{"dict_class", "CrossCoder"}}}});
  expect_in(message_for(dictionary), "dict_class: got \"CrossCoder\"");

  const fs::path sparsify = copy_of("sparsify_topk", "sparsify");
  change_json(sparsify / "cfg.json", {{"activation", "relu"}});
  expect_in(message_for(sparsify), "activation: got \"relu\"");
  change_json(sparsify / "cfg.json", {{"activation", "topk"}, {"signed", true}});
  expect_in(message_for(sparsify), "signed");
  change_json(sparsify / "cfg.json", {{"signed", false}, {"skip_connection", true}});
  expect_in(message_for(sparsify), "skip_connection");
  change_json(sparsify / "cfg.json", {{"skip_connection", false}, {"num_latents", 13}});
  expect_in(message_for(sparsify), "num_latents: got 13, the weights have 12");

  const fs::path llama = copy_of("llama_scope", "llama");
  change_json(llama / "hyperparams.json", {{"use_glu_encoder", true}});
  expect_in(message_for(llama), "use_glu_encoder");
  change_json(llama / "hyperparams.json",
              {{"use_glu_encoder", false}, {"norm_activation", "batch-wise"}});
  expect_in(message_for(llama), "norm_activation: got \"batch-wise\"");

  const fs::path scopium = copy_of("llamascopium_jumprelu", "scopium");
  change_json(scopium / "config.json", {{"sae_type", "lorsa"}});
  expect_in(message_for(scopium), "sae_type: got \"lorsa\"");
  change_json(scopium / "config.json", {{"sae_type", "sae"}, {"act_fn", "batchtopk"}});
  expect_in(message_for(scopium), "act_fn: got \"batchtopk\"");
}

TEST(LoadSaeTest, AScaleThatNoFileHasIsRefused) {
  expect_in(message_for(FormatCase("llama_scope_r1").path()),
            "give norm_scaling_factor or release");
}

TEST(LoadSaeTest, AFileOfSeveralSitesAsksForOne) {
  const fs::path path = FormatCase("e2e_sae").path();
  expect_in(message_for(path), "(blocks.2.hook_resid_pre, blocks.6.hook_resid_pre); name one");
  EXPECT_EQ(load_sae(path, {.hook = "blocks.2.hook_resid_pre"}).config().hook_name,
            "blocks.2.hook_resid_pre");
}

TEST(LoadSaeTest, TranscodersDoNotStandForAResidualStream) {
  const FormatCase golden("saelens_skip_transcoder");
  const Sae transcoder = golden.load();
  expect_in(message_of<DataError>([&] { check_fits(transcoder, tiny_config()); }),
            "got a transcoder (blocks.2.hook_resid_pre -> blocks.2.hook_mlp_out)");
  EXPECT_THROW(transcoder.error(golden.golden("x")), ConfigError);
  const Sae skip = FormatCase("sparsify_skip").load();
  EXPECT_THROW(skip.decode(at::zeros({1, 12})), ConfigError);  // a skip starts from x
}

TEST(LoadSaeTest, TheCallerMayNameSites) {
  const fs::path file = FormatCase("gemma_scope_res").path() / "params.npz";
  const fs::path bare = fresh_folder("bare") / "params.npz";
  fs::copy_file(file, bare);
  EXPECT_EQ(load_sae(bare).config().hook_name, "");
  expect_in(fold_of(load_sae(bare), "site").detail, "--hook");
  const Sae sae =
      load_sae(bare, {.hook = "blocks.1.ln2.hook_normalized", .hook_out = "blocks.1.hook_mlp_out"});
  EXPECT_TRUE(sae.is_transcoder());
  EXPECT_EQ(sae.config().hook_name_out, "blocks.1.hook_mlp_out");
  expect_in(message_for(FormatCase("sparsify_topk").path(), {.hook_out = "blocks.1.hook_mlp_out"}),
            "subtracts b_dec");
}

TEST(LoadSaeTest, BrokenFilesAreErrorsOfTheirPath) {
  for (const char* name : {"gemma_scope_res", "dictionary_learning_AutoEncoder", "goodfire"}) {
    const fs::path folder = copy_of(name, std::string("cut-") + name);
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() == ".json") continue;
      fs::resize_file(entry.path(), fs::file_size(entry.path()) / 2);
      expect_in(message_for(folder), entry.path().filename().string());
    }
  }
}

TEST(SaeRegistryTest, RowsAreFoundByNameOrByTheWholePath) {
  const auto row = find_registry_row("", "gemma-2b-res-jb/blocks.12.hook_resid_post");
  ASSERT_TRUE(row.has_value());
  EXPECT_NEAR(*row->norm_scaling_factor, 0.2138, 1e-4);
  expect_in(row->source, "sae_lens");
  const std::string folder = "gemma_2b_blocks.12.hook_resid_post_16384";
  const std::string cached = "/c/hub/models--jbloom--Gemma-2b-Residual-Stream-SAEs/snapshots/ab12/";
  EXPECT_EQ(find_registry_row(cached + folder, "")->id, "blocks.12.hook_resid_post");
  EXPECT_EQ(find_registry_row("/x/jbloom/Gemma-2b-Residual-Stream-SAEs/" + folder, "")->release,
            "gemma-2b-res-jb");
  EXPECT_FALSE(find_registry_row("/x/" + folder, "").has_value());  // anybody may use such a name
  EXPECT_FALSE(find_registry_row(cached + folder + "_other", "").has_value());
  EXPECT_THROW(find_registry_row("", "gemma-2b-res-jb/nothing"), ConfigError);
  EXPECT_TRUE(
      find_registry_row("", "gpt2-small-res-jb/blocks.5.hook_resid_pre")->center_writing_weights);
  EXPECT_EQ(
      find_registry_row("", "mistral-7b-res-wg/blocks.8.hook_resid_pre")->normalize_activations,
      "constant_norm_rescale");
}

TEST(SaeRegistryTest, ItsFactorIsFoldedAndRecorded) {
  const fs::path root = fresh_folder("hub") / "jbloom" / "Gemma-2b-Residual-Stream-SAEs";
  const fs::path folder = root / "gemma_2b_blocks.12.hook_resid_post_16384";
  fs::create_directories(root);
  fs::copy(fs::path(REBOUND_SOURCE_DIR) / "tests/sae/golden/standard", folder);
  change_json(folder / "cfg.json", {{"normalize_activations", "expected_average_only_in"}});
  const Sae sae = load_sae(folder);
  const SaeFold& fold = fold_of(sae, "scale");
  EXPECT_NEAR(*fold.value, 0.2138, 1e-4);
  expect_in(fold.detail, "assets/registry.json");
}

TEST(HfModuleTest, HooksAndModulesAreInversesWithinAFamily) {
  for (const ModelFamily family :
       {ModelFamily::kLlama, ModelFamily::kGemma, ModelFamily::kGpt2, ModelFamily::kNeoX}) {
    for (const char* kind : {"hook_resid_pre",
                             "hook_resid_post",
                             "hook_attn_out",
                             "hook_mlp_out",
                             "attn.hook_z",
                             "mlp.hook_in"}) {
      const std::string hook = concat("blocks.12.", kind);
      EXPECT_EQ(hook_of_hf_module(hf_module_of(hook, family), family), hook);
    }
  }
  EXPECT_EQ(hf_module_of("blocks.3.hook_mlp_out", family_of_model("google/gemma-2-2b")),
            "model.layers.3.post_feedforward_layernorm.output");
  EXPECT_EQ(hf_module_of("blocks.3.hook_mlp_out", family_of_model("google/gemma-2b")),
            "model.layers.3.mlp.output");
  EXPECT_EQ(hf_module_of("blocks.3.hook_resid_pre", family_of_model("some/model")), "");
  EXPECT_EQ(hook_of_hf_module("layers.7.output", ModelFamily::kUnknown),
            "blocks.7.hook_resid_post");
  EXPECT_EQ(hook_of_hf_module("layers.7.mlp.output", ModelFamily::kUnknown), "");
  EXPECT_EQ(hook_of_hf_module("nonsense", ModelFamily::kLlama), "");
}

}  // namespace
}  // namespace rebound
