#include "rebound/audit/defence_file.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "audit_fixture.h"
#include "rebound/audit/clamp_file.h"
#include "rebound/audit/subject.h"
#include "rebound/base/file.h"
#include "rebound/intervene/clamp_plan.h"
#include "rebound/intervene/defence.h"
#include "rebound/intervene/direction_clamp.h"
#include "rebound/sae/sae_hash.h"
#include "rebound/sae/sae_lens_format.h"
#include "support/failures.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

class DefenceFileTest : public RunFolderTest {
 protected:
  std::shared_ptr<const Sae> saved_sae(const char* name, const char* hook) const {
    Rng rng({5});
    SaeConfig config{.kind = SaeKind::kJumpRelu, .d_in = 24, .d_sae = 40};
    config.hook_name = hook;
    const Sae sae(config,
                  {random_tensor(rng, {24, 40}, 0.3),
                   random_tensor(rng, {40}, 0.1),
                   random_tensor(rng, {40, 24}, 0.3),
                   random_tensor(rng, {24}, 0.1),
                   random_tensor(rng, {40}, 0.1).abs()});
    save_sae(sae, folder(name), SaveDType::kFloat32);
    return std::make_shared<const Sae>(load_sae(folder(name).string()));
  }
  // A finished run: spec.json and summary.json.
  std::filesystem::path run(const Json& spec, const Json& defence) const {
    std::filesystem::create_directories(folder());
    write_file_atomically(folder() / "spec.json", spec.dump());
    write_file_atomically(folder() / "summary.json", Json{{"defence", defence}}.dump());
    return folder();
  }
  std::filesystem::path file(const std::string& text) const {
    const auto path = folder("clamps.json");
    write_file_atomically(path, text);
    return path;
  }
  Json read_back(const std::filesystem::path& path) const {
    return ClampPlan(read_clamps(read_defence_file(path).clamps, model, nullptr), model.config())
        .to_json();
  }
  Json direction_entry() const {
    return {{"site", "blocks.1.hook_resid_pre"},
            {"direction", std::vector<double>(24, 0.5)},
            {"edit", {{"kind", "add"}, {"strength", 2}}},
            {"sink_norm", nullptr}};
  }
  Transformer model = tiny_transformer();
};

TEST_F(DefenceFileTest, AListIsTheDefenceItself) {
  const Json list = Json::array({direction_entry()});
  const DefenceFile read = read_defence_file(file(list.dump()));
  EXPECT_EQ(read.clamps, list);
  EXPECT_EQ(read.model, "");
}

TEST_F(DefenceFileTest, FeatureClampsOfARunReadBackAsTheyWere) {
  const FeatureEdit first{
      .features = {3, 8}, .kind = EditKind::kAdd, .values = {1.5, 2.5}, .when = EditWhen::kAlways};
  const FeatureEdit second{.features = {5}, .kind = EditKind::kSet, .value = -4};
  const auto sae1 = saved_sae("sae1", "blocks.1.hook_resid_pre");
  const auto sae2 = saved_sae("sae2", "blocks.2.hook_resid_pre");
  const ClampPlan plan({std::make_shared<const Defence>(sae1, std::vector{first}, 100.0),
                        std::make_shared<const Defence>(sae2, std::vector{second}, 90.0)},
                       model.config());
  const Json saes = {folder("sae2").string(), folder("sae1").string()};
  const Json spec = {{"model", "m.gguf"}, {"defence", {{"kind", "features"}, {"saes", saes}}}};
  const auto path = run(spec, {{"clamps", plan.to_json()}});
  EXPECT_EQ(read_back(path), plan.to_json());
  EXPECT_EQ(read_back(path / "summary.json"), plan.to_json());
  EXPECT_EQ(read_defence_file(path).model, "m.gguf");
}

TEST_F(DefenceFileTest, TheOneDefenceOfAPromptAuditReadsBack) {
  const auto sae = saved_sae("sae", "blocks.2.hook_resid_pre");
  const Defence defence(sae, {{.features = {3, 8}, .value = -5}}, 77);
  const auto path = run({{"sae", folder("sae").string()}}, defence.to_json());
  EXPECT_EQ(read_back(path), Json::array({defence.to_json()}));
}

