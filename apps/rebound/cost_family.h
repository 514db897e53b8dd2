// rebound cost train, cost fit: the family of small models and its scaling curve.
#pragma once

#include <filesystem>
#include <string>

#include "verb.h"

namespace rebound {

void add_cost_family(CLI::App& verb, const CommonFlags& common, RunVerb& run);

// As given where that is there, else in the folder `beside`, else as a file of the project.
// IoError.
std::filesystem::path find_text(const std::string& name, const std::filesystem::path& beside = {});

}  // namespace rebound
