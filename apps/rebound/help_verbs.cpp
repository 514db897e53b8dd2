// rebound completions: completions of a shell. rebound man: manual pages. Both walk the tree that
// parses the flags.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "completions.h"
#include "man_page.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"
#include "verb.h"
#include "verb_tree.h"

namespace rebound {
namespace {

constexpr const char* kPageVersion = "rebound " REBOUND_VERSION;

void print_to_stdout(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

std::string completion_script(const VerbFacts& program, const std::string& shell) {
  if (shell == "bash") return bash_completion(program);
  return shell == "zsh" ? zsh_completion(program) : fish_completion(program);
}

struct ManFlags {
  std::vector<std::string> verb;
  std::string folder;
};

std::string names_of_verbs(const VerbFacts& verb) {
  std::string names;
  for (const VerbFacts& below : verb.verbs) names += (names.empty() ? "" : ", ") + below.name();
  return names;
}

const VerbFacts& wanted_verb(const VerbFacts& program, const std::vector<std::string>& path) {
  if (const VerbFacts* verb = find_verb(program, path)) return *verb;
  const VerbFacts wanted{.path = path, .description = {}, .flags = {}, .verbs = {}};
  throw ConfigError(concat("man: got \"",
                           wanted.words(),
                           "\", expected one of: ",
                           names_of_verbs(program),
                           ", with a verb of its own behind it where it has some"));
}

void write_pages(const VerbFacts& program, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  for (const VerbFacts* verb : all_verbs(program)) {
    const std::filesystem::path path = folder / (man_name(*verb) + ".1");
    write_file_atomically(path, man_page(program, *verb, kPageVersion));
  }
  say(concat("wrote ", all_verbs(program).size(), " pages to ", folder.string()));
}

void print_manual(const ManFlags& flags, const VerbFacts& program, bool is_json) {
  if (!flags.folder.empty()) {
    require<ConfigError>(
        flags.verb.empty() && !is_json,
        "--dir: got a verb or --json too, expected it alone: it writes every page");
    write_pages(program, flags.folder);
    return;
  }
  const VerbFacts& verb = wanted_verb(program, flags.verb);
  print_to_stdout(is_json ? to_json(verb).dump(2) + "\n" : man_page(program, verb, kPageVersion));
}

void add_completions_verb(CLI::App& app, RunVerb& run) {
  auto shell = std::make_shared<std::string>();
  CLI::App* verb = app.add_subcommand("completions", "Completions of a shell, for it to source");
  verb->fallthrough();
  verb->add_option("shell", *shell, "Which shell")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb->callback([shell, &app, &run] {
    run = [shell, &app] { print_to_stdout(completion_script(facts_of(app), *shell)); };
  });
}

}  // namespace

void add_help_verbs(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  add_completions_verb(app, run);
  auto flags = std::make_shared<ManFlags>();
  CLI::App* verb =
      app.add_subcommand("man", "Manual pages, as roff; --json: verbs and flags as data");
  verb->fallthrough();
  verb->add_option("verb", flags->verb, "Verb and subverb; none: the program's own page");
  verb->add_option("--dir", flags->folder, "Write every page into this folder instead");
  verb->callback([flags, &app, &common, &run] {
    run = [flags, &app, &common] { print_manual(*flags, facts_of(app), common.json); };
  });
}

}  // namespace rebound
