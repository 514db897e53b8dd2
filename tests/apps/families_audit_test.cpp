// An audit from prompts of ids to the summary, on a tiny random model of every family.
#include <filesystem>
#include <string>

#include "model/family_fixture.h"
#include "rebound/base/file.h"
#include "rebound/base/rng.h"
#include "rebound/sae/sae_lens_format.h"
#include "sae/sae_fixture.h"
#include "support/failures.h"
#include "support/program.h"

namespace rebound {
namespace {

// Random prompts; which of two random answers is the right one does not matter to the machinery.
std::string random_prompt_lines(int64_t count, uint64_t seed) {
  Rng rng({seed, 17});
  std::string lines;
  for (int64_t i = 0; i < count; ++i) {
    const std::vector<int64_t> ids = random_ids(rng, 10, 60);
    lines += Json{{"ids", std::vector(ids.begin() + 2, ids.end())},
                  {"correct_id", ids[0]},
                  {"wrong_id", 60 + ids[1] % 4}}
                 .dump() +
             "\n";
  }
  return lines;
}

std::filesystem::path write_audit(const std::string& family) {
  const auto folder = fresh_folder("family_audit");
  const std::string model = family_folder(family).string();
  const int64_t d_model = load_model(model).d_model();
  SaeConfig config = identity_sae(d_model).config();
  config.hook_name = "blocks.2.hook_resid_pre";
  save_sae(Sae(config, identity_sae(d_model).weights()), folder / "sae", SaveDType::kFloat32);
  write_file_atomically(folder / "test.jsonl", random_prompt_lines(40, 1));
  write_file_atomically(folder / "train.jsonl", random_prompt_lines(30, 2));
  const Json weak = {{"constraint", "encoder_decoder"}, {"budget", 20}, {"steps", 10}};
  const Json strong = {{"constraint", "none"}, {"budget", 1000}, {"steps", 60}, {"lr", 10}};
  const Json spec = {{"model", model},
                     {"sae", (folder / "sae").string()},
                     {"behaviour",
                      {{"kind", "ioi"},
                       {"prompts", (folder / "test.jsonl").string()},
                       {"train_prompts", (folder / "train.jsonl").string()}}},
                     {"defence", {{"choice", {{"features", 16}, {"values", {-50}}}}}},
                     {"rows", {weak, strong}},
                     {"controls", false}};
  write_file_atomically(folder / "spec.json", spec.dump());
  return folder;
}

class FamilyAuditTest : public testing::TestWithParam<const char*> {};

TEST_P(FamilyAuditTest, RunsFromPromptsToTheSummary) {
  const auto folder = write_audit(GetParam());
  const Outcome outcome = run_program("audit " + (folder / "spec.json").string() + " --out " +
                                      (folder / "run").string() + " --quiet --json --threads 2");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.text;
  const Json summary = parse_json(outcome.text, "summary");
  const int64_t n_valid = summary["n_valid"];
  EXPECT_GE(n_valid, 5);
  const Json &exact = summary["rows"][0], &free = summary["rows"][1], &clamped = summary["rows"][2];
  EXPECT_LE(exact["drift_pre_rel"].get<double>(), 1e-5);
  EXPECT_GT(free["drift_pre_rel"].get<double>(), 1e-2);
  EXPECT_GE(free["recovered"].get<int64_t>(), 1);
  EXPECT_EQ(clamped["recovered"].get<int64_t>(), 0);
  for (const Json& row : {exact, free}) {  // the cached search against an uncached whole run
    EXPECT_EQ(row["rechecked_float32"], n_valid);
    EXPECT_EQ(row["disagreements_float32"], 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Every,
                         FamilyAuditTest,
                         testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace rebound
