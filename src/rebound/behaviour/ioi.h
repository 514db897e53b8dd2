// Indirect object identification (Wang et al., arXiv:2211.00593): two names, one repeated; the
// model should continue with the other.
//
//   BABA  "After {S} and {IO} arrived at the {PLACE}, {S} handed the {OBJECT} to" -> " {IO}"
//   ABBA  the same with {IO} first
//
// Names are those of data/ioi/names.json that are one token after a space.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "rebound/behaviour/prompts.h"

namespace rebound {

struct IoiOptions {
  int64_t n_train = 64;
  int64_t n_test = 64;
  std::string templates = "baba";  // the published setting; or "abba", "both"
  uint64_t seed = 0;
  std::filesystem::path data_dir;  // empty: data/ioi of the project
  void validate() const;           // ConfigError
};

// Every prompt has a pair of names of its own (in either order), so train and test share neither
// pairs nor texts. Templates come in turn. The test prompts do not depend on n_train.
// correct = " IO", wrong = " S"; cluster = index of the template, the same for name-swapped twins.
// Says which names were left out. Throws ConfigError when there are too few names for the counts,
// IoError or DataError for the data files.
PromptSet make_ioi(const IoiOptions& options, const Tokenizer& tokenizer);

}  // namespace rebound
