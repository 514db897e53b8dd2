#include "completions.h"

#include "verb_facts.h"

namespace rebound {
namespace {

std::string in_one_line(const std::vector<std::string>& words, const std::string& gap) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : gap) + word;
  return text;
}

// The names of a flag after a verb as patterns of a case: 'audit:--out' | 'audit:-o'. Flags of the
// program stand behind any.
std::string bash_patterns(const VerbFacts& verb, const FlagFacts& flag) {
  std::string text;
  for (const std::string& name : flag.names) {
    text += text.empty() ? "" : " | ";
    text += verb.path.empty() ? "*" + shell_quoted(":" + name)
                              : shell_quoted(verb.words() + ":" + name);
  }
  return text;
}

// Flags that take a value: their word is skipped when verbs are looked for.
std::string bash_valued(const VerbFacts& program) {
  std::string text;
  for (const VerbFacts* verb : all_verbs(program)) {
    for (const FlagFacts& flag : verb->flags) {
      if (flag.is_positional || !flag.takes_value()) continue;
      text += "      " + bash_patterns(*verb, flag) + ") skip=1 ;;\n";
    }
  }
  return text;
}

std::string bash_verbs(const VerbFacts& program) {
  std::string text;
  for (const VerbFacts* verb : all_verbs(program)) {
    if (verb->path.empty()) continue;
    VerbFacts above{.path = verb->path, .description = {}, .flags = {}, .verbs = {}};
    above.path.pop_back();
    text += "        " + shell_quoted(above.words() + "/" + verb->name()) +
            ") verb=" + shell_quoted(verb->words()) + " ;;\n";
  }
  return text;
}

std::string bash_values(const VerbFacts& program) {
  std::string text;
  for (const VerbFacts* verb : all_verbs(program)) {
    for (const FlagFacts& flag : verb->flags) {
      if (flag.is_positional || !flag.takes_value()) continue;
      const ValueWords values = value_words(*verb, flag);
      text += "    " + bash_patterns(*verb, flag) +
              ") words=" + shell_quoted(in_one_line(values.words, " ")) +
              " files=" + (values.has_files ? "1" : "0") + " ;;\n";
    }
  }
  return text;
}

// What may stand where neither a flag nor its value does, and the verb's flags.
std::string bash_places(const VerbFacts& program) {
  std::string text;
  for (const VerbFacts* verb : all_verbs(program)) {
    std::vector<std::string> words, flags;
    bool has_files = false;
    for (const VerbFacts& below : verb->verbs) words.push_back(below.name());
    for (const FlagFacts& flag : verb->flags) {
      if (!flag.is_positional) {
        flags.insert(flags.end(), flag.names.begin(), flag.names.end());
        continue;
      }
      const ValueWords values = value_words(*verb, flag);
      words.insert(words.end(), values.words.begin(), values.words.end());
      has_files = has_files || values.has_files;
    }
    text += "    " + shell_quoted(verb->words()) +
            ") places=" + shell_quoted(in_one_line(words, " ")) +
            " place_files=" + (has_files ? "1" : "0") +
            "\n      flags=" + shell_quoted(in_one_line(flags, " ")) + " ;;\n";
  }
  return text;
}

std::string bash_common(const VerbFacts& program) {
  std::vector<std::string> names;
  for (const FlagFacts& flag : program.flags) {
    if (flag.name != "--help" && flag.name != "--version")
      names.insert(names.end(), flag.names.begin(), flag.names.end());
  }
  return in_one_line(names, " ");
}

constexpr const char* kBashStart =
    R"(# bash completion for rebound; made by: rebound completions bash
_rebound() {
  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD - 1]}"
  local verb="" word i skip=0 words="" files=0 places="" place_files=0 flags="" is_value=1
  COMPREPLY=()
  # --flag=value comes as three words.
  if [[ "$cur" == "=" ]]; then
    cur=""
  elif [[ "$prev" == "=" ]] && ((COMP_CWORD >= 2)); then
    prev="${COMP_WORDS[COMP_CWORD - 2]}"
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    [[ "$word" == "=" ]] && continue
    if ((skip)); then
      skip=0
      continue
    fi
    case "$verb:$word" in
)";

constexpr const char* kBashVerbs = R"(      *:-*) ;;
      *) case "$verb/$word" in
)";

constexpr const char* kBashValues = R"(        esac ;;
    esac
  done
  case "$verb:$prev" in
)";

constexpr const char* kBashPlaces = R"(    *) is_value=0 ;;
  esac
  case "$verb" in
)";

constexpr const char* kBashEnd = R"(
  if ((!is_value)); then
    if [[ "$cur" == -* ]]; then
      words="$flags"
      [[ -n "$verb" ]] && words+=" $common"
    else
      words="$places" files="$place_files"
    fi
  fi
  local newline=$'\n'
  local IFS="$newline"
  COMPREPLY=($(compgen -W "${words// /$newline}" -- "$cur"))
  if ((files)); then
    compopt -o filenames 2>/dev/null
    COMPREPLY+=($(compgen -f -- "$cur"))
  fi
}
complete -F _rebound rebound
)";

}  // namespace

std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string bash_completion(const VerbFacts& program) {
  return kBashStart + bash_valued(program) + kBashVerbs + bash_verbs(program) + kBashValues +
         bash_values(program) + kBashPlaces + bash_places(program) +
         "  esac\n  local common=" + shell_quoted(bash_common(program)) + kBashEnd;
}

}  // namespace rebound
