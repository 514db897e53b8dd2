#include "verb_facts.h"

#include <algorithm>
#include <sstream>

namespace rebound {
namespace {

// Values that are neither files nor choices that CLI11 knows.
struct OpenValue {
  std::string verb;  // "": any
  std::string flag;
  std::vector<std::string> words = {};
};

const std::vector<OpenValue>& open_values() {
  static const std::vector<OpenValue> values = {
      {"audit", "--preset", {"quick", "full"}},
      {"cost train", "--family"},
      {"cost fit", "--family"},
      {"man", "verb"},
      {"model generate", "--prompt"},
      {"model generate", "--system"},
      {"model logits", "--text"},
      {"model pull", "repository"},
      {"model pull", "--revision"},
      {"model pull", "--include"},
      {"probe", "--hook"},
      {"probe", "--pool", {"max", "mean", "last"}},
      {"probe", "--task"},
      {"sae pull", "repository"},
      {"sae pull", "--revision"},
      {"sae pull", "--path"},
      {"sae train", "--hook"},
      {"sae train", "--kind", {"batchtopk", "topk"}},
      {"sae convert", "--to", {"saelens", "sparsify", "gemma-scope"}},
      {"show", "--example"},
      {"tokenize", "--text"},
      {"tpp", "--task"}};
  return values;
}

// Of every verb that reads an SAE's files.
const std::vector<std::string> kSaeWords = {
    "--architecture", "--format", "--hook", "--hook-out", "--release"};

const OpenValue* open_value(const VerbFacts& verb, const FlagFacts& flag) {
  for (const OpenValue& value : open_values()) {
    if (value.verb == verb.words() && value.flag == flag.name) return &value;
  }
  return nullptr;
}

// "Preset (ioi, facts) or a spec file" -> ioi, facts
std::vector<std::string> presets_in(const std::string& description) {
  std::vector<std::string> words;
  const size_t open = description.find("Preset ("), close = description.find(')');
  if (open != 0 || close == std::string::npos) return words;
  std::istringstream in(description.substr(8, close - 8));
  for (std::string word; in >> word;) {
    if (word.back() == ',') word.pop_back();
    words.push_back(word);
  }
  return words;
}

bool is_of(const VerbFacts& verb, const std::string& words) {
  return verb.words() == words || words.starts_with(verb.words() + " ");
}

}  // namespace

const std::vector<NamedFact>& exit_codes() {
  static const std::vector<NamedFact> codes = {
      {"0", "Done.", {}},
      {"1", "A fault of the program or of a library, also out of memory.", {}},
      {"2", "Flags or spec: something impossible was asked for.", {}},
      {"3", "Contents of a file: damaged, not matching the model, NaN weights, not UTF-8.", {}},
      {"4", "Numbers: a task without a solution.", {}},
      {"5", "Reading or writing: no such file, no permission, disk full.", {}},
      {"130", "Interrupted. An audit can be resumed with --resume.", {}}};
  return codes;
}

const std::vector<NamedFact>& environment_variables() {
  static const std::vector<NamedFact> variables = {
      {"OMP_NUM_THREADS", "Threads where --threads is 0 or absent.", {}},
      {"OMP_WAIT_POLICY",
       "Set to PASSIVE unless you set it: threads that spin while they wait take cores from those "
       "that work.",
       {}},
      {"OPENBLAS_CORETYPE",
       "On Intel CPUs with AVX-512 set to SkylakeX, unless you set it or OpenBLAS chose well.",
       {}},
      {"REBOUND_HOME",
       "The project's folder, for data files and the default SAE when the program runs elsewhere.",
       {}},
      {"NO_COLOR",
       "Set to anything but nothing: no colours on a terminal.",
       {"show", "report", "audit"}},
      {"COLUMNS",
       "Columns of the terminal, before what it says itself.",
       {"show", "report", "audit"}},
      {"HOME", "$HOME/.cache/rebound is searched for the default model.", {}}};
  return variables;
}

const std::vector<NamedFact>& default_files() {
  static const std::vector<NamedFact> files = {
      {"models/SmolLM2-135M-Instruct.Q4_1.gguf",
       "The default model: looked for here, in the project around the program, and in "
       "~/.cache/rebound. scripts/fetch_default_model.sh gets it.",
       {}},
      {"assets/sae/smollm2-135m-instruct-l12",
       "The default SAE: looked for here, in the project around the program, and in $REBOUND_HOME.",
       {}},
      {"RUN/spec.json",
       "The settings of a run, defaults included.",
       {"audit", "show", "report", "compare"}},
      {"RUN/run.sqlite",
       "Everything that a run measured. Holds the text of prompts where they have one: share the "
       "report, not the store.",
       {"audit", "show", "report", "compare"}},
      {"RUN/summary.json", "What a finished run found.", {"audit", "show", "report", "compare"}},
      {"RUN/report.html", "The report as one page.", {"audit"}}};
  return files;
}

std::vector<NamedFact> facts_for(const std::vector<NamedFact>& facts, const VerbFacts& verb) {
  std::vector<NamedFact> mine;
  for (const NamedFact& fact : facts) {
    const bool is_mine = fact.verbs.empty() || verb.path.empty() ||
                         std::count(fact.verbs.begin(), fact.verbs.end(), verb.words()) > 0;
    if (is_mine) mine.push_back(fact);
  }
  return mine;
}

std::vector<VerbExample> examples_for(const VerbFacts& verb) {
  std::vector<VerbExample> mine;
  std::string last;
  for (const VerbExample& example : verb_examples()) {
    const std::string first = example.verb.substr(0, example.verb.find(' '));
    if (verb.path.empty() ? first != last : is_of(verb, example.verb)) mine.push_back(example);
    last = first;
  }
  return mine;
}

std::string documentation_of(const VerbFacts& verb) {
  if (verb.path.empty()) return "docs/README.md";
  const std::string& name = verb.path.front();
  return name == "completions" || name == "man" ? "docs/shell.md" : "docs/" + name + ".md";
}

ValueWords value_words(const VerbFacts& verb, const FlagFacts& flag) {
  if (!flag.choices.empty()) return {flag.choices, false};
  if (flag.value != "TEXT") return {};
  if (const OpenValue* value = open_value(verb, flag)) return {value->words, false};
  const bool is_of_sae = !verb.path.empty() && verb.path.front() == "sae";
  if (is_of_sae && std::count(kSaeWords.begin(), kSaeWords.end(), flag.name) > 0) return {};
  return {presets_in(flag.description), true};
}

std::vector<std::pair<std::string, std::string>> named_values() {
  std::vector<std::pair<std::string, std::string>> names;
  for (const OpenValue& value : open_values()) names.emplace_back(value.verb, value.flag);
  for (const std::string& flag : kSaeWords) names.emplace_back("sae eval", flag);
  return names;
}

}  // namespace rebound
