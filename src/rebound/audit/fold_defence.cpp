#include "rebound/audit/fold_defence.h"

#include <torch/torch.h>

#include <algorithm>
#include <functional>
#include <map>

#include "rebound/audit/batch_context.h"
#include "rebound/audit/fold_rates.h"
#include "rebound/audit/utility_report.h"
#include "rebound/base/error.h"
#include "rebound/base/progress.h"
#include "rebound/behaviour/facts.h"
#include "rebound/behaviour/multiple_choice.h"
#include "rebound/behaviour/project_path.h"

namespace rebound {
namespace {

// The features of each fold, chosen on the others.
class FoldChoice {
 public:
  FoldChoice(const Subject& subject, const AuditSpec& spec) : subject_(subject), spec_(spec) {
    for (int64_t fold = 0; fold < fold_count(subject); ++fold) {
      known_.push_back(known_of(*subject.model, prompts_of_fold(subject.prompts.test, fold)));
      n_known_ += known_.back().size();
    }
    require<DataError>(
        n_known_ > 0,
        spec.behaviour.kind,
        ": the model completes none of the ",
        subject.prompts.test.size(),
        " prompts to forget, so there is nothing to unlearn; expected some that it knows");
  }

  std::vector<Sae::Features> features() const {
    if (!spec_.defence.features.empty()) {
      return std::vector<Sae::Features>(known_.size(), spec_.defence.features);
    }
    return spec_.defence.choice.rule == "firing_rates" ? by_firing_rates() : by_attribution();
  }

  Prompts known_elsewhere(int64_t fold) const {
    Prompts out;
    for (size_t i = 0; i < known_.size(); ++i) {
      if (static_cast<int64_t>(i) != fold)
        out.insert(out.end(), known_[i].begin(), known_[i].end());
    }
    return out;
  }
  size_t n_known() const { return n_known_; }

 private:
  std::vector<Sae::Features> by_attribution() const {
    std::vector<at::Tensor> sums;
    for (const Prompts& known : known_) {
      sums.push_back(known.empty()
                         ? at::Tensor()
                         : attribute_features(*subject_.model, *subject_.sae, scored(known)) *
                               static_cast<double>(known.size()));
    }
    return for_each_fold([&](int64_t fold) {
      const at::Tensor others = sum_of_others(sums, fold);
      return others.defined() ? top_features(others, spec_.defence.choice.features)
                              : Sae::Features();
    });
  }

  std::vector<Sae::Features> by_firing_rates() const {
    const FoldRates rates = fold_rates(subject_);
    return for_each_fold([&](int64_t fold) {
      const auto i = static_cast<size_t>(fold);
      return firing_rate_features(rates.forget[i],
                                  rates.retain[i],
                                  spec_.defence.choice.retain_threshold,
                                  spec_.defence.choice.features);
    });
  }

  std::vector<Sae::Features> for_each_fold(
      const std::function<Sae::Features(int64_t)>& choose) const {
    std::vector<Sae::Features> out;
    for (size_t i = 0; i < known_.size(); ++i) {
      out.push_back(choose(static_cast<int64_t>(i)));
      require<DataError>(!out.back().empty(),
                         "defence: got no feature by ",
                         spec_.defence.choice.rule,
                         " on the facts outside fold ",
                         i,
                         ", expected at least one");
    }
    return out;
  }

