// rebound model pull | sae pull: a repository's files from the Hugging Face hub into its cache.
#pragma once

#include "verb.h"

namespace rebound {

void add_model_pull(CLI::App& verb, const CommonFlags& common, RunVerb& run);
void add_sae_pull(CLI::App& verb, const CommonFlags& common, RunVerb& run);

}  // namespace rebound
