#include "man_page.h"

#include <cctype>

#include "verb_facts.h"

namespace rebound {
namespace {

// Text as roff reads it: backslashes and hyphens, and no line begins with a control character.
std::string roff(const std::string& text) {
  std::string out;
  bool is_line_start = true;
  for (const char c : text) {
    if (is_line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else {
      out += c;
    }
    is_line_start = c == '\n';
  }
  return out;
}

std::string bold(const std::string& text) { return "\\fB" + roff(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + roff(text) + "\\fR"; }

std::string section(const std::string& title, const std::string& body) {
  return body.empty() ? "" : ".SH " + title + "\n" + body;
}

std::string item(const std::string& head, const std::string& body) {
  return ".TP\n" + head + "\n" + (body.empty() ? "\\&" : body) + "\n";
}

std::string comma_list(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string command_of(const VerbFacts& verb) {
  return verb.path.empty() ? "rebound" : "rebound " + verb.words();
}

std::string flag_head(const FlagFacts& flag) {
  std::string names;
  for (const std::string& name : flag.names)
    names += (names.empty() ? "" : ", ") + (flag.is_positional ? italic(name) : bold(name));
  if (flag.takes_value() && !flag.is_positional) names += " " + italic(flag.value);
  return flag.is_many ? names + " \\&..." : names;
}

std::string flag_text(const FlagFacts& flag) {
  std::string text = flag.description;
  if (!text.empty() && text.back() != '.') text += '.';
  const auto add = [&](const std::string& sentence) {
    text += (text.empty() ? "" : " ") + sentence;
  };
  if (!flag.choices.empty()) add("One of: " + comma_list(flag.choices) + ".");
  if (!flag.limits.empty()) add("Must be: " + flag.limits + ".");
  if (!flag.default_value.empty()) add("Default: " + flag.default_value + ".");
  if (!flag.needs.empty()) add("Needs " + comma_list(flag.needs) + ".");
  if (!flag.excludes.empty()) add("Not with " + comma_list(flag.excludes) + ".");
  if (flag.is_required) add("Required.");
  return roff(text);
}

std::string flag_items(const VerbFacts& verb) {
  std::string text;
  for (const FlagFacts& flag : verb.flags) text += item(flag_head(flag), flag_text(flag));
  return text;
}

// Flags of the program that a verb takes, too.
std::string common_items(const VerbFacts& program) {
  std::string text;
  for (const FlagFacts& flag : program.flags) {
    if (flag.name != "--help" && flag.name != "--version")
      text += item(flag_head(flag), flag_text(flag));
  }
  return text;
}

std::string synopsis(const VerbFacts& verb) {
  std::string text = bold(command_of(verb)) + " [" + italic("options") + "]";
  for (const FlagFacts& flag : verb.flags) {
    if (!flag.is_required && !flag.is_positional) continue;
    const std::string value =
        flag.is_positional ? italic(flag.name)
                           : bold(flag.name) + (flag.takes_value() ? " " + italic(flag.value) : "");
    const std::string many = flag.is_many ? " \\&..." : "";
    text += flag.is_required ? " " + value + many : " [" + value + many + "]";
  }
  if (!verb.verbs.empty()) text += " " + italic("verb");
  return text + "\n";
}

std::string description(const VerbFacts& verb) {
  std::string text = roff(verb.description);
  if (!text.empty() && text.back() != '.') text += '.';
  return text + "\n.PP\nThe whole of it is told in " + italic(documentation_of(verb)) +
         " of the project.\n";
}

std::string verb_items(const VerbFacts& verb) {
  std::string text;
  for (const VerbFacts& below : verb.verbs)
    text += item(bold(below.name()), roff(below.description) + ".");
  return text;
}

std::string fact_items(const std::vector<NamedFact>& facts, const VerbFacts& verb) {
  std::string text;
  for (const NamedFact& fact : facts_for(facts, verb))
    text += item(bold(fact.name), roff(fact.meaning));
  return text;
}

std::string example_items(const VerbFacts& verb) {
  std::string text;
  for (const VerbExample& example : examples_for(verb))
    text += (text.empty() ? "" : ".PP\n") + roff(example.text) + "\n.PP\n.nf\n.RS\n" +
            roff(example.command) + "\n.RE\n.fi\n";
  return text;
}

std::string see_also(const VerbFacts& program, const VerbFacts& verb) {
  std::vector<std::string> names;
  const auto add = [&](const VerbFacts& other) { names.push_back(bold(man_name(other)) + "(1)"); };
  if (!verb.path.empty()) add(program);
  if (verb.path.size() > 1) {
    if (const VerbFacts* above = find_verb(program, {verb.path.front()})) add(*above);
  }
  for (const VerbFacts& below : verb.verbs) add(below);
  return comma_list(names) + "\n";
}

std::string upper_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

std::string man_name(const VerbFacts& verb) {
  std::string name = "rebound";
  for (const std::string& word : verb.path) name += "-" + word;
  return name;
}

std::string man_page(const VerbFacts& program, const VerbFacts& verb, const std::string& version) {
  const bool is_program = verb.path.empty();
  return ".\\\" Made by: rebound man" + (is_program ? "" : " " + verb.words()) + "\n.TH " +
         roff(upper_case(man_name(verb))) + " 1 \"\" \"" + version + "\" \"rebound manual\"\n" +
         section("NAME", roff(man_name(verb)) + " \\- " + roff(verb.description) + "\n") +
         section("SYNOPSIS", synopsis(verb)) + section("DESCRIPTION", description(verb)) +
         section("VERBS", verb_items(verb)) + section("OPTIONS", flag_items(verb)) +
         section("\"OPTIONS OF EVERY VERB\"", is_program ? "" : common_items(program)) +
         section("\"EXIT STATUS\"", fact_items(exit_codes(), verb)) +
         section("ENVIRONMENT", fact_items(environment_variables(), verb)) +
         section("FILES", fact_items(default_files(), verb)) +
         section("EXAMPLES", example_items(verb)) +
         section("\"SEE ALSO\"", see_also(program, verb));
}

}  // namespace rebound
