#include "rebound/behaviour/ioi.h"

#include <set>
#include <string_view>
#include <utility>

#include "rebound/base/json.h"
#include "rebound/base/progress.h"
#include "rebound/base/rng.h"
#include "rebound/behaviour/project_path.h"

namespace rebound {
namespace {

constexpr uint64_t kIoiStream = 0x696f69;

struct Template {
  std::string text;
  int64_t cluster;
};

struct Name {
  std::string word;  // " Mary"
  int64_t id;
};

struct IoiData {
  std::vector<Template> templates;
  std::vector<Name> names;
  std::vector<std::string> places, objects;
};

std::vector<std::string> read_words(const std::filesystem::path& path) {
  const Json json = read_json_file(path);
  bool is_list = json.is_array() && !json.empty();
  for (const Json& word : json) is_list = is_list && word.is_string();
  require<DataError>(is_list, path.string(), ": expected a JSON list of strings, not empty");
  return json.get<std::vector<std::string>>();
}

void add_templates(const std::filesystem::path& path, std::vector<Template>& templates) {
  int64_t cluster = 0;
  for (std::string& text : read_words(path)) {
    for (const char* slot : {"{IO}", "{S}", "{PLACE}", "{OBJECT}"}) {
      require<DataError>(
          text.find(slot) != std::string::npos, path.string(), ": \"", text, "\" lacks ", slot);
    }
    templates.push_back({std::move(text), cluster++});
  }
}

std::vector<Name> read_names(const std::filesystem::path& path, const Tokenizer& tokenizer) {
  const std::vector<std::string> all = read_words(path);
  std::vector<Name> names;
  std::string dropped;
  for (const std::string& name : all) {
    if (const auto id = tokenizer.single_token(" " + name)) {
      names.push_back({" " + name, *id});
    } else {
      dropped += (dropped.empty() ? "" : ", ") + name;
    }
  }
  if (!dropped.empty()) {
    say(concat("ioi: ",
               all.size() - names.size(),
               " of ",
               all.size(),
               " names are not one token for this tokenizer and are left out: ",
               dropped));
  }
  return names;
}

IoiData read_data(const IoiOptions& options, const Tokenizer& tokenizer) {
  const auto folder = options.data_dir.empty() ? find_project_path("data/ioi") : options.data_dir;
  IoiData data;
  for (const char* order : {"baba", "abba"}) {
    if (options.templates == order || options.templates == "both") {
      add_templates(folder / concat("templates_", order, ".json"), data.templates);
    }
  }
  data.names = read_names(folder / "names.json", tokenizer);
  data.places = read_words(folder / "places.json");
  data.objects = read_words(folder / "objects.json");
  return data;
}

void replace_all(std::string& text, std::string_view slot, std::string_view word) {
  for (size_t at = text.find(slot); at != std::string::npos; at = text.find(slot, at)) {
    text.replace(at, slot.size(), word);
    at += word.size();
  }
}

template <class T>
const T& draw(Rng& rng, const std::vector<T>& items) {
  return items[static_cast<size_t>(rng.below(static_cast<int64_t>(items.size())))];
}

// Draws prompts; remembers the pairs it used.
class PromptMaker {
 public:
  PromptMaker(const IoiData& data, const Tokenizer& tokenizer, uint64_t seed)
      : data_(data), tokenizer_(tokenizer), seed_(seed) {}

  std::vector<Prompt> make(const std::string& split, int64_t count) {
    Rng rng({seed_, kIoiStream, split == "test" ? 1U : 0U});
    std::vector<int64_t> order(data_.templates.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
    rng.shuffle(order);
    std::vector<Prompt> prompts;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t turn = order[static_cast<size_t>(i) % order.size()];
      prompts.push_back(make_one(rng, data_.templates[static_cast<size_t>(turn)]));
      prompts.back().id = concat("ioi-", split, "-", i);
    }
    return prompts;
  }

 private:
  std::pair<Name, Name> draw_new_pair(Rng& rng) {
    while (true) {
      const Name& first = draw(rng, data_.names);
      const Name& second = draw(rng, data_.names);
      if (first.id == second.id) continue;
      if (used_.insert(std::minmax(first.id, second.id)).second) return {first, second};
    }
  }

  Prompt make_one(Rng& rng, const Template& form) {
    const auto [indirect, subject] = draw_new_pair(rng);
    Prompt prompt;
    prompt.text = form.text;
    replace_all(prompt.text, "{IO}", std::string_view(indirect.word).substr(1));
    replace_all(prompt.text, "{S}", std::string_view(subject.word).substr(1));
    replace_all(prompt.text, "{PLACE}", draw(rng, data_.places));
    replace_all(prompt.text, "{OBJECT}", draw(rng, data_.objects));
    prompt.ids = tokenizer_.encode(prompt.text);
    prompt.correct_id = indirect.id;
    prompt.wrong_id = subject.id;
    prompt.correct = indirect.word;
    prompt.wrong = subject.word;
    prompt.cluster = form.cluster;
    return prompt;
  }

  const IoiData& data_;
  const Tokenizer& tokenizer_;
  uint64_t seed_;
  std::set<std::pair<int64_t, int64_t>> used_;
};

}  // namespace

void IoiOptions::validate() const {
  require<ConfigError>(n_train >= 0, "IoiOptions.n_train: got ", n_train, ", expected >= 0");
  require<ConfigError>(n_test > 0, "IoiOptions.n_test: got ", n_test, ", expected > 0");
  require<ConfigError>(templates == "baba" || templates == "abba" || templates == "both",
                       "IoiOptions.templates: got \"",
                       templates,
                       "\", expected baba, abba or both");
}

PromptSet make_ioi(const IoiOptions& options, const Tokenizer& tokenizer) {
  options.validate();
  const IoiData data = read_data(options, tokenizer);
  const int64_t n_names = static_cast<int64_t>(data.names.size());
  const int64_t n_pairs = n_names * (n_names - 1) / 2;
  require<ConfigError>(options.n_train <= n_pairs && options.n_test <= n_pairs - options.n_train,
                       "ioi: got ",
                       options.n_train,
                       " train and ",
                       options.n_test,
                       " test prompts, expected at most ",
                       n_pairs,
                       " in all: a pair of the ",
                       n_names,
                       " one-token names is used once");
  PromptMaker maker(data, tokenizer, options.seed);
  PromptSet prompts;
  prompts.test = maker.make("test", options.n_test);
  prompts.train = maker.make("train", options.n_train);
  for (const Name& name : data.names) prompts.unrelated_ids.push_back(name.id);
  return prompts;
}

}  // namespace rebound