  const Subject& subject_;
  const AuditSpec& spec_;
  std::vector<Prompts> known_;  // of each fold
  size_t n_known_ = 0;
};

double forgotten_share(const Subject& subject, const Prompts& known, const Defence& defence) {
  if (known.empty()) return 0;
  const at::NoGradGuard no_grad;
  const at::Tensor margin = logit_differences(*subject.model, scored(known), defence.hooks());
  return (margin <= 0).to(at::kDouble).mean().item<double>();
}

}  // namespace

FactSet read_fact_set(const BehaviourSpec& b,
                      uint64_t seed,
                      const Tokenizer& tokenizer,
                      std::vector<Question>& questions) {
  FactsOptions options{.forget = b.forget,
                       .retain = b.retain,
                       .n_retain = b.n_retain,
                       .folds = b.folds,
                       .seed = seed};
  if (b.kind != "mcq") return make_facts(options, tokenizer);
  questions = read_questions(b.questions.empty() ? find_project_path("data/mcq/capitals_mcq.jsonl")
                                                 : std::filesystem::path(b.questions));
  FactSet facts = question_prompts(questions, tokenizer, options);
  options.folds = fold_count(facts.forget);  // a file may name others than the spec
  facts.retain = make_retained({}, options, tokenizer, facts.left_out);
  return facts;
}

void load_facts(Subject& subject, const AuditSpec& spec) {
  FactSet facts = read_fact_set(spec.behaviour, spec.seed, *subject.tokenizer, subject.questions);
  say(concat(spec.behaviour.kind,
             ": ",
             facts.forget.size(),
             " to forget, ",
             facts.retain.size(),
             " to retain; left out: ",
             to_json(facts.left_out).dump()));
  subject.prompts = {
      .train = {}, .test = std::move(facts.forget), .unrelated_ids = std::move(facts.answer_ids)};
  subject.retain = std::move(facts.retain);
  subject.left_out = to_json(facts.left_out);
}

void choose_fold_defences(Subject& subject, const AuditSpec& spec) {
  const DefenceSpec& defence = spec.defence;
  const FoldChoice choice(subject, spec);
  const std::vector<Sae::Features> features = choice.features();
  const std::vector<double> values =
      defence.is_value_given ? std::vector<double>{defence.edit.value} : defence.choice.values;
  Json folds = Json::array();
  for (size_t i = 0; i < features.size(); ++i) {
    const Prompts known = choice.known_elsewhere(static_cast<int64_t>(i));
    double best_share = -1;
    std::shared_ptr<const Defence> best;
    for (const double value : values) {
      FeatureEdit edit = defence.edit;
      edit.features = features[i];
      edit.value = value;
      const auto candidate = std::make_shared<const Defence>(
          subject.sae, std::vector{edit}, subject.statistics.sink_norm);
      const double share = forgotten_share(subject, known, *candidate);
      if (share > best_share) {
        best_share = share;
        best = candidate;
      }
      if (share >= defence.choice.min_flip_rate) break;
    }
    subject.defences.push_back(best);
    folds.push_back({{"fold", i},
                     {"features", features[i]},
                     {"value", best->edits().front().value},
                     {"n_train", known.size()},
                     {"train_forgotten", best_share}});
    say(concat("defence of fold ",
               i,
               ": ",
               features[i].size(),
               " features, ",
               to_string(defence.edit.kind),
               " ",
               best->edits().front().value,
               " forgets ",
               static_cast<int>(best_share * 100 + 0.5),
               " % of ",
               known.size(),
               " known facts of the other folds"));
  }
  subject.choice = {{"rule", defence.features.empty() ? defence.choice.rule : "given"},
                    {"n_known", choice.n_known()},
                    {"folds", folds}};
}

void KnownFacts::add(bool is_known, bool is_after, int64_t cluster) {
  before_.push_back(is_known);
  after_.push_back(is_after);
  clusters_.push_back(cluster);
  if (!is_known) return;
  kept_.push_back(is_after);
  known_clusters_.push_back(cluster);
}

Json KnownFacts::to_json() const {
  const Share before = share_of(before_, clusters_), after = share_of(after_, clusters_),
              kept = share_of(kept_, known_clusters_);
  return {{"n", before.n},
          {"before", before.count},
          {"after", after.count},
          {"known_kept", kept.count},
          {"intervals",
           {{"before", interval_json(before)},
            {"after", interval_json(after)},
            {"known_kept", interval_json(kept)}}}};
}

Json measure_fact_accuracy(const Subject& subject, int64_t batch) {
  std::map<int64_t, Json> folds;
  Json out;
  const auto add = [&](const char* set,
                       const std::vector<Prompt>& prompts,
                       const char* known_key,
                       const char* kept_key) {
    KnownFacts facts;
    for (const ScoredExample& example : score_examples(subject, prompts, batch)) {
      const bool is_known = example.base_score > 0, is_after = example.defended_score > 0;
      facts.add(is_known, is_after, example.prompt->cluster);
      Json& fold = folds[example.prompt->fold];
      if (fold.is_null()) fold = Json::object();
      fold[known_key] = fold.value(known_key, 0) + is_known;
      fold[kept_key] = fold.value(kept_key, 0) + (is_known && is_after);
    }
    out[set] = facts.to_json();
  };
  add("forget", subject.prompts.test, "forget_known", "forget_kept");
  add("retain", subject.retain, "retain_known", "retain_kept");
  out["folds"] = Json::array();
  for (auto& [fold, figures] : folds) {
    figures["fold"] = fold;
    out["folds"].push_back(figures);
  }
  return out;
}

}  // namespace rebound
