#include "rebound/audit/subject.h"

#include <torch/torch.h>

#include <algorithm>
#include <set>

#include "rebound/audit/fold_defence.h"
#include "rebound/audit/run_memory.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/parallel.h"
#include "rebound/base/progress.h"
#include "rebound/behaviour/ioi.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/behaviour/toy.h"
#include "rebound/io/hub_cache.h"
#include "rebound/model/device.h"
#include "rebound/sae/sae_hash.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/self_check.h"
#include "rebound/text/load.h"

namespace rebound {
namespace {

constexpr const char* kDefaultSae = "assets/sae/smollm2-135m-instruct-l12";

std::vector<const Prompt*> pointers(const std::vector<Prompt>& prompts) {
  std::vector<const Prompt*> out;
  for (const Prompt& prompt : prompts) out.push_back(&prompt);
  return out;
}

void load_toy(Subject& subject, AuditSpec& spec) {
  const ToyKind kind = spec.behaviour.kind == "toy-leaky"           ? ToyKind::kLeaky
                       : spec.behaviour.kind == "toy-feature-routed" ? ToyKind::kFeatureRouted
                                                                     : ToyKind::kSealed;
  Toy toy = make_toy(kind, spec.seed);
  subject.model_name = subject.sae_name = spec.behaviour.kind;
  subject.model = std::make_shared<const Transformer>(std::move(toy.model));
  subject.sae = std::make_shared<const Sae>(std::move(toy.sae));
  subject.prompts = std::move(toy.prompts);
  if (spec.defence.features.empty()) spec.defence.features = toy.features;
  if (!spec.defence.is_value_given) {
    spec.defence.edit.value = toy.clamp_value;
    spec.defence.is_value_given = true;
  }
}

PromptSet load_prompts(const AuditSpec& spec, Subject& subject) {
  const BehaviourSpec& behaviour = spec.behaviour;
  const PromptCheck check{subject.tokenizer.get(), subject.model->config().vocab_size};
  if (behaviour.prompts.empty()) {
    return make_ioi({.n_train = behaviour.n_train, .n_test = behaviour.n_test,
                     .templates = behaviour.templates, .seed = spec.seed, .data_dir = {}},
                    *subject.tokenizer);
  }
  PromptSet prompts;
  prompts.test = read_prompts(behaviour.prompts, check);
  if (!behaviour.train_prompts.empty()) {
    prompts.train = read_prompts(behaviour.train_prompts, check);
    if (const int64_t n = drop_tested(prompts.train, prompts.test); n > 0) {
      subject.left_out = {{"train_in_test", n}};
      say(concat(n, " training prompts are test prompts, too: left out of training"));
    }
  }
  std::set<int64_t> answers;
  for (const Prompt& prompt : prompts.test) answers.insert(prompt.correct_id);
  prompts.unrelated_ids.assign(answers.begin(), answers.end());
  return prompts;
}

void load_real(Subject& subject, const AuditSpec& spec) {
  const std::string model = find_model(spec.model);
  const std::string sae = find_sae(spec.sae);
  say(concat("loading ", model));
  subject.sae = std::make_shared<const Sae>(load_sae(sae));
  subject.model =
      std::make_shared<const Transformer>(load_model(model, load_options_of(*subject.sae, whole_form(spec.dtype))));
  check_fits(*subject.sae, subject.model->config());
  const std::string hook = subject.sae->config().hook_name;
  require<ConfigError>(spec.hook.empty() || spec.hook == hook, "hook: got \"", spec.hook,
                       "\", expected the SAE's own site \"", hook, "\"");
  const bool needs_text = spec.behaviour.prompts.empty();
  try {
    subject.tokenizer = std::make_shared<const Tokenizer>(load_tokenizer(model));
  } catch (const Error&) {
    if (needs_text) throw;  // prompts given as ids need no tokenizer
  }
  subject.model_name = name_of_path(model);
  subject.sae_name = name_of_path(std::filesystem::path(sae).lexically_normal());
  if (std::filesystem::is_regular_file(model)) subject.model_sha256 = sha256_of_file(model);
  subject.sae_sha256 = sae_sha256(sae);
  if (spec.has_folds()) load_facts(subject, spec);
  else subject.prompts = load_prompts(spec, subject);
}

double flip_rate(const Subject& subject, const ScoredPrompts& prompts, const at::Tensor& base, const Defence& defence) {
  const at::Tensor defended = logit_differences(*subject.model, prompts, defence.hooks());
  const at::Tensor shown = base > 0;
  return (shown & (defended <= 0)).sum().item<double>() / std::max(1.0, shown.sum().item<double>());
}

// The published selection on training prompts, and the weakest value that flips enough of them.
FeatureEdit choose_edit(Subject& subject, const AuditSpec& spec) {
  const DefenceSpec& defence = spec.defence;
  require<ConfigError>(!subject.prompts.train.empty(),
                       "defence.features: got none and no training prompts to choose them on, expected "
                       "defence.features or behaviour.train_prompts");
  const ScoredPrompts train = scored(pointers(subject.prompts.train));
  FeatureEdit edit = defence.edit;
  edit.features = top_features(attribute_features(*subject.model, *subject.sae, train), defence.choice.features);
  require<DataError>(!edit.features.empty(), "defence: got no feature with positive attribution on ",
                     subject.prompts.train.size(), " training prompts, expected at least one");
  const at::NoGradGuard no_grad;
  const at::Tensor base = logit_differences(*subject.model, train, {});
  Json tried = Json::array();
  double best_rate = -1;
  const std::vector<double> values =
      defence.is_value_given ? std::vector<double>{defence.edit.value} : defence.choice.values;
  for (const double value : values) {
    FeatureEdit candidate = edit;
    candidate.value = value;
    const double rate = flip_rate(subject, train, base,
                                  Defence(subject.sae, {candidate}, subject.statistics.sink_norm));
    tried.push_back({{"value", value}, {"train_flip_rate", rate}});
    if (rate > best_rate) {
      best_rate = rate;
      edit.value = value;
    }
    if (rate >= defence.choice.min_flip_rate) break;
  }
  subject.choice = {{"rule", concat("the weakest value that flips ", defence.choice.min_flip_rate * 100,
                                    " % of the training prompts, else the one that flips most")},
                    {"n_train", subject.prompts.train.size()},
                    {"n_features", edit.features.size()},
                    {"value", edit.value},
                    {"train_flip_rate", best_rate},
                    {"tried", tried}};
  say(concat("defence: ", edit.features.size(), " features by activation x gradient on ",
             subject.prompts.train.size(), " training prompts, ", to_string(edit.kind), " ", edit.value, " (",
             to_string(edit.when), ") flips ", static_cast<int>(best_rate * 100 + 0.5), " % of them"));
  return edit;
}

}  // namespace

const Defence& Subject::defence_of(const Prompt& prompt) const {
  if (prompt.fold >= 0) return *defences.at(static_cast<size_t>(prompt.fold));
  if (prompt.features.empty()) return *defences.front();
  Sae::Features wanted = prompt.features;
  std::sort(wanted.begin(), wanted.end());
  for (const auto& defence : defences) {
    if (defence->features() == wanted) return *defence;
  }
  return *defences.front();
}

std::string Subject::token_text(int64_t id) const {
  return tokenizer ? tokenizer->token_text(id) : concat("<", id, ">");
}

std::string find_default_sae() { return find_project_path(kDefaultSae).string(); }

std::string find_sae(const std::string& given) {
  if (given.empty()) return find_default_sae();
  if (std::filesystem::path(given).is_absolute()) return given;
  try {
    return find_project_path(given).string();
  } catch (const IoError&) {
    if (const std::optional<std::string> cached = find_hub_sae(given)) return *cached;
    throw;
  }
}

int64_t drop_tested(std::vector<Prompt>& train, const std::vector<Prompt>& test) {
  const auto is_line_number = [](const std::string& id) {
    return id.find_first_not_of("0123456789") == std::string::npos;
  };
  std::set<std::string> ids;
  std::set<std::vector<int64_t>> tokens;
  for (const Prompt& prompt : test) {
    if (!is_line_number(prompt.id)) ids.insert(prompt.id);
    tokens.insert(prompt.ids);
  }
  return static_cast<int64_t>(std::erase_if(
      train, [&](const Prompt& prompt) { return ids.count(prompt.id) || tokens.count(prompt.ids); }));
}

at::Tensor wrong_tokens(const std::vector<const Prompt*>& prompts) {
  std::vector<int64_t> wrong;
  for (const Prompt* prompt : prompts) {
    if (prompt->rival_ids.empty()) wrong.push_back(prompt->wrong_id);
    else wrong.insert(wrong.end(), prompt->rival_ids.begin(), prompt->rival_ids.end());
  }
  const auto n = static_cast<int64_t>(prompts.size());
  const at::Tensor ids = at::tensor(wrong, at::kLong);
  return ids.numel() == n ? ids : ids.view({n, -1});
}

ScoredPrompts scored(const std::vector<const Prompt*>& prompts) {
  std::vector<std::vector<int64_t>> ids;
  std::vector<int64_t> correct;
  for (const Prompt* prompt : prompts) {
    ids.push_back(prompt->ids);
    correct.push_back(prompt->correct_id);
  }
  return {TokenBatch::from(ids), at::tensor(correct, at::kLong), wrong_tokens(prompts)};
}

Subject load_subject(const AuditSpec& given) {
  AuditSpec spec = given;
  Subject subject;
  const bool is_real = spec.behaviour.kind == "ioi" || spec.has_folds();
  if (is_real) load_real(subject, spec);
  else load_toy(subject, spec);
  const at::Device device = device_named(spec.device);
  if (!device.is_cpu()) {
    subject.model = std::make_shared<const Transformer>(subject.model->to(device));
    subject.sae = std::make_shared<const Sae>(subject.sae->to(device));
    if (device.is_cuda()) limit_workers(1);
  }
  subject.search = searched_in(spec.dtype, subject.model);

  const std::vector<Prompt>& reference = subject.prompts.train.empty() ? subject.prompts.test : subject.prompts.train;
  const TokenBatch tokens = scored(pointers(reference)).tokens;
  subject.statistics = feature_statistics(*subject.model, *subject.sae, tokens);
  if (is_real) {
    const SelfCheck check = self_check(*subject.sae, *subject.model, tokens);
    say(concat("SAE ", subject.sae_name, ": ", check.summary()));
    require_good_fit(check);
  }
  if (spec.has_folds()) {
    choose_fold_defences(subject, spec);
    return subject;
  }
  FeatureEdit edit = spec.defence.edit;
  edit.features = spec.defence.features;
  const bool all_have_own = std::all_of(subject.prompts.test.begin(), subject.prompts.test.end(),
                                        [](const Prompt& prompt) { return !prompt.features.empty(); });
  if (edit.features.empty() && all_have_own) edit.features = subject.prompts.test.front().features;
  if (edit.features.empty()) edit = choose_edit(subject, spec);
  subject.defences.push_back(std::make_shared<const Defence>(subject.sae, std::vector{edit}, subject.statistics.sink_norm));
  for (const Prompt& prompt : subject.prompts.test) {
    if (prompt.features.empty()) continue;
    Sae::Features wanted = prompt.features;
    std::sort(wanted.begin(), wanted.end());
    if (subject.defence_of(prompt).features() == wanted) continue;
    edit.features = wanted;
    subject.defences.push_back(
        std::make_shared<const Defence>(subject.sae, std::vector{edit}, subject.statistics.sink_norm));
  }
  return subject;
}

}  // namespace rebound
