#include "rebound/audit/clamp_file.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "audit_fixture.h"
#include "rebound/sae/sae_lens_format.h"
#include "support/failures.h"
#include "support/tiny_model.h"
#include "support/tiny_tokenizer.h"

namespace rebound {
namespace {

class ClampFileTest : public RunFolderTest {
 protected:
  std::string sae_folder() const {
    Rng rng({5});
    SaeConfig config{.kind = SaeKind::kJumpRelu, .d_in = 24, .d_sae = 40};
    config.hook_name = "blocks.2.hook_resid_pre";
    const Sae sae(config, {random_tensor(rng, {24, 40}, 0.3), random_tensor(rng, {40}, 0.1),
                           random_tensor(rng, {40, 24}, 0.3), random_tensor(rng, {24}, 0.1),
                           random_tensor(rng, {40}, 0.1).abs()});
    save_sae(sae, folder("sae"), SaveDType::kFloat32);
    return folder("sae").string();
  }
  Json direction() const {
    return {{"site", "blocks.1.hook_resid_pre"},
            {"direction", std::vector<double>(24, 0.5)},
            {"edit", {{"kind", "add"}, {"strength", 2}}},
            {"sink_norm", nullptr}};
  }
  std::string config_error(const Json& list) const {
    return message_of<ConfigError>([&] { read_clamps(list, model, nullptr); });
  }
  Transformer model = tiny_transformer();
};

TEST_F(ClampFileTest, ReadsDirectionsAndFeatures) {
  const Json features = {{"sae", sae_folder()},
                         {"features", {3, 8}},
                         {"edit", {{"kind", "add"}, {"value", {1.5, 2.5}}, {"when", "always"}}},
                         {"sink_norm", 100}};
  const auto clamps = read_clamps({direction(), features}, model, nullptr);
  ASSERT_EQ(clamps.size(), 2u);
  const TokenBatch prompt = TokenBatch::from({{1, 2, 3}});
  const at::Tensor value = at::ones({1, 3, 24});
  EXPECT_NEAR((clamps[0]->apply(value, prompt.rows()) - value)[0][2][0].item<double>(), 1.0, 1e-6);
  EXPECT_EQ(clamps[1]->read_columns().size(1), 2);
  EXPECT_EQ(clamps[1]->to_json().at("edits")[0].at("edit").at("value"), Json({1.5, 2.5}));
}

TEST_F(ClampFileTest, MistakesAreConfigErrorsThatNameTheEntry) {
  Json no_site = direction(), odd_edit = direction(), words = direction(), more = direction();
  no_site["site"] = "blocks.x";
  odd_edit["edit"]["kind"] = "rotate";
  words["direction"] = "vector.safetensors";
  more["colour"] = 1;
  EXPECT_NE(config_error(Json::array({no_site})).find("defence.edits[0]"), std::string::npos);
  EXPECT_NE(config_error(Json::array({odd_edit})).find("rotate"), std::string::npos);
  EXPECT_NE(config_error(Json::array({words})).find("file.safetensors#name"), std::string::npos);
  EXPECT_NE(config_error({direction(), more}).find("defence.edits[1]"), std::string::npos);
  EXPECT_NE(config_error(Json::array()).find("a list of clamps"), std::string::npos);
  const Json twice = {{"sae", sae_folder()}, {"features", {3, 3}}, {"edit", {{"kind", "set"}, {"value", 0}}}};
  EXPECT_NE(config_error(Json::array({twice})).find("one twice"), std::string::npos);
  Json beyond = twice;
  beyond["features"] = {99};
  EXPECT_THROW(read_clamps(Json::array({beyond}), model, nullptr),
               ConfigError);
}

TEST_F(ClampFileTest, WithoutASinkNormItIsThatOfAText) {
  ModelConfig config = tiny_config();
  config.vocab_size = 100;
  const Transformer taught = tiny_transformer(1, config);
  const Tokenizer tokenizer = tiny_tokenizer({});
  Json entry = direction();
  const auto unbounded = read_clamps(Json::array({entry}), taught, &tokenizer);  // null: none
  entry.erase("sink_norm");
  const auto clamps = read_clamps(Json::array({entry}), taught, &tokenizer);
  const double sink_norm = clamps[0]->to_json().at("sink_norm").get<double>();
  ASSERT_TRUE(std::isfinite(sink_norm) && sink_norm > 0);
  at::Tensor value = at::ones({1, 4, 24}) * (sink_norm / 10 / std::sqrt(24.0));
  value[0][2] *= 100;
  const Rows rows = TokenBatch::from({{1, 2, 3, 4}}).rows();
  const at::Tensor moved = (clamps[0]->apply(value, rows) - value).abs().amax(-1)[0];
  EXPECT_EQ(moved[2].item<double>(), 0);
  for (const int64_t token : {1, 3}) EXPECT_GT(moved[token].item<double>(), 0.1);
  const at::Tensor all = (unbounded[0]->apply(value, rows) - value).abs().amax(-1)[0];
  EXPECT_GT(all[2].item<double>(), 0.1);
  EXPECT_NE(message_of<ConfigError>([&] {
              read_clamps(Json::array({entry}), taught, nullptr);
            }).find("defence.edits[0]: got no \"sink_norm\""),
            std::string::npos);
}

TEST_F(ClampFileTest, AMissingFileIsAnIoError) {
  Json from_file = direction();
  from_file["direction"] = (folder() / "absent.safetensors").string() + "#refusal";
  EXPECT_THROW(read_clamps(Json::array({from_file}), model, nullptr), IoError);
}

}  // namespace
}  // namespace rebound
