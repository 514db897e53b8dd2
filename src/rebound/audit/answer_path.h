// Recovery-path attribution of an audit of whole answers (recover/cross_path.h), on the flips that
// the headline row recovers.
//
// Its perturbations are searched again (0.6 s a request against 330 kB in the store). What is
// replayed is the effective perturbation, as a plain addition at its rows: under forward projection
// `full` can therefore answer otherwise than the row, whose projection goes on after them. Scores
// are mean log-probabilities of the forced target; `recovered` is the judgement of an answer that
// is generated under each variant.
#pragma once

#include "rebound/audit/answer_batch.h"
#include "rebound/audit/store.h"
#include "rebound/recover/cross_path.h"

namespace rebound {

struct PathDictionaries {
  std::vector<SiteDictionary> of_site;  // in the plan's order
  std::vector<std::string> names;       // of the SAE; "none" where a site has none
};

// SAEs of the spec's `attribution`; none named: for clamps on directions those in assets/sae that
// were trained on this model file at their sites. Throws ConfigError, DataError or IoError.
PathDictionaries load_path_dictionaries(const AnswerAuditSpec& spec,
                                        const ClampPlan& plan,
                                        const AnswerSubject& subject);

// {"requests": [...], "full": [...], "parts": {...}, "recovered": {"full": [1, 0, ...], ...}, ...}
// of one batch; null where the headline row recovers none of it or works at the input.
Json attribute_answers(const AnswerBatch& batch,
                       const Store& store,
                       const PathDictionaries& dictionaries);

// summarise_paths of path_report.h with the sites' dictionaries; an empty object where nothing was
// recovered.
Json summarise_answer_paths(const Store& store,
                            int64_t n_batches,
                            const ClampPlan& plan,
                            const PathDictionaries& dictionaries);

}  // namespace rebound
