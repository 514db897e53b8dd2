// A defence from a file: a list of clamps, or what a finished audit clamped.
//
//   clamps.json                    a list as in "defence.edits" (clamp_file.h)
//   runs/NAME, or its summary.json the run's own clamps. The summary names features alone; the SAEs
//                                  that they are of are those of spec.json beside it
//
// Of facts and questions, with one defence a fold, the summary has that of the first fold. Clamps
// on directions that a run chose cannot be read back: it keeps their norms, not their vectors.
#pragma once

#include <filesystem>
#include <string>

#include "rebound/base/json.h"

namespace rebound {

struct DefenceFile {
  Json clamps;        // for read_clamps; at least one
  std::string model;  // that the run was about; empty: not said, or the default model
};

// Throws IoError (cannot read), ConfigError (no JSON, another form, an empty list), DataError (a
// run that keeps too little).
DefenceFile read_defence_file(const std::filesystem::path& path);

}  // namespace rebound
