// A verb of the program: one file, one function that adds its flags and says what to run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace rebound {

// What every verb shares.
struct CommonFlags {
  bool json = false;
  bool quiet = false;
  std::string device = "cpu";
  std::string dtype = "float32";
  bool is_dtype_given = false;
  int threads = 0;  // 0: all cores
};

// Help of --model and --sae, where they mean the same in every verb (find_model, find_sae).
inline constexpr const char* kModelHelp =
    "GGUF file, Hugging Face folder or ORG/NAME [the default model]";
inline constexpr const char* kSaeHelp = "SAE folder, file or ORG/NAME:PATH [the default SAE]";
inline constexpr const char* kSaeFileHelp = "Folder or file of an SAE, or ORG/NAME:PATH";

using RunVerb = std::function<void()>;  // throws rebound::Error

// Each adds a subcommand and sets `run` in that subcommand's callback.
void add_audit_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_cost_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_detect_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_doctor_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_model_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_probe_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_report_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_sae_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_serve_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_show_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_tokenize_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_tpp_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
void add_utility_verb(CLI::App& app, const CommonFlags& common, RunVerb& run);
// rebound completions and rebound man: what is said of every verb, so the last to be added.
void add_help_verbs(CLI::App& app, const CommonFlags& common, RunVerb& run);

}  // namespace rebound
