// From what the page asks to the spec of an audit (docs/spec.md), checked as `rebound audit` will
// check it, so that a mistake is told before a process starts.
//
//   {"behaviour": "ioi", "name": "ioi-weak", "defence": "clamps" or "own", "preset": "quick",
//    "prompts": 8, "clamps": [...]}
//
// "prompts": how many are tried (of answers: of each set of requests); left out, as many as the
// preset says. Facts, questions and toys bring all of theirs.
// "own": the behaviour chooses its defence as its preset does. "clamps": those of the bench;
// behaviours of scores take features of one SAE with one edit, those of answers several SAEs with
// one kind of edit each.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rebound/serve/bench_model.h"
#include "rebound/serve/bench_request.h"

namespace rebound {

struct AuditRequest {
  std::string behaviour;
  std::string name;  // of the run's folder; "": made from behaviour and time
  std::string preset = "quick";
  int64_t prompts = 0;  // 0: the preset's
  bool has_clamps = false;
  std::vector<BenchClamp> clamps;
};

// ConfigError naming the key.
AuditRequest read_audit_request(const Json& json, const BenchLimits& limits);

// Behaviours that can be asked for: ioi, facts, mcq, refusal, refusal-benign and the toys.
const std::vector<std::string>& audit_behaviours();

// ConfigError unless letters, digits, ".", "_" and "-", beginning with a letter or digit, at most
// 64: a name that is a path is impossible.
void check_run_name(const std::string& name);

// "ioi-20261122-041500"
std::string run_name_of(const std::string& behaviour);

struct AuditMaterial {
  std::string model;                   // as --model said; "": the default
  std::vector<std::string> sae_paths;  // of the bench, in its order; empty: not loaded
  std::function<std::optional<double>(int64_t sae)> sink_norm;  // of the last prompt
};

// The effective spec. ConfigError for clamps that the behaviour cannot take.
Json audit_spec_of(const AuditRequest& request, const AuditMaterial& material);

}  // namespace rebound
