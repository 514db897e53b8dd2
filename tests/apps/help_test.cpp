// Completions and manual pages: of a small tree, and that their tables name what there is.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <sstream>

#include "completions.h"
#include "man_page.h"
#include "rebound/base/json.h"
#include "support/program.h"
#include "verb_facts.h"
#include "verb_tree.h"

namespace rebound {
namespace {

class HelpTest : public testing::Test {
 protected:
  HelpTest() : app("Finds things", "rebound") {
    app.add_flag("-q,--quiet", is_quiet, "It's quiet [mostly]: no \\ progress");
    CLI::App* dig = app.add_subcommand("dig", "Digs");
    dig->add_option("--depth", depth, "In metres")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    auto* tool = dig->add_option("--tool", name, "Which")
                     ->check(CLI::IsMember({"spade", "pick"}))
                     ->required();
    dig->add_option("--k", many, "Several")->delimiter(',')->excludes(tool);
    dig->add_option("file", file, "A map")->required();
    dig->add_option("--hidden", name, "Nobody needs it")->group("");
    dig->add_option_group("where")->add_option("--place", name, "A place");
    app.add_subcommand("sell", "Sells")->add_subcommand("ore", "Sells ore");
  }

  CLI::App app;
  bool is_quiet = false;
  int depth = 3;
  std::string name, file;
  std::vector<int> many;
};

const FlagFacts* flag_of(const VerbFacts& verb, const std::string& name) {
  for (const FlagFacts& flag : verb.flags) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

TEST_F(HelpTest, TheTreeSaysWhatTheParserKnows) {
  const VerbFacts program = facts_of(app);
  EXPECT_EQ(all_verbs(program).size(), 4u);
  const VerbFacts* dig = find_verb(program, {"dig"});
  ASSERT_TRUE(dig);
  const FlagFacts &depth_flag = *flag_of(*dig, "--depth"), &tool = *flag_of(*dig, "--tool");
  EXPECT_EQ(depth_flag.value, "INT");
  EXPECT_EQ(depth_flag.limits, "POSITIVE");
  EXPECT_EQ(depth_flag.default_value, "3");
  EXPECT_EQ(tool.choices, (std::vector<std::string>{"spade", "pick"}));
  EXPECT_TRUE(tool.limits.empty());
  EXPECT_TRUE(tool.is_required);
  EXPECT_TRUE(flag_of(*dig, "--k")->is_many);
  EXPECT_EQ(flag_of(*dig, "--k")->excludes, std::vector<std::string>{"--tool"});
  EXPECT_TRUE(flag_of(*dig, "file")->is_positional);
  EXPECT_TRUE(flag_of(*dig, "--place")) << "flags of groups are flags";
  EXPECT_FALSE(flag_of(*dig, "--hidden"));
  EXPECT_FALSE(flag_of(program, "--quiet")->takes_value());
  EXPECT_EQ(flag_of(program, "--quiet")->names, (std::vector<std::string>{"-q", "--quiet"}));
  EXPECT_EQ(find_verb(program, {"sell", "ore"})->words(), "sell ore");
  EXPECT_EQ(find_verb(program, {"ore"}), nullptr);
}

TEST_F(HelpTest, APageHasFlagsChoicesDefaultsAndRules) {
  const VerbFacts program = facts_of(app);
  const std::string page = man_page(program, *find_verb(program, {"dig"}), "rebound 1.2");
  for (const char* part :
       {".TH REBOUND\\-DIG 1 \"\" \"rebound 1.2\"",
        "rebound\\-dig \\- Digs",
        "\\fBrebound dig\\fR [\\fIoptions\\fR] \\fB\\-\\-tool\\fR \\fITEXT\\fR \\fIfile\\fR",
        "\\fB\\-\\-depth\\fR \\fIINT\\fR\nIn metres. Must be: POSITIVE. Default: 3.",
        "Which. One of: spade, pick.",
        "Not with \\-\\-tool.",
        "It\\(aqs quiet [mostly]: no \\e progress.",
        ".SH \"EXIT STATUS\"",
        ".SH ENVIRONMENT",
        "\\fBrebound\\fR(1)"})
    EXPECT_NE(page.find(part), std::string::npos) << part << "\n" << page;
  EXPECT_EQ(page.find("hidden"), std::string::npos);
  const std::string whole = man_page(program, program, "rebound 1.2");
  EXPECT_NE(whole.find("\\fBrebound\\-sell\\fR(1)"), std::string::npos);
}

TEST_F(HelpTest, CompletionsQuoteWhatAShellWouldRead) {
  const VerbFacts program = facts_of(app);
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
  EXPECT_NE(zsh_completion(program).find(
                "'(-q --quiet)--quiet[It'\\''s quiet \\[mostly\\]: no \\\\ progress]'"),
            std::string::npos)
      << zsh_completion(program);
  EXPECT_NE(
      fish_completion(program).find("-s q -l quiet -d 'It\\'s quiet [mostly]: no \\\\ progress'"),
      std::string::npos)
      << fish_completion(program);
  EXPECT_NE(bash_completion(program).find("'dig:--tool') words='spade pick' files=0"),
            std::string::npos)
      << bash_completion(program);
}

// ---- the program itself
// --------------------------------------------------------------------------

const Json& real_tree() {
  static const Json tree = parse_json(run_program("man --json 2>/dev/null").text, "man --json");
  return tree;
}

// Null where there is no such verb.
Json verb_of(const Json& tree, const std::string& words) {
  if (tree.at("verb") == words) return tree;
  for (const Json& below : tree.at("verbs")) {
    const Json found = verb_of(below, words);
    if (!found.is_null()) return found;
  }
  return nullptr;
}

bool has_flag(const Json& verb, const std::string& name) {
  const Json& flags = verb.at("flags");
  return std::any_of(flags.begin(), flags.end(), [&](const Json& flag) {
    return std::count(flag.at("names").begin(), flag.at("names").end(), Json(name)) > 0;
  });
}

TEST(VerbFactsTest, EveryValueOfTheTableBelongsToAFlagThatThereIs) {
  for (const auto& [words, flag] : named_values()) {
    const Json verb = verb_of(real_tree(), words);
    ASSERT_FALSE(verb.is_null()) << words;
    EXPECT_TRUE(has_flag(verb, flag)) << words << " " << flag;
  }
}

TEST(VerbFactsTest, ExamplesNameVerbsAndFlagsThatThereAre) {
  for (const VerbExample& example : verb_examples()) {
    const Json verb = verb_of(real_tree(), example.verb);
    ASSERT_FALSE(verb.is_null()) << example.verb;
    EXPECT_NE(example.command.find("rebound " + example.verb), std::string::npos)
        << example.command;
    std::istringstream in(example.command);
    for (std::string word; in >> word;) {
      if (!word.starts_with("--")) continue;
      EXPECT_TRUE(has_flag(verb, word) || has_flag(real_tree(), word))
          << example.command << ": " << word;
    }
  }
}

TEST(VerbFactsTest, EveryVerbThatRunsHasAnExample) {
  std::set<std::string> shown;
  for (const VerbExample& example : verb_examples()) shown.insert(example.verb);
  const std::function<void(const Json&)> check = [&](const Json& verb) {
    for (const Json& below : verb.at("verbs")) check(below);
    if (!verb.at("verbs").empty()) return;
    EXPECT_TRUE(shown.count(verb.at("verb").get<std::string>())) << verb.at("verb");
  };
  check(real_tree());
}

TEST(VerbFactsTest, TablesNameVerbsThatThereAre) {
  for (const auto* table : {&exit_codes(), &environment_variables(), &default_files()}) {
    for (const NamedFact& fact : *table) {
      for (const std::string& verb : fact.verbs)
        EXPECT_FALSE(verb_of(real_tree(), verb).is_null()) << verb;
    }
  }
}

TEST(HelpVerbsTest, AnUnknownVerbOrShellIsAnErrorThatNamesTheKnownOnes) {
  const Outcome man = run_program("man sae frobnicate 2>&1");
  EXPECT_EQ(man.exit_code, 2);
  EXPECT_NE(man.text.find("man: got \"sae frobnicate\", expected one of: audit, "),
            std::string::npos)
      << man.text;
  const Outcome shell = run_program("completions tcsh 2>&1");
  EXPECT_EQ(shell.exit_code, 2);
  EXPECT_NE(shell.text.find("{bash,zsh,fish}"), std::string::npos) << shell.text;
}

}  // namespace
}  // namespace rebound
