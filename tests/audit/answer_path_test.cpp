#include "rebound/audit/answer_path.h"

#include <gtest/gtest.h>

#include "audit/answer_fixture.h"
#include "rebound/audit/answer_search.h"
#include "rebound/audit/path_report.h"
#include "rebound/intervene/direction_clamp.h"
#include "rebound/sae/sae_lens_format.h"
#include "support/failures.h"
#include "support/tiny_model.h"
#include "support/tiny_tokenizer.h"
#include "text/tiny_vocabulary.h"

namespace rebound {
namespace {

class AnswerPathTest : public AnswerBatchTest {
 protected:
  // The headline row's results, with these flips recovered.
  Store store_with(const std::vector<int64_t>& recovered) const {
    Store store = Store::create(folder() / "run.sqlite");
    FinishedBatch done{.row = spec.headline().name()};
    for (const AnswerFlip& flip : batch.flips) {
      const bool is_won = std::count(recovered.begin(), recovered.end(), flip.index) > 0;
      done.results.push_back({.prompt = flip.index, .recovered = is_won});
    }
    store.put_batch(done);
    return store;
  }

  // An SAE of the model's width, saved under this name.
  std::string saved_sae(const std::string& name, const std::string& hook) const {
    Rng rng({5});
    SaeConfig config{.kind = SaeKind::kStandard, .d_in = 24, .d_sae = 40, .hook_name = hook};
    const Sae sae(config,
                  {random_tensor(rng, {24, 40}, 0.3),
                   random_tensor(rng, {40}, 0.1),
                   random_tensor(rng, {40, 24}, 0.3),
                   random_tensor(rng, {24}, 0.1),
                   at::zeros({40})});
    save_sae(sae, folder(name.c_str()), SaveDType::kFloat32);
    return folder(name.c_str()).string();
  }

