#include "completions.h"
#include "verb_facts.h"

namespace rebound {
namespace {

std::string words_of(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// "sae train" -> "_rebound_sae_train"
std::string function_of(const VerbFacts& verb) {
  std::string name = "_rebound";
  for (const std::string& word : verb.path) name += "_" + word;
  return name;
}

std::string with_backslashes(const std::string& text, const std::string& special) {
  std::string escaped;
  for (const char c : text) {
    if (special.find(c) != std::string::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

// What completes a value: choices, files, or files and some words by a function of its own.
std::string zsh_action(const VerbFacts& verb, const FlagFacts& flag) {
  const ValueWords values = value_words(verb, flag);
  if (!values.has_files) return values.words.empty() ? " " : "(" + words_of(values.words) + ")";
  return values.words.empty() ? "_files" : function_of(verb) + "_" + flag.name;
}

std::string zsh_value(const VerbFacts& verb, const FlagFacts& flag) {
  if (!flag.takes_value()) return "";
  return ":" + with_backslashes(flag.value, ":") + ":" + zsh_action(verb, flag);
}

// One line a name: '(-q --quiet)--quiet[No progress on stderr]'
std::string zsh_flag(const VerbFacts& verb, const FlagFacts& flag) {
  std::string text;
  const std::string others = flag.names.size() > 1 ? "(" + words_of(flag.names) + ")" : "";
  for (const std::string& name : flag.names) {
    const bool has_equals = flag.takes_value() && name.starts_with("--");
    text += "    " +
            shell_quoted((flag.is_many ? "*" : others) + name + (has_equals ? "=" : "") + "[" +
                         with_backslashes(flag.description, "[]\\") + "]" + zsh_value(verb, flag)) +
            "\n";
  }
  return text;
}

std::string zsh_flags(const VerbFacts& verb) {
  std::string text;
  for (const FlagFacts& flag : verb.flags) {
    if (!flag.is_positional) text += zsh_flag(verb, flag);
  }
  return text;
}

std::string zsh_places(const VerbFacts& verb) {
  std::string text;
  size_t place = 0;
  for (const FlagFacts& flag : verb.flags) {
    if (!flag.is_positional) continue;
    const std::string number = flag.is_many ? "*" : std::to_string(++place);
    text += "    " +
            shell_quoted(number + ":" + with_backslashes(flag.name, ":") + ":" +
                         zsh_action(verb, flag)) +
            "\n";
  }
  return text;
}

// Functions for values that are words or files.
std::string zsh_mixed_values(const VerbFacts& verb) {
  std::string text;
  for (const FlagFacts& flag : verb.flags) {
    const ValueWords values = value_words(verb, flag);
    if (!values.has_files || values.words.empty()) continue;
    text += zsh_action(verb, flag) + "() {\n  _alternative " +
            shell_quoted("words:word:(" + words_of(values.words) + ")") +
            " 'files:file:_files'\n}\n\n";
  }
  return text;
}

std::string zsh_function(const VerbFacts& verb) {
  std::string text = zsh_mixed_values(verb) + function_of(verb) + "() {\n";
  if (verb.verbs.empty())
    return text + "  _arguments \\\n    \"${_rebound_common[@]}\" \\\n" + "    \"${" +
           function_of(verb) + "_flags[@]}\"\n}\n\n";
  std::string names, calls;
  for (const VerbFacts& below : verb.verbs) {
    names += "    " + shell_quoted(below.name() + ":" + below.description) + "\n";
    calls += "        " + below.name() + ") " + function_of(below) + " ;;\n";
  }
  return text +
         "  local curcontext=\"$curcontext\" state state_descr line\n  typeset -A opt_args\n" +
         "  local -a verbs\n  verbs=(\n" + names + "  )\n" +
         "  _arguments -C -A \"-*\" \\\n    \"${_rebound_common[@]}\" \\\n    \"${" +
         function_of(verb) + "_flags[@]}\" \\\n    '1: :->verb' '*:: :->rest'\n" +
         "  case \"$state\" in\n    verb) _describe -t verbs 'verb' verbs ;;\n" +
         "    rest)\n      case \"$line[1]\" in\n" + calls + "      esac ;;\n  esac\n}\n\n";
}

std::string fish_quoted(const std::string& text) {
  return "'" + with_backslashes(text, "'\\") + "'";
}

std::string fish_condition(const VerbFacts& verb) {
  return " -n " + fish_quoted("__rebound_at " + fish_quoted(verb.words()));
}

std::string fish_value(const VerbFacts& verb, const FlagFacts& flag) {
  if (!flag.takes_value()) return "";
  const ValueWords values = value_words(verb, flag);
  const std::string words =
      values.words.empty() ? "" : " -a " + fish_quoted(words_of(values.words));
  return (values.has_files ? " -r -F" : " -x") + words;
}

std::string fish_flag(const VerbFacts& verb, const FlagFacts& flag, const std::string& condition) {
  std::string text = "complete -c rebound" + condition;
  for (const std::string& name : flag.names)
    text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  return text + fish_value(verb, flag) + " -d " + fish_quoted(flag.description) + "\n";
}

std::string fish_verb(const VerbFacts& verb) {
  // Flags of the program itself may stand behind every verb.
  const std::string at = fish_condition(verb), anywhere = verb.path.empty() ? "" : at;
  std::string text;
  for (const VerbFacts& below : verb.verbs)
    text += "complete -c rebound" + at + " -a " + below.name() + " -d " +
            fish_quoted(below.description) + "\n";
  for (const FlagFacts& flag : verb.flags) {
    if (!flag.is_positional) {
      text += fish_flag(verb, flag, anywhere);
      continue;
    }
    const ValueWords values = value_words(verb, flag);
    if (values.has_files) text += "complete -c rebound" + at + " -F\n";
    if (!values.words.empty())
      text += "complete -c rebound" + at + " -a " + fish_quoted(words_of(values.words)) + " -d " +
              fish_quoted(flag.name) + "\n";
  }
  return text;
}

constexpr const char* kFishStart =
    R"(# fish completion for rebound; made by: rebound completions fish
function __rebound_verb
    set -l verb ''
    set -l skip 0
    set -l typed (commandline -opc)
    for word in $typed[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        if string match -q -- '-*' $word
            if contains -- "$verb:$word" $__rebound_valued; or contains -- "*:$word" $__rebound_valued
                set skip 1
            end
            continue
        end
        set -l longer (string trim -- "$verb $word")
        if contains -- $longer $__rebound_verbs
            set verb $longer
        end
    end
    echo $verb
end

function __rebound_at
    set -l verb (__rebound_verb)
    test "$verb" = "$argv[1]"
end

complete -c rebound -f
)";

}  // namespace

std::string zsh_completion(const VerbFacts& program) {
  std::string common = "_rebound_common=(\n", flags, functions;
  for (const FlagFacts& flag : program.flags) {
    if (flag.name != "--version") common += zsh_flag(program, flag);
  }
  for (const VerbFacts* verb : all_verbs(program)) {
    VerbFacts own = *verb;
    std::erase_if(own.flags, [&](const FlagFacts& flag) {
      return flag.name == "--help" || (verb->path.empty() && flag.name != "--version");
    });
    flags += function_of(*verb) + "_flags=(\n" + zsh_flags(own) + zsh_places(own) + ")\n\n";
    functions += zsh_function(*verb);
  }
  return "#compdef rebound\n# zsh completion for rebound; made by: rebound completions zsh\n" +
         std::string("typeset -ga _rebound_common\n") + common + ")\n\n" + flags + functions +
         "# Sourced: registered; as a file of $fpath: called.\nif [[ \"$funcstack[1]\" == _rebound "
         "]]; then\n  _rebound \"$@\"\nelse\n  compdef _rebound rebound\nfi\n";
}

std::string fish_completion(const VerbFacts& program) {
  std::string valued = "set -g __rebound_valued", verbs = "set -g __rebound_verbs", lines;
  for (const VerbFacts* verb : all_verbs(program)) {
    if (!verb->path.empty()) verbs += " " + fish_quoted(verb->words());
    for (const FlagFacts& flag : verb->flags) {
      if (flag.is_positional || !flag.takes_value()) continue;
      for (const std::string& name : flag.names)
        valued += " " + fish_quoted((verb->path.empty() ? "*" : verb->words()) + ":" + name);
    }
    lines += fish_verb(*verb);
  }
  return kFishStart + verbs + "\n" + valued + "\n" + lines;
}

}  // namespace rebound
