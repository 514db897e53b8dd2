// The program's verbs and flags as plain data, read off the CLI11 tree that parses them: the one
// source of --help, of completions and of manual pages.
//
//   const VerbFacts program = facts_of(app);
//   find_verb(program, {"sae", "train"})->flags
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "rebound/base/json.h"

namespace rebound {

struct FlagFacts {
  std::string name;                // "--out"; of a positional "run"
  std::vector<std::string> names;  // every one: "-q", "--quiet"; of a positional its name
  std::string value;               // "TEXT", "INT", "FLOAT", ...; "" where it takes none
  std::string limits;              // "POSITIVE", "INT in [0 - 4096]"
  std::vector<std::string> choices;
  std::string default_value, description;
  std::vector<std::string> needs, excludes;  // names of other flags
  bool is_positional = false, is_required = false;
  bool is_many = false;  // several values

  bool takes_value() const { return !value.empty(); }
};

struct VerbFacts {
  std::vector<std::string> path;  // {"sae", "train"}; empty: the program
  std::string description;
  std::vector<FlagFacts> flags;  // positionals among them, in the order of --help
  std::vector<VerbFacts> verbs;

  std::string name() const { return path.empty() ? "" : path.back(); }
  std::string words() const;  // "sae train"
};

VerbFacts facts_of(const CLI::App& app);

// The verb and all below it, the verb first.
std::vector<const VerbFacts*> all_verbs(const VerbFacts& verb);
// Null where there is none.
const VerbFacts* find_verb(const VerbFacts& program, const std::vector<std::string>& path);

Json to_json(const VerbFacts& verb);

}  // namespace rebound
