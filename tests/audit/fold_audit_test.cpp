// A whole audit of facts: a tiny model that was taught capitals and languages forgets the capitals.
#include <torch/torch.h>

#include <map>
#include <set>
#include <sstream>

#include "audit/audit_fixture.h"
#include "rebound/audit/runner.h"
#include "rebound/base/file.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/scaling/tiny_training.h"
#include "sae/sae_fixture.h"

namespace rebound {
namespace {

constexpr std::pair<const char*, const char*> kCapitals[] = {{"France", "Paris"},
                                                             {"Italy", "Rome"},
                                                             {"Japan", "Tokyo"},
                                                             {"Germany", "Berlin"},
                                                             {"Russia", "Moscow"},
                                                             {"Spain", "Madrid"},
                                                             {"Greece", "Athens"},
                                                             {"Cuba", "Havana"}};
constexpr std::pair<const char*, const char*> kLanguages[] = {{"France", "French"},
                                                              {"Italy", "Italian"},
                                                              {"Japan", "Japanese"},
                                                              {"Germany", "German"},
                                                              {"Russia", "Russian"},
                                                              {"Greece", "Greek"}};
constexpr int64_t kWidth = 32, kContext = 128;

struct TaughtFact {
  std::string relation, subject, answer;
  std::string prompt() const { return concat("The ", relation, " of ", subject, " is"); }
  std::string sentence() const { return prompt() + " " + answer; }
};

std::vector<TaughtFact> taught_facts() {
  std::vector<TaughtFact> facts;
  for (const auto& [country, capital] : kCapitals) facts.push_back({"capital", country, capital});
  for (const auto& [country, language] : kLanguages) {
    facts.push_back({"language", country, language});
  }
  return facts;
}

std::string fact_lines(const std::string& relation) {
  std::string lines;
  for (const TaughtFact& fact : taught_facts()) {
    if (fact.relation != relation) continue;
    lines += Json{{"id", relation + fact.subject},
                  {"relation", relation},
                  {"subject", fact.subject},
                  {"prompt", fact.prompt()},
                  {"answer", fact.answer}}
                 .dump() +
             "\n";
  }
  return lines;
}

// One token a word of the facts; every other word is the token 0.
class WordVocabulary {
 public:
  WordVocabulary() {
    ids_["?"] = 0;
    for (const TaughtFact& fact : taught_facts()) encode(fact.sentence());
  }
  std::vector<int64_t> encode(const std::string& text) {
    std::vector<int64_t> ids;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
      ids.push_back(ids_.emplace(word, static_cast<int64_t>(ids_.size())).first->second);
    }
    return ids;
  }
  int64_t size() const { return static_cast<int64_t>(ids_.size()); }
  std::string tokenizer_json() const {
    return Json{{"version", "1.0"},
                {"added_tokens", Json::array()},
                {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
                {"model", {{"type", "WordLevel"}, {"vocab", ids_}, {"unk_token", "?"}}}}
        .dump();
  }

 private:
  std::map<std::string, int64_t> ids_;
};

// Sentences of six words, over and over.
void teach_and_save(const std::filesystem::path& folder) {
  WordVocabulary words;
  std::vector<at::Tensor> sentences;
  for (const TaughtFact& fact : taught_facts()) {
    sentences.push_back(at::tensor(words.encode(fact.sentence()), at::kLong));
  }
  constexpr int64_t kSteps = 200;
  const auto n = static_cast<int64_t>(sentences.size());
  TinyLlama model({.d_model = kWidth,
                   .n_layers = 2,
                   .n_heads = 2,
                   .vocabulary = words.size(),
                   .context_length = kContext},
                  3);
  train_tiny_llama(model,
                   at::stack(sentences).repeat({kSteps, 1}),
                   {.steps = kSteps, .batch_contexts = n, .lr = 1e-2});
  model.save(folder, words.tokenizer_json(), at::kFloat);
}

class FactAuditTest : public RunFolderTest {
 protected:
  void SetUp() override {
    RunFolderTest::SetUp();
    teach_and_save(folder("model"));
    SaeConfig config = identity_sae(kWidth).config();
    config.hook_name = "blocks.1.hook_resid_pre";
    save_sae(Sae(config, identity_sae(kWidth).weights()), folder("sae"), SaveDType::kFloat32);
    write_file_atomically(folder("capitals.jsonl"), fact_lines("capital"));
    write_file_atomically(folder("languages.jsonl"), fact_lines("language"));
  }

  AuditSpec spec() const {
    return read_spec(
        {{"model", folder("model").string()},
         {"sae", folder("sae").string()},
         {"behaviour",
          {{"kind", "facts"},
           {"forget", folder("capitals.jsonl").string()},
           {"retain", folder("languages.jsonl").string()},
           {"n_retain", 6},
           {"folds", 2}}},
         {"defence", {{"choice", {{"features", 16}, {"values", {0, -2, -8}}}}}},
         {"rows", {{{"constraint", "none"}, {"steps", 4}}}},
         {"controls", {{"random_draws", 1}, {"inject_targets", 0}, {"shared_budgets", {20}}}}},
        "facts");
  }
};

TEST_F(FactAuditTest, FactsAreForgottenByFoldAndWhatIsFoundIsMeasuredOnTheOther) {
  const AuditSummary summary = run_audit(spec(), folder());
  EXPECT_EQ(summary.n_prompts, 8);
  const Json accuracy = summary.extra.at("accuracy");
  EXPECT_EQ(accuracy.at("forget").at("before"), 8);  // all that it was taught
  EXPECT_EQ(accuracy.at("retain").at("before"), 6);
  const int64_t kept = accuracy.at("forget").at("known_kept");
  EXPECT_LT(kept, 8);
  EXPECT_EQ(summary.n_valid, 8 - kept);  // a flip is a known fact that is not kept
  EXPECT_EQ(summary.defence.at("choice").at("folds").size(), 2u);
  EXPECT_EQ(summary.defence.at("choice").at("n_known"), 8);
  int64_t tested = 0;
  for (const Json& fold : summary.extra.at("folds")) tested += fold.at("n").get<int64_t>();
  EXPECT_EQ(tested, summary.n_valid);
  int64_t fine_tuned = 0;
  for (const RowSummary& row : summary.rows) {
    if (row.control != "relearn") continue;
    EXPECT_EQ(row.n_valid, summary.n_valid);
    EXPECT_TRUE(std::isnan(row.norm_mean));
    EXPECT_EQ(row.extra.at("steps_mean"), 10.0);
    ++fine_tuned;
  }
  EXPECT_EQ(fine_tuned, 2);
  EXPECT_EQ(summary.verdict, "undetermined");  // fewer than 20 flips
}

}  // namespace
}  // namespace rebound
