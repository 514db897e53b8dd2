// --transformer-lens-processing of probe, tpp, utility and audits of answers: that it reaches the
// model, that an SAE asks for it by itself, and where it is refused.
#include <filesystem>
#include <string>
#include <vector>

#include "model/family_fixture.h"
#include "rebound/base/file.h"
#include "rebound/sae/sae_lens_format.h"
#include "sae/sae_fixture.h"
#include "support/failures.h"
#include "support/program.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

// The tiny GPT-2, whose residual stream the processing centres, with a tokenizer of 64 tokens.
fs::path gpt2_with_letters(const fs::path& parent) {
  const fs::path folder = parent / "model";
  fs::create_directories(folder);
  for (const char* name : {"config.json", "model.safetensors"}) {
    fs::copy_file(family_folder("gpt2") / name, folder / name);
  }
  Json vocab = {{"\u0120", 0}};  // a space
  for (char c = 'a'; c <= 'z'; ++c) vocab[std::string(1, c)] = vocab.size();
  const Json bytes = {{"type", "ByteLevel"},
                      {"add_prefix_space", false},
                      {"trim_offsets", true},
                      {"use_regex", true}};
  const Json model = {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}};
  const Json tokenizer = {{"version", "1.0"},
                          {"added_tokens", Json::array()},
                          {"pre_tokenizer", bytes},
                          {"decoder", bytes},
                          {"model", model}};
  write_file_atomically(folder / "tokenizer.json", tokenizer.dump());
  return folder;
}

fs::path identity_sae_file(const fs::path& parent, bool is_processed) {
  SaeConfig config = identity_sae(32).config();
  config.hook_name = "blocks.2.hook_resid_pre";
  if (is_processed) config.metadata["transformer_lens_processing"] = true;
  const fs::path folder = parent / (is_processed ? "processed" : "plain");
  save_sae(Sae(config, identity_sae(32).weights()), folder, SaveDType::kFloat32);
  return folder;
}

fs::path letter_task(const fs::path& parent) {
  const std::vector<std::string> words[2] = {
      {"one", "two", "three", "four", "five", "six", "seven", "eight"},
      {"red", "blue", "green", "white", "black", "pink", "grey", "brown"}};
  std::string lines;
  for (size_t label = 0; label < 2; ++label) {
    for (size_t i = 0; i < words[label].size(); ++i) {
      lines += Json{{"text", "we saw " + words[label][i]},
                    {"label", label},
                    {"split", i < 5 ? "train" : "test"}}
                   .dump() +
               "\n";
    }
  }
  write_file_atomically(parent / "task.jsonl", lines);
  return parent / "task.jsonl";
}

constexpr const char* kFlag = " --transformer-lens-processing";

class TransformerLensFlagTest : public testing::Test {
 protected:
  const fs::path folder_ = fresh_folder("lens");
  const std::string tiny_ = " --model " + gpt2_with_letters(folder_).string();
  const std::string task_ = " --data " + letter_task(folder_).string();

  Json json_of(const std::string& words) const {
    const Outcome outcome = run_program(words + " --quiet --threads 2 --json 2>&1");
    EXPECT_EQ(outcome.exit_code, 0) << words << "\n" << outcome.text;
    return outcome.exit_code == 0 ? Json::parse(outcome.text) : Json();
  }
  std::string sae(bool is_processed) const {
    return " --sae " + identity_sae_file(folder_, is_processed).string();
  }
};

TEST_F(TransformerLensFlagTest, AProbeReadsTheCentredResidualStream) {
  const auto probe = [&](const std::string& more) {
    const fs::path out = folder_ / concat("out", more.size());
    const Json json = json_of("probe --draws 5 --l2 1 --hook blocks.2.hook_resid_pre" + tiny_ +
                              task_ + " --out " + out.string() + more);
    return std::pair(json.at("transformer_lens_processing").get<bool>(),
                     read_text_file(out / "dense.safetensors"));
  };
  const auto [is_plain_processed, plain] = probe("");
  const auto [is_processed, processed] = probe(kFlag);
  EXPECT_FALSE(is_plain_processed);
  EXPECT_TRUE(is_processed);
  EXPECT_NE(plain, processed);
}

