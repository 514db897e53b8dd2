// How a defence that makes a model refuse is built: what differs between refusing and complying
// answers at each site, at any strength.
//
// Refusing answers are a fixed refusal after each training request, complying ones what the base
// model answers; the means of both over the answers' first tokens give directions and features
// (intervene/contrast.h).
#pragma once

#include <memory>
#include <vector>

#include "rebound/audit/answer_subject.h"
#include "rebound/sae/sae.h"

namespace rebound {

// Everything of a defence but its strength.
struct AnswerDesign {
  struct Part {
    Site site;
    at::Tensor direction;            // directions: [d_model]
    std::shared_ptr<const Sae> sae;  // features
    Sae::Features features;          // strongest difference first
    std::vector<double> differences;
    double sink_norm = 0;
  };
  std::vector<Part> parts;

  // Each difference times `strength` is added.
  std::shared_ptr<const ClampPlan> at_strength(double strength, const ModelConfig& model) const;
  // The first `count` features of each SAE alone, their differences scaled so that what each site adds
  // has the norm of what the first `reference` add. ConfigError without SAEs.
  AnswerDesign with_features(int64_t count, int64_t reference) const;
};

// kind "directions" or "features"; features: as many of each SAE as the defence or any of the spec's
// feature_counts needs, use with_features. Says what it does on stderr. Throws ConfigError, DataError or IoError.
AnswerDesign design_answer_defence(const AnswerAuditSpec& spec, const AnswerSubject& subject);

}  // namespace rebound