TEST_F(DefenceFileTest, ARunOfFactsSaysWhetherWhatItRetainedChoseTheDefence) {
  const auto sae = saved_sae("sae", "blocks.2.hook_resid_pre");
  const Defence defence(sae, {{.features = {3, 8}, .value = -5}}, 77);
  AuditSpec spec = default_spec("facts");
  spec.sae = folder("sae").string();
  spec.seed = 4;
  EXPECT_FALSE(read_defence_file(run(to_json(spec), defence.to_json())).chosen_on);
  spec.defence.choice.rule = "firing_rates";
  const auto chosen = read_defence_file(run(to_json(spec), defence.to_json())).chosen_on;
  ASSERT_TRUE(chosen.has_value());
  EXPECT_EQ(chosen->behaviour.kind, "facts");
  EXPECT_EQ(chosen->seed, 4u);
}

TEST_F(DefenceFileTest, AnotherSaeThanTheRunsIsADataError) {
  const auto sae = saved_sae("sae", "blocks.2.hook_resid_pre");
  const Defence defence(sae, {{.features = {3, 8}, .value = -5}}, 77);
  const auto path = run({{"sae", folder("sae").string()}}, defence.to_json());
  Json summary = {{"defence", defence.to_json()}};
  summary["environment"]["sae_sha256"] = sha256_of_file(folder("sae") / "sae_weights.safetensors");
  write_file_atomically(path / "summary.json", summary.dump());
  EXPECT_EQ(read_back(path), Json::array({defence.to_json()}));
  summary["environment"]["sae_sha256"] = std::string(64, '0');
  write_file_atomically(path / "summary.json", summary.dump());
  const std::string message = message_of<DataError>([&] { read_defence_file(path); });
  EXPECT_NE(message.find("expected that of the run, 000000000000..."), std::string::npos);
}

TEST_F(DefenceFileTest, GivenEditsOfARunAreThoseOfItsSpec) {
  const Json edits = Json::array({direction_entry()});
  const auto path =
      run({{"defence", {{"kind", "edits"}, {"edits", edits}}}}, {{"clamps", Json::array()}});
  EXPECT_EQ(read_defence_file(path).clamps, edits);
}

TEST_F(DefenceFileTest, ChosenDirectionsReadBackFromBesideTheSummary) {
  Rng rng({6});
  AnswerDesign design;
  for (const int64_t layer : {1, 2}) {
    design.parts.push_back(
        {Site{layer, SiteKind::kResidPre}, random_tensor(rng, {24}), nullptr, {}, {}, 88});
  }
  const auto plan = design.at_strength(0.25, model.config());
  const auto path = run({{"defence", {{"kind", "directions"}}}}, {{"clamps", plan->to_json()}});
  save_directions(design, path / kDirectionsFile);
  const ClampPlan read(read_clamps(read_defence_file(path).clamps, model, nullptr), model.config());
  EXPECT_EQ(read.to_json(), plan->to_json());
  const at::Tensor x = random_tensor(rng, {2, 5, 24});
  const Rows rows = TokenBatch::from({{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}}).rows();
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(at::equal(read.clamps()[i]->apply(x, rows), plan->clamps()[i]->apply(x, rows)));
  }
}