TEST_F(TransformerLensFlagTest, AnSaeThatWasTrainedSoAsksForItItself) {
  const std::string words[2] = {"probe --draws 5 --l2 1 --k 1", "tpp --n 2 --l2 1"};
  for (const std::string& verb : words) {
    for (const bool is_processed : {false, true}) {
      const Json json = json_of(verb + tiny_ + task_ + sae(is_processed));
      EXPECT_EQ(json.at("transformer_lens_processing"), is_processed) << verb;
    }
    EXPECT_EQ(json_of(verb + tiny_ + task_ + sae(false) + kFlag).at("transformer_lens_processing"),
              true);
  }
}

// A model that is loaded with the flag refuses to keep its weights as stored.
TEST_F(TransformerLensFlagTest, ItReachesTheModelOfEveryVerb) {
  const std::string push = (folder_ / "push.json").string();
  write_file_atomically(push,
                        Json::array({{{"site", "blocks.2.hook_resid_pre"},
                                      {"direction", std::vector<double>(32, 1.0)},
                                      {"edit", {{"kind", "add"}, {"strength", 0.5}}}}})
                            .dump());
  const std::string out = (folder_ / "run").string(), spec = (folder_ / "spec.json").string();
  const Json asking = {{"behaviour", {{"kind", "refusal-benign"}}},
                       {"model", (folder_ / "model").string()},
                       {"dtype", "stored"},
                       {"transformer_lens_processing", true}};
  write_file_atomically(spec, asking.dump());
  for (const std::string& words : {"probe" + tiny_ + task_ + sae(false),
                                   "tpp --n 2" + tiny_ + task_ + sae(false),
                                   "utility --defence " + push + tiny_,
                                   "audit refusal-benign" + tiny_ + " --out " + out}) {
    const std::string all = words + kFlag + " --dtype stored --quiet --threads 2 2>&1 >/dev/null";
    expect_one_line(run_program(all), 2, "--transformer-lens-processing, which changes them");
  }
  expect_one_line(run_program("audit " + spec + " --quiet --out " + out + " 2>&1 >/dev/null"),
                  2,
                  "--transformer-lens-processing, which changes them");
}

// What a run of clamps on such an SAE's features was about, and an audit of given clamps.
TEST_F(TransformerLensFlagTest, ClampsOnTheFeaturesOfSuchAnSaeAskForItToo) {
  const std::string clamps = (folder_ / "clamps.json").string();
  const Json list = Json::array({{{"sae", identity_sae_file(folder_, true).string()},
                                  {"features", {3}},
                                  {"edit", {{"kind", "set"}, {"value", 0}}}}});
  write_file_atomically(clamps, list.dump());
  const Json given = {{"behaviour", {{"kind", "refusal-benign"}}},
                      {"model", (folder_ / "model").string()},
                      {"defence", {{"kind", "edits"}, {"edits", list}}},
                      {"dtype", "stored"}};
  const std::string spec = (folder_ / "given.json").string();
  write_file_atomically(spec, given.dump());
  for (const std::string& words : {"utility --dtype stored --defence " + clamps + tiny_,
                                   "audit " + spec + " --out " + (folder_ / "run").string()}) {
    expect_one_line(run_program(words + " --quiet --threads 2 2>&1 >/dev/null"),
                    2,
                    "--transformer-lens-processing, which changes them");
  }
}

TEST_F(TransformerLensFlagTest, AuditsOfScoresAskTheirSae) {
  expect_one_line(run_program(std::string("audit ioi --quiet") + kFlag + " 2>&1 >/dev/null"),
                  2,
                  "expected it with refusal");
  expect_one_line(
      run_program("audit --quiet --resume " + folder_.string() + kFlag + " 2>&1 >/dev/null"),
      2,
      "--resume: got");
}

}  // namespace
}  // namespace rebound
