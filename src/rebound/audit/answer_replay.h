// A finished run of whole answers in memory again: what its headline row attacked, ready to be
// searched once more.
//
// A run keeps no activations and no perturbations (330 kB a request against 0.6 s to search it
// again). Model, clamps, base answers and searches follow from spec.json and the stored choice
// alone, so they are made again; what the store kept of them (hashes of the base answers, the row's
// scores) tells whether they came out the same.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "rebound/audit/answer_batch.h"
#include "rebound/audit/answer_defence.h"
#include "rebound/audit/store.h"

namespace rebound {

struct AnswerReplay {
  AnswerReplay() = default;
  AnswerReplay(const AnswerReplay&) = delete;  // batches and flips point into it
  AnswerReplay& operator=(const AnswerReplay&) = delete;

  AnswerAuditSpec spec;
  AnswerSubject subject;
  ChosenDefence defence;
  std::vector<AnswerBatch>
      batches;  // of the valid flips, cut as in the run; without foreign answers
  std::vector<std::vector<int64_t>>
      recovered;                    // of each batch: places of the flips that the row recovered
  std::map<int64_t, double> score;  // of the row, by AnswerFlip::index
  std::vector<StoredResult> results;  // of the row
};

// `run`: the folder of a finished run. Throws ConfigError for a run of another behaviour or with a
// headline at the input, IoError, and DataError where a base answer is not the one of the run
// (another model, machine or number of threads), or nothing was recovered.
std::unique_ptr<const AnswerReplay> replay_answers(const std::filesystem::path& run);

}  // namespace rebound
