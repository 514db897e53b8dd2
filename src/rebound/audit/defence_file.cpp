#include "rebound/audit/defence_file.h"

#include <map>
#include <vector>

#include "rebound/audit/subject.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/model/site.h"
#include "rebound/sae/sae_lens_format.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;
using SaeFolders = std::map<Site, std::string>;  // by the site that an SAE names

// A defence that is no JSON is a bad flag, not bad data.
Json read_file(const fs::path& path) {
  try {
    return read_json_file(path);
  } catch (const DataError& e) {
    throw ConfigError(e.what());
  }
}

SaeFolders sae_folders(ObjectReader& spec, ObjectReader& defence) {
  auto names = defence.get<std::vector<std::string>>("saes", {});
  if (names.empty()) {
    const auto one = spec.get<std::string>("sae", "");
    names.push_back(one.empty() ? find_default_sae() : one);
  }
  SaeFolders folders;
  for (const std::string& name : names) {
    const std::string folder = find_project_path(name).string();
    folders[parse_site(load_sae(folder).config().hook_name)] = folder;
  }
  return folders;
}

// What Defence::to_json wrote, as an entry of "defence.edits".
Json entry_of(const Json& clamp, const SaeFolders& saes, const std::string& where) {
  ObjectReader in(clamp, where);
  require<DataError>(in.has("edits"),
                     where,
                     ": got a clamp on a direction, of which a run keeps the norm alone; expected "
                     "clamps on SAE features, or a list of clamps with \"direction\"");
  const Json& edits = in.at("edits");
  const auto name = in.get<std::string>("site");
  const auto sae = saes.find(parse_site(name));
  require<DataError>(
      sae != saes.end(), where, ": got site ", name, ", expected that of an SAE in spec.json");
  require<DataError>(edits.is_array() && edits.size() == 1 && edits[0].is_object(),
                     where,
                     ".edits: got ",
                     edits.size(),
                     " edits, expected one");
  Json entry = edits[0];
  entry["sae"] = sae->second;
  entry["sink_norm"] = in.get<Json>("sink_norm", nullptr);
  return entry;
}

// The features of an SAE that was trained anew are others.
void require_same_sae(ObjectReader& summary, const std::string& folder) {
  const Json environment = summary.get<Json>("environment", Json::object());
  ObjectReader facts(environment, summary.where() + ".environment");
  const auto expected = facts.get<std::string>("sae_sha256", "");
  if (expected.empty()) return;
  const std::string got = sha256_of_file(fs::path(folder) / "sae_weights.safetensors");
  require<DataError>(got == expected,
                     folder,
                     ": got an SAE with sha256 ",
                     got.substr(0, 12),
                     "..., expected that of the run, ",
                     expected.substr(0, 12),
                     "...");
}

Json clamps_of_run(const Json& summary, const fs::path& path, ObjectReader& spec) {
  const Json chosen = spec.get<Json>("defence", Json::object());
  ObjectReader settings(chosen, spec.where() + ".defence");
  if (settings.get<std::string>("kind", "") == "edits") return settings.at("edits");
  const std::string where = path.string() + ".defence";
  ObjectReader top(summary, path.string());
  ObjectReader defence(top.at("defence"), where);
  if (!defence.has("clamps")) {
    const Json entry = entry_of(top.at("defence"), sae_folders(spec, settings), where);
    require_same_sae(top, entry.at("sae").get<std::string>());
    return Json::array({entry});
  }
  const Json& clamps = defence.at("clamps");
  require<ConfigError>(clamps.is_array(), where, ".clamps: expected a list");
  const bool has_features = !clamps.empty() && clamps[0].is_object() && clamps[0].contains("edits");
  const SaeFolders saes = has_features ? sae_folders(spec, settings) : SaeFolders();
  Json entries = Json::array();
  for (size_t i = 0; i < clamps.size(); ++i) {
    entries.push_back(entry_of(clamps[i], saes, concat(where, ".clamps[", i, "]")));
  }
  return entries;
}

}  // namespace

DefenceFile read_defence_file(const fs::path& given) {
  const fs::path path = fs::is_directory(given) ? given / "summary.json" : given;
  const Json json = read_file(path);
  DefenceFile file;
  if (json.is_array()) {
    file.clamps = json;
  } else {
    require<ConfigError>(json.is_object() && json.contains("defence"),
                         path.string(),
                         ": got neither a list nor \"defence\", expected a list of clamps, or the "
                         "folder or summary.json of a finished audit");
    const fs::path beside = path.parent_path() / "spec.json";
    const Json settings = read_file(beside);
    ObjectReader spec(settings, beside.string());
    file.model = spec.get<std::string>("model", "");
    file.clamps = clamps_of_run(json, path, spec);
  }
  require<ConfigError>(file.clamps.is_array() && !file.clamps.empty(),
                       path.string(),
                       ": got no clamp, expected at least one");
  return file;
}

}  // namespace rebound
