// Spurious correlation removal (SAEBench; Karvonen et al. 2025, after the SHIFT task of Marks et
// al. 2024): a probe that was trained where two attributes always agree - does ablating the SAE
// features of one make it read the other?
//
//   biased probe     label, fitted on texts whose two attributes agree (both or neither)
//   clean probes     label and spurious, each fitted on the four combinations in equal numbers
//   effect           e_j = |mean_pos f_j - mean_neg f_j| |w . W_dec[j]|, clean probe and texts of
//   the attribute
//                    that is removed
//   ablation         the min(n, #{e != 0}) features of largest e set to 0, error term kept
//   SCR_n            (acc_ablated - acc_original) / (acc_clean - acc_original), 0 where the
//   denominator is below 0.001
//
// All three accuracies are of the attribute that is kept, on the four combinations of the test
// split in equal numbers: of the clean probe, of the biased probe, and of the biased probe after
// the ablation. Two directions, as either attribute may be the one to remove; the reported one is
// where the biased probe is right less often.
//
// A file is JSON lines (empty lines are skipped), one object each:
//   {"id": "r1", "text": "She teaches physics.", "label": 1, "spurious": 0, "group": "g1", "split":
//   "train"}
// "text", "label" and "spurious" (0 or 1) and "split" (train or test) are required; "id" is the
// line's number by default, "group" the row alone. "label_name", "spurious_name" and "source" are
// for the reader.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/probe/activation_cache.h"
#include "rebound/probe/dense_probe.h"
#include "rebound/probe/pooled_probe.h"
#include "rebound/probe/task.h"
#include "rebound/sae/sae.h"

namespace rebound {

struct ScrTask {
  std::string name;
  bool is_chat = false;             // as ProbeTask
  std::vector<LabelledText> texts;  // is_positive is the label
  std::vector<bool> is_spurious;    // of each text
  int64_t dropped = 0;  // copies of an earlier text, and test texts whose group is in train

  // Texts of one combination in a split: places in `texts`.
  std::vector<int64_t> of(bool label, bool spurious, Split split) const;
  // Throws DataError unless each split has texts of all four combinations.
  void validate() const;
};

// Drops, and counts, leaks; throws IoError, else DataError "file:line: ...", and as validate().
ScrTask read_scr_task(const std::filesystem::path& path);
// The first `most` texts of each combination in each split; 0: all.
ScrTask first_of_each(const ScrTask& task, int64_t most);
// Leaks dropped and checked as read_scr_task does.
ScrTask make_scr_task(std::string name,
                      std::vector<LabelledText> texts,
                      std::vector<bool> is_spurious,
                      bool is_chat);

struct ScrOptions {
  std::vector<int64_t> n;  // empty: those of kTppN that the SAE has latents for
  DenseProbeOptions probe;
  uint64_t seed = 0;  // of the texts drawn where combinations are of different sizes
};

struct ScrRow {
  std::string removed;  // "spurious": scored on the label; "label": the reverse
  int64_t n = 0;
  int64_t ablated = 0;
  double clean = 0, original = 0, changed = 0;  // accuracies on what is kept
  double scr = 0;
  bool is_reported = false;

  Json to_json() const;
};

struct ScrReport {
  std::vector<ScrRow> rows;  // by direction, then n
  int64_t n_train = 0, n_train_biased = 0, n_test = 0;
  std::vector<std::pair<int64_t, double>> scores;  // SCR_n of the reported direction
};

// cache: activations of task.texts at the SAE's site. Throws as run_tpp.
ScrReport run_scr(const ScrTask& task,
                  const ActivationCache& cache,
                  const Sae& sae,
                  const ScrOptions& options = {});

double scr_of(double clean, double original, double changed);

}  // namespace rebound
