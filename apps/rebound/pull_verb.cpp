#include "pull_verb.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/base/progress.h"
#include "rebound/io/hub_pull.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

struct PullFlags {
  std::string repo, revision, path;
  std::vector<std::string> include;
};

HubName wanted_name(const PullFlags& flags) {
  const auto name = parse_hub_name(flags.repo);
  require<ConfigError>(name && name->path.empty(),
                       "pull: got \"",
                       flags.repo,
                       "\", expected ORG/NAME as on the hub, such as google/gemma-3-270m");
  HubName wanted = *name;
  if (!flags.revision.empty()) wanted.revision = flags.revision;
  require<ConfigError>(is_revision(wanted.revision),
                       "--revision: got \"",
                       wanted.revision,
                       "\", expected a branch, a tag or a commit");
  return wanted;
}

// How --model and --sae name a place in a snapshot.
std::string handle_of(const HubName& name, const fs::path& inside) {
  const std::string revision = name.revision == "main" ? "" : "@" + name.revision;
  return name.repo + revision + (inside.empty() ? "" : ":" + inside.generic_string());
}

// The folder in which all of the files lie; empty for the top.
fs::path common_folder(const std::vector<PulledFile>& files) {
  if (files.empty()) return {};
  fs::path common = fs::path(files.front().path).parent_path();
  const auto is_outside = [&](const PulledFile& file) {
    return !common.empty() && !file.path.starts_with(common.generic_string() + "/");
  };
  while (std::any_of(files.begin(), files.end(), is_outside)) common = common.parent_path();
  return common;
}

void report_pull(const Pulled& pulled, const HubName& name, const fs::path& inside, bool is_json) {
  const std::string place = (inside.empty() ? pulled.snapshot : pulled.snapshot / inside).string();
  int64_t bytes = 0, n_cached = 0;
  Json files = Json::array();
  for (const PulledFile& file : pulled.files) {
    bytes += file.bytes;
    n_cached += file.was_cached;
    files.push_back({{"path", file.path}, {"bytes", file.bytes}, {"cached", file.was_cached}});
  }
  if (is_json) {
    const Json json = {{"repo", name.repo},
                       {"revision", name.revision},
                       {"commit", pulled.commit},
                       {"path", place},
                       {"name", handle_of(name, inside)},
                       {"files", files}};
    std::printf("%s\n", json.dump().c_str());
    return;
  }
  say(concat(pulled.files.size(),
             " files, ",
             size_text(bytes),
             ", ",
             n_cached,
             " of them were there; use as ",
             handle_of(name, inside)));
  std::printf("%s\n", place.c_str());
}

void pull_model(const PullFlags& flags, const CommonFlags& common) {
  const HubName name = wanted_name(flags);
  const Pulled pulled = pull_from_hub(hub_settings(), name, [&](const HubListing& listing) {
    return select_model_files(listing, flags.include);
  });
  const bool is_one_file = pulled.files.size() == 1 && pulled.files[0].path.ends_with(".gguf");
  report_pull(pulled, name, is_one_file ? pulled.files[0].path : "", common.json);
}

void pull_sae(const PullFlags& flags, const CommonFlags& common) {
  const HubName name = wanted_name(flags);
  const Pulled pulled = pull_from_hub(hub_settings(), name, [&](const HubListing& listing) {
    return select_sae_files(listing, flags.path);
  });
  const bool is_file = std::any_of(pulled.files.begin(),
                                   pulled.files.end(),
                                   [&](const PulledFile& file) { return file.path == flags.path; });
  report_pull(
      pulled, name, is_file ? fs::path(flags.path) : common_folder(pulled.files), common.json);
}

CLI::App* add_pull(CLI::App& verb, PullFlags& flags, const char* help) {
  CLI::App* command = verb.add_subcommand("pull", help);
  command->fallthrough();
  command->add_option("repository", flags.repo, "ORG/NAME on the hub")->required();
  command->add_option("--revision", flags.revision, "Branch, tag or commit [main]");
  return command;
}

}  // namespace

void add_model_pull(CLI::App& verb, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<PullFlags>();
  CLI::App* command = add_pull(verb, *flags, "Fetch a model from the Hugging Face hub");
  command
      ->add_option("--include",
                   flags->include,
                   "A file to fetch, by name or pattern; may be repeated [configuration, "
                   "tokenizer, safetensors]")
      ->allow_extra_args(false);
  command->callback(
      [flags, &common, &run] { run = [flags, &common] { pull_model(*flags, common); }; });
}

void add_sae_pull(CLI::App& verb, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<PullFlags>();
  CLI::App* command = add_pull(verb, *flags, "Fetch an SAE from the Hugging Face hub");
  command->add_option(
      "--path", flags->path, "Folder or file in the repository [where the weights are]");
  command->callback(
      [flags, &common, &run] { run = [flags, &common] { pull_sae(*flags, common); }; });
}

}  // namespace rebound
