// A defence from a file: a list of clamps, or what a finished audit clamped.
//
//   clamps.json                    a list as in "defence.edits" (clamp_file.h)
//   runs/NAME, or its summary.json the run's own clamps. The summary names features alone; the SAEs
//                                  that they are of are those of spec.json beside it, and must have
//                                  the hashes that the summary gives. Directions that the run chose
//                                  are in directions.safetensors beside it
//
// Of facts and questions, with one defence a fold, the summary has that of the first fold.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "rebound/audit/answer_design.h"
#include "rebound/audit/chosen_on.h"
#include "rebound/base/json.h"

namespace rebound {

struct DefenceFile {
  Json clamps;        // for read_clamps; at least one
  std::string model;  // that the run was about; empty: not said, or the default model
  bool has_transformer_lens_processing =
      false;  // of the run's model, or of an SAE among the clamps
  std::optional<ChosenOn> chosen_on;  // of a run of facts or questions
};

// Throws IoError (cannot read), ConfigError (no JSON, another form, an empty list), DataError (a
// run that keeps too little, or an SAE that is another now).
DefenceFile read_defence_file(const std::filesystem::path& path);

// What a run of whole answers keeps for it. kDirectionsFile has a tensor [d_model] for each site of
// a clamp on a direction, named as the site; nothing is written where there is none. Hashes of the
// weights of SAEs that the defence was chosen from, by site: {"blocks.12.hook_resid_pre": "..."}.
inline constexpr const char* kDirectionsFile = "directions.safetensors";
void save_directions(const AnswerDesign& design, const std::filesystem::path& path);
Json sae_hashes(const AnswerAuditSpec& spec);

}  // namespace rebound
