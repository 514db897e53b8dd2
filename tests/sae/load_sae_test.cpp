#include "rebound/sae/load_sae.h"

#include <gtest/gtest.h>

#include "rebound/base/file.h"
#include "rebound/sae/convert.h"
#include "rebound/sae/sae_parts.h"
#include "rebound/sae/sae_registry.h"
#include "rebound/sae/self_check.h"
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

  const fs::path r1 = copy_of("llama_scope_r1_norms", "r1");
  change_json(r1 / "config.json", {{"apply_decoder_bias_to_pre_encoder", true}});
  expect_in(message_for(r1), "apply_decoder_bias_to_pre_encoder: got true");
  change_json(r1 / "config.json",
              {{"apply_decoder_bias_to_pre_encoder", false}, {"norm_activation", "token-wise"}});
  expect_in(message_for(r1), "norm_activation: got \"token-wise\"");

  const fs::path tracer = copy_of("circuit_tracer_relu", "log-thresholds");
  write_tensors(tracer,
                {{"W_enc", at::ones({12, 8})},
                 {"b_enc", at::zeros({12})},
                 {"W_dec", at::ones({12, 8})},
                 {"b_dec", at::zeros({8})},
                 {"log_thresholds", at::zeros({12})}});
  expect_in(message_for(tracer), "log_thresholds: is not implemented");

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

// p |d_j| is what meets the threshold unless the file says that norms do not enter.
TEST(LoadSaeTest, LlamaScopeR1ComparesWithDecoderNormsByDefault) {
  const fs::path path = copy_of("llama_scope_r1_norms", "r1-flag");
  const Sae normed = load_sae(path);
  change_json(path / "config.json", {{"sparsity_include_decoder_norm", false}});
  const Sae plain = load_sae(path);
  const double s = *fold_of(normed, "scale").value;
  const at::Tensor norm = normed.weights().W_dec.norm(2, {1}) * s;  // of the file's rows
  EXPECT_TRUE(at::allclose(normed.weights().threshold * norm, plain.weights().threshold));
  EXPECT_TRUE(at::equal(normed.weights().W_enc, plain.weights().W_enc));
  const at::Tensor x = FormatCase("llama_scope_r1_norms").golden("x");
  EXPECT_FALSE(at::equal(normed.encode(x), plain.encode(x)));
}

TEST(LoadSaeTest, AnR1TranscoderWithoutTheScaleOfItsOutputIsRefused) {
  const fs::path path = copy_of("llama_scope_r1_transcoder", "r1-out");
  change_json(path / "config.json", {{"dataset_average_activation_norm", {{"out", nullptr}}}});
  expect_in(message_for(path), "dataset_average_activation_norm.out");
  expect_in(message_for(path, {.norm_scaling_factor = 0.8}), "dataset_average_activation_norm.out");
}

// The fold hangs on what the SAE is of, not on what its repository is called.
TEST(LoadSaeTest, AnEmbeddingSaeIsScaledUnderAnyName) {
  const fs::path file = FormatCase("gemma_scope_embedding").path() / "params.npz";
  const at::Tensor expected = FormatCase("gemma_scope_embedding").load().weights().W_enc;
  const fs::path mine = fresh_folder("mine") / "embedding" / "width_4k" / "params.npz";
  fs::create_directories(mine.parent_path());
  fs::copy_file(file, mine);
  for (const fs::path& path : {mine, mine.parent_path()}) {
    const Sae sae = load_sae(path);
    EXPECT_EQ(sae.config().hook_name, "hook_embed");
    EXPECT_TRUE(at::equal(sae.weights().W_enc, expected));
  }
  const fs::path bare = fresh_folder("bare-embedding") / "params.npz";
  fs::copy_file(file, bare);
  EXPECT_TRUE(at::equal(load_sae(bare, {.hook = "hook_embed"}).weights().W_enc, expected));
  EXPECT_FALSE(at::equal(load_sae(bare).weights().W_enc, expected));
  // Here the word names somebody's folder and the SAE is a layer's.
  const fs::path layer = fresh_folder("other") / "embedding" / "gemma-scope-2b-pt-res" / "layer_12";
  fs::create_directories(layer);
  fs::copy_file(file, layer / "params.npz");
  EXPECT_EQ(load_sae(layer).config().hook_name, "blocks.12.hook_resid_post");
}

TEST(LoadSaeTest, TheSideOfASubmoduleIsTheBuffers) {
  const fs::path path = copy_of("dictionary_learning_AutoEncoder", "io");
  const auto hook = [&](const char* io, const char* submodule) {
    change_json(path / "config.json",
                {{"buffer", {{"io", io}}}, {"trainer", {{"submodule_name", submodule}}}});
    return load_sae(path).config().hook_name;
  };
  EXPECT_EQ(hook("out", "resid_post_layer_3"), "blocks.3.hook_resid_post");
  EXPECT_EQ(hook("in", "layers_3"), "blocks.3.hook_resid_pre");
  EXPECT_EQ(hook("in", "mlp_layer_3"), "blocks.3.mlp.hook_in");
  EXPECT_EQ(hook("out", "mlp_layer_3"), "blocks.3.hook_mlp_out");
  EXPECT_EQ(hook("in", "attention_3"), "");
  EXPECT_EQ(hook("out", "attention_3"), "blocks.3.hook_attn_out");
  change_json(path / "config.json", {{"buffer", {{"io", "in_and_out"}}}});
  expect_in(message_for(path), "buffer.io: got \"in_and_out\"");
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

TEST(SaeRegistryTest, ACentredReleaseIsUsedAndConvertedWithItsModel) {
  const fs::path folder = fresh_folder("res-jb");
  fs::copy(fs::path(REBOUND_SOURCE_DIR) / "tests/sae/golden/standard",
           folder,
           fs::copy_options::recursive);
  EXPECT_FALSE(load_options_of(load_sae(folder)).has_transformer_lens_processing);
  const Sae sae = load_sae(folder, {.release = "gpt2-small-res-jb/blocks.5.hook_resid_pre"});
  EXPECT_TRUE(load_options_of(sae).has_transformer_lens_processing);
  expect_in(fold_of(sae, "centring").detail, "gpt2-small-res-jb");
  const fs::path converted = fresh_folder("res-jb-converted");
  convert_sae(sae, "saelens", converted);
  const Sae again = load_sae(converted);
  EXPECT_TRUE(load_options_of(again).has_transformer_lens_processing);
  expect_in(fold_of(again, "centring").detail, "cfg.json");
}

TEST(SaeRegistryTest, AFlatConfigKeepsWhatItSaysOfItsModel) {
  const fs::path folder = fresh_folder("flat-centred");
  fs::copy(fs::path(REBOUND_SOURCE_DIR) / "tests/sae/golden/standard",
           folder,
           fs::copy_options::recursive);
  change_json(folder / "cfg.json",
              {{"metadata", nullptr},
               {"model_name", "gpt2-small"},
               {"model_from_pretrained_kwargs", {{"center_writing_weights", true}}}});
  EXPECT_TRUE(load_options_of(load_sae(folder)).has_transformer_lens_processing);
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

}  // namespace
}  // namespace rebound