  void SetUp() override {
    RunFolderTest::SetUp();
    std::filesystem::create_directories(folder());
  }
};

TEST_F(AnswerPathTest, RecoveredFlipsAloneAreAttributed) {
  spec.attribution.saes = {saved_sae("second", "blocks.2.hook_resid_pre")};
  const PathDictionaries dictionaries = load_path_dictionaries(spec, *plan, subject);
  const Json json = attribute_answers(batch, store_with({10, 12}), dictionaries);
  EXPECT_EQ(json.at("requests"), Json({"r0", "r2"}));
  // The same search on the same batch, replayed: two roads to the score of the whole.
  const CrossProblem problem = batch.problem(*subject.model, batch.base_answers());
  const at::Tensor delta = search_answers(batch, spec.rows[0], problem).delta;
  const CrossRun run = problem.run(delta, Span::kEncoder);
  const at::Tensor norm = run.effective_norm();
  for (size_t i = 0; i < 2; ++i) {
    const int64_t place = i == 0 ? 0 : 2;
    EXPECT_NEAR(json.at("full").at(i).get<double>(), run.score[place].item<double>(), 1e-4);
    double shares = 0, squares = 0;
    for (const auto& [name, part] : json.at("parts").items()) {
      shares += part.at("shapley").at(i).get<double>();
      squares += std::pow(part.at("norm").at(i).get<double>(), 2);
    }
    EXPECT_NEAR(
        shares, json.at("full").at(i).get<double>() - json.at("none").at(i).get<double>(), 1e-9);
    EXPECT_GT(std::sqrt(3 * squares), norm[place].item<double>());  // the parts sum to it
    double of_sites = 0;
    for (const auto& [site, norms] : json.at("site_norms").items())
      of_sites += std::pow(norms.at(i).get<double>(), 2);
    EXPECT_NEAR(std::sqrt(of_sites), norm[place].item<double>(), 1e-3);
  }
  EXPECT_GT(json.at("parts").at("other features").at("norm").at(0).get<double>(), 0.01);
  EXPECT_EQ(json.at("top_features").at(0).get<std::string>().find("blocks.2.hook_resid_pre: "), 0U);
  for (const char* list : {"full", "none", "random", "top_replay", "top_knock_out"}) {
    ASSERT_EQ(json.at("recovered").at(list).size(), 2U);
    for (const Json& won : json.at("recovered").at(list)) EXPECT_TRUE(won == 0.0 || won == 1.0);
  }
}

TEST_F(AnswerPathTest, WithoutARecoveryInsideThereIsNothingToAttribute) {
  spec.attribution.saes = {saved_sae("first", "blocks.1.hook_resid_pre")};
  const PathDictionaries dictionaries = load_path_dictionaries(spec, *plan, subject);
  EXPECT_TRUE(attribute_answers(batch, store_with({}), dictionaries).is_null());
  spec.rows = {AnswerRowSpec::of("gcg")};
  std::filesystem::remove(folder() / "run.sqlite");
  EXPECT_TRUE(attribute_answers(batch, store_with({10}), dictionaries).is_null());
}

TEST_F(AnswerPathTest, EverySiteNamesItsSaeOrNone) {
  spec.attribution.saes = {saved_sae("second", "blocks.2.hook_resid_pre")};
  const PathDictionaries dictionaries = load_path_dictionaries(spec, *plan, subject);
  EXPECT_EQ(dictionaries.names, (std::vector<std::string>{"none", "second"}));
  EXPECT_EQ(dictionaries.of_site[0].sae, nullptr);
  spec.attribution.saes = {};  // those that ship were trained on another model
  EXPECT_EQ(load_path_dictionaries(spec, *plan, subject).names,
            (std::vector<std::string>{"none", "none"}));
  spec.attribution.saes = {saved_sae("third", "blocks.3.hook_resid_pre")};
  EXPECT_NE(message_of<ConfigError>([&] {
              load_path_dictionaries(spec, *plan, subject);
            }).find("blocks.3.hook_resid_pre"),
            std::string::npos);
}

// Scores are log-probabilities, all below zero: what counts is the judgement.
TEST_F(AnswerPathTest, CountsAreThoseOfJudgedAnswers) {
  const auto figures = [](double full, double other) {
    PathFigures f;
    for (PartFigures& part : f.parts) part = {{-1, -1}, {-1, -1}, {-1, -1}, {0, 0}, {3, 5}};
    f.full = {full, full};
    f.none = {-2, -2};
    f.random = f.top_replay = f.top_knock_out = {0, 0};
    f.parts[1].replay = {other, 0};
    f.parts[1].shapley = {0.75 * (full + 2), 0.75 * (full + 2)};
    return f;
  };
  Store store = store_with({10});
  Json json = to_json(figures(-0.5, -1));
  json["recovered"] = to_json(figures(1, 1));
  json["top_features"] = {"blocks.2.hook_resid_pre: 7"};
  json["seconds"] = 6.0;
  json["site_norms"] = {{"blocks.1.hook_resid_pre", {3, 3}}, {"blocks.2.hook_resid_pre", {4, 8}}};
  store.put_artefact("path/0", json.dump());
  store.put_artefact("path/1", "null");
  const PathDictionaries dictionaries{std::vector<SiteDictionary>(2), {"none", "second"}};
  const Json summary = summarise_answer_paths(store, 2, *plan, dictionaries);
  EXPECT_EQ(summary.at("full"), Json({{"recovered", 2}, {"n", 2}}));
  EXPECT_EQ(summary.at("main_route"), "other features");
  EXPECT_NEAR(summary.at("main_route_share").get<double>(), 0.75, 1e-12);
  EXPECT_EQ(summary.at("parts").at(1).at("replay"), Json({{"recovered", 1}, {"n", 2}}));
  EXPECT_EQ(summary.at("parts").at(2).at("norm_mean"), 4.0);
  const Json site = {{"name", "blocks.2.hook_resid_pre"}, {"sae", "second"}, {"norm_mean", 6.0}};
  EXPECT_EQ(summary.at("sites").at(1), site);
  EXPECT_EQ(summary.at("top_other_features"), Json({"blocks.2.hook_resid_pre: 7"}));
  EXPECT_EQ(summary.at("seconds_per_prompt"), 3.0);
  EXPECT_TRUE(summarise_answer_paths(store, 0, *plan, dictionaries).empty());
}

}  // namespace
}  // namespace rebound
