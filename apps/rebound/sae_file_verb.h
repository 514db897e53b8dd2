// The commands of `rebound sae` that need no model: inspect, encode, convert.
#pragma once

#include "rebound/sae/load_sae.h"
#include "verb.h"

namespace rebound {

CLI::App* add_sae_command(CLI::App& verb, const char* name, const char* help);

// --format, --hook and what else a file may leave open.
void add_load_options(CLI::App& command, LoadSaeOptions& options);

void add_sae_file_commands(CLI::App& verb, const CommonFlags& common, RunVerb& run);

}  // namespace rebound
