#include "verb_tree.h"

#include <sstream>

namespace rebound {
namespace {

// "TEXT:{cpu,cuda}" -> "TEXT", "{cpu,cuda}"
std::pair<std::string, std::string> type_and_limits(const std::string& type_name) {
  const size_t colon = type_name.find(':');
  if (colon == std::string::npos) return {type_name, ""};
  return {type_name.substr(0, colon), type_name.substr(colon + 1)};
}

// "{cpu,cuda}" -> its items; nothing for other limits.
std::vector<std::string> items_of(const std::string& limits) {
  std::vector<std::string> items;
  if (limits.size() < 2 || limits.front() != '{' || limits.back() != '}') return items;
  std::istringstream in(limits.substr(1, limits.size() - 2));
  for (std::string item; std::getline(in, item, ',');) items.push_back(item);
  return items;
}

FlagFacts flag_facts(const CLI::Option& option) {
  FlagFacts flag;
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flag.names.push_back("--" + name);
  flag.is_positional = flag.names.empty();
  if (flag.is_positional) flag.names = {option.get_name(/*positional=*/true)};
  flag.name = option.get_lnames().empty() ? flag.names.front() : "--" + option.get_lnames().front();
  flag.description = option.get_description();
  flag.is_required = option.get_required();
  for (const CLI::Option* other : option.get_needs()) flag.needs.push_back(other->get_name());
  for (const CLI::Option* other : option.get_excludes()) flag.excludes.push_back(other->get_name());
  if (option.get_items_expected_max() == 0) return flag;
  const auto [type, limits] = type_and_limits(option.get_type_name());
  flag.value = type.empty() ? "TEXT" : type;
  flag.choices = items_of(limits);
  if (flag.choices.empty()) flag.limits = limits;
  flag.default_value = option.get_default_str();
  flag.is_many = option.get_expected_max() > 1;
  return flag;
}

void add_flags(const CLI::App& app, std::vector<FlagFacts>& flags) {
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) flags.push_back(flag_facts(*option));
  }
}

VerbFacts verb_facts(const CLI::App& app, const std::vector<std::string>& path) {
  VerbFacts verb{.path = path, .description = app.get_description(), .flags = {}, .verbs = {}};
  add_flags(app, verb.flags);
  for (const CLI::App* below : app.get_subcommands({})) {
    if (below->get_name().empty()) {  // an option group
      add_flags(*below, verb.flags);
      continue;
    }
    std::vector<std::string> longer = path;
    longer.push_back(below->get_name());
    verb.verbs.push_back(verb_facts(*below, longer));
  }
  return verb;
}

}  // namespace

std::string VerbFacts::words() const {
  std::string text;
  for (const std::string& word : path) text += (text.empty() ? "" : " ") + word;
  return text;
}

VerbFacts facts_of(const CLI::App& app) { return verb_facts(app, {}); }

std::vector<const VerbFacts*> all_verbs(const VerbFacts& verb) {
  std::vector<const VerbFacts*> all = {&verb};
  for (const VerbFacts& below : verb.verbs) {
    const std::vector<const VerbFacts*> more = all_verbs(below);
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

const VerbFacts* find_verb(const VerbFacts& program, const std::vector<std::string>& path) {
  for (const VerbFacts* verb : all_verbs(program)) {
    if (verb->path == path) return verb;
  }
  return nullptr;
}

Json to_json(const VerbFacts& verb) {
  Json flags = Json::array(), verbs = Json::array();
  for (const FlagFacts& flag : verb.flags) {
    flags.push_back({{"name", flag.name},
                     {"names", flag.names},
                     {"value", flag.value},
                     {"limits", flag.limits},
                     {"choices", flag.choices},
                     {"default", flag.default_value},
                     {"description", flag.description},
                     {"needs", flag.needs},
                     {"excludes", flag.excludes},
                     {"is_positional", flag.is_positional},
                     {"is_required", flag.is_required},
                     {"is_many", flag.is_many}});
  }
  for (const VerbFacts& below : verb.verbs) verbs.push_back(to_json(below));
  return {{"verb", verb.words()},
          {"description", verb.description},
          {"flags", flags},
          {"verbs", verbs}};
}

}  // namespace rebound
