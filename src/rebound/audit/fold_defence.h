// Which features to clamp so that facts are forgotten: chosen for each fold on the facts of the
// others.
//
// attribution    activation x gradient of the answer's margin over the known facts to forget
//                (intervene/feature_attribution.h), the N largest
// firing_rates   SAEBench's rule (fold_rates.h)
#pragma once

#include <vector>

#include "rebound/audit/subject.h"
#include "rebound/behaviour/facts.h"

namespace rebound {

// What the spec's facts or questions (then these, too) are: to forget and to retain, in the same
// folds. Throws ConfigError, IoError or DataError.
FactSet read_fact_set(const BehaviourSpec& behaviour,
                      uint64_t seed,
                      const Tokenizer& tokenizer,
                      std::vector<Question>& questions);

// Prompts, retained facts, one defence a fold and how it was chosen. Model, SAE and tokenizer are
// there. Throws ConfigError, IoError, or DataError where the model knows no fact to forget.
void load_facts(Subject& subject, const AuditSpec& spec);
void choose_fold_defences(Subject& subject, const AuditSpec& spec);

// Which facts the model knows, and which it still knows under a defence.
class KnownFacts {
 public:
  void add(bool is_known, bool is_after, int64_t cluster);
  // {"n", "before", "after", "known_kept", "intervals": {"before": [low, high], ...}}, the
  // intervals as share_of has them over the clusters.
  Json to_json() const;

 private:
  std::vector<double> before_, after_, kept_;
  std::vector<int64_t> clusters_, known_clusters_;
};

// How many facts the model knows, and of which it still knows under the defence of their fold:
// {"forget", "retain": as KnownFacts,
//  "folds": [{"fold", "forget_known", "forget_kept", "retain_known", "retain_kept"}]}
Json measure_fact_accuracy(const Subject& subject, int64_t batch);

}  // namespace rebound