TEST_F(DefenceFileTest, SaesAreTakenByTheirNameOnTheHub) {
  const std::string commit(40, 'a');
  const std::string place = "hub/models--some--saes/snapshots/" + commit + "/l2";
  const auto sae = saved_sae(place.c_str(), "blocks.2.hook_resid_pre");
  std::filesystem::create_directories(folder("hub/models--some--saes/refs"));
  write_file_atomically(folder("hub/models--some--saes/refs/main"), commit);
  const Defence defence(sae, {{.features = {3, 8}, .kind = EditKind::kAdd, .value = -5}}, 77);
  const Json spec = {{"defence", {{"kind", "features"}, {"saes", {"some/saes:l2"}}}}};
  const Json entry = {{"sae", "some/saes:l2"},
                      {"features", {3, 8}},
                      {"edit", {{"kind", "add"}, {"value", -5}}},
                      {"sink_norm", 77}};
  AnswerAuditSpec chosen;
  chosen.defence.saes = {"some/saes:l2"};
  setenv("HF_HUB_CACHE", folder("hub").c_str(), 1);
  EXPECT_EQ(read_back(run(spec, {{"clamps", {defence.to_json()}}})),
            Json::array({defence.to_json()}));
  EXPECT_EQ(read_back(file(Json::array({entry}).dump())), Json::array({defence.to_json()}));
  EXPECT_EQ(sae_hashes(chosen)["blocks.2.hook_resid_pre"], sae_sha256(folder(place.c_str())));
  EXPECT_NE(
      message_of<IoError>([] { find_sae("some/saes:l3"); }).find("rebound sae pull some/saes"),
      std::string::npos);
  unsetenv("HF_HUB_CACHE");
}

TEST_F(DefenceFileTest, EverySaeOfARunIsHeldAgainstItsHash) {
  const auto sae = saved_sae("sae", "blocks.2.hook_resid_pre");
  const Defence defence(sae, {{.features = {3, 8}, .value = -5}}, 77);
  AnswerAuditSpec chosen;
  chosen.defence.saes = {folder("sae").string()};
  Json recorded = {{"clamps", Json::array({defence.to_json()})},
                   {"sae_sha256", sae_hashes(chosen)}};
  const Json spec = {{"defence", {{"kind", "features"}, {"saes", chosen.defence.saes}}}};
  EXPECT_EQ(read_back(run(spec, recorded)), Json::array({defence.to_json()}));
  recorded["sae_sha256"]["blocks.2.hook_resid_pre"] = std::string(64, '1');
  const std::string message =
      message_of<DataError>([&] { read_defence_file(run(spec, recorded)); });
  EXPECT_NE(message.find("expected that of the run, 111111111111..."), std::string::npos);
  chosen.defence.kind = "directions";
  EXPECT_TRUE(sae_hashes(chosen).empty());
}

TEST_F(DefenceFileTest, ChosenDirectionsWithoutTheirVectorsCannotBeReadBack) {
  const auto clamps = read_clamps(Json::array({direction_entry()}), model, nullptr);
  const auto path = run({{"defence", {{"kind", "directions"}}}},
                        {{"clamps", ClampPlan(clamps, model.config()).to_json()}});
  const std::string message = message_of<DataError>([&] { read_defence_file(path); });
  EXPECT_NE(message.find("defence.clamps[0]: got a clamp on a direction"), std::string::npos);
}

TEST_F(DefenceFileTest, ARunWithoutTheSaeOfASiteIsADataError) {
  const auto sae = saved_sae("sae", "blocks.2.hook_resid_pre");
  Json defence = Defence(sae, {{.features = {3}, .value = -5}}, 77).to_json();
  defence["site"] = "blocks.3.hook_resid_pre";
  const auto path = run({{"sae", folder("sae").string()}}, defence);
  const std::string message = message_of<DataError>([&] { read_defence_file(path); });
  EXPECT_NE(message.find("got site blocks.3.hook_resid_pre"), std::string::npos) << message;
}

TEST_F(DefenceFileTest, MistakesAreOneLineOfTheRightKind) {
  const auto error = [&](const std::string& text) {
    return message_of<ConfigError>([&] { read_defence_file(file(text)); });
  };
  EXPECT_NE(error("[]").find("got no clamp"), std::string::npos);
  EXPECT_NE(error("[{").find("not valid JSON"), std::string::npos);
  EXPECT_NE(error("{\"a\": 1}").find("expected a list of clamps"), std::string::npos);
  EXPECT_NE(error("3").find("expected a list of clamps"), std::string::npos);
  EXPECT_THROW(read_defence_file(folder("absent.json")), IoError);
  std::filesystem::create_directories(folder("unfinished"));
  EXPECT_THROW(read_defence_file(folder("unfinished")), IoError);
}

}  // namespace
}  // namespace rebound
