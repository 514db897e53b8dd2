#include "rebound/audit/defence_file.h"

#include <ATen/ATen.h>

#include <map>
#include <vector>

#include "rebound/audit/clamp_file.h"
#include "rebound/audit/subject.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/io/safetensors.h"
#include "rebound/model/site.h"
#include "rebound/sae/sae_hash.h"
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
    names.push_back(spec.get<std::string>("sae", ""));
  }
  SaeFolders folders;
  for (const std::string& name : names) {
    const std::string folder = find_sae(name);
    folders[parse_site(load_sae(folder).config().hook_name)] = folder;
  }
  return folders;
}

// What DirectionClamp::to_json wrote, with its vector from beside the summary.
Json direction_entry_of(ObjectReader& in, const fs::path& vectors, const std::string& where) {
  require<DataError>(
      fs::exists(vectors),
      where,
      ": got a clamp on a direction, and no ",
      vectors.string(),
      " with its vector; expected it beside the summary (runs made before it was kept: "
      "audit again), or a list of clamps with \"direction\"");
  const auto site = in.get<std::string>("site");
  Json edit = {{"kind", in.get<std::string>("direction")}};
  if (in.has("strength")) edit["strength"] = in.get<double>("strength");
  return {{"site", site},
          {"direction", concat(vectors.string(), "#", site)},
          {"edit", edit},
          {"positions", in.get<Json>("positions", "all")},
          {"sink_norm", in.get<Json>("sink_norm", nullptr)}};
}

// What Defence::to_json wrote, as an entry of "defence.edits".
Json feature_entry_of(ObjectReader& in, const SaeFolders& saes, const std::string& where) {
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
void require_same_sae(const std::string& folder, const Json& expected) {
  if (!expected.is_string()) return;
  const auto text = expected.get<std::string>();
  const std::string got = sae_sha256(folder);
  require<DataError>(got == text,
                     folder,
                     ": got an SAE with sha256 ",
                     got.substr(0, 12),
                     "..., expected that of the run, ",
                     text.substr(0, 12),
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
    const Json entry = feature_entry_of(defence, sae_folders(spec, settings), where);
    const Json environment = top.get<Json>("environment", Json::object());
    require_same_sae(entry.at("sae").get<std::string>(),
                     environment.is_object() ? environment.value("sae_sha256", Json()) : Json());
    return Json::array({entry});
  }
  const Json& clamps = defence.at("clamps");
  const Json hashes = defence.get<Json>("sae_sha256", Json::object());
  require<ConfigError>(clamps.is_array() && hashes.is_object(),
                       where,
                       ": expected a list \"clamps\" and an object \"sae_sha256\"");
  SaeFolders saes;
  Json entries = Json::array();
  for (size_t i = 0; i < clamps.size(); ++i) {
    const std::string one = concat(where, ".clamps[", i, "]");
    ObjectReader in(clamps[i], one);
    if (!in.has("edits")) {
      entries.push_back(direction_entry_of(in, path.parent_path() / kDirectionsFile, one));
      continue;
    }
    if (saes.empty()) saes = sae_folders(spec, settings);
    entries.push_back(feature_entry_of(in, saes, one));
    require_same_sae(entries.back().at("sae").get<std::string>(),
                     hashes.value(in.get<std::string>("site"), Json()));
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
    file.has_transformer_lens_processing = spec.get<bool>("transformer_lens_processing", false);
    file.clamps = clamps_of_run(json, path, spec);
    const Json behaviour = spec.get<Json>("behaviour", nullptr);
    const Json kind = behaviour.is_object() ? behaviour.value("kind", Json()) : Json();
    if (kind == "facts" || kind == "mcq")
      file.chosen_on = chosen_on(read_spec(settings, beside.string()));
  }
  require<ConfigError>(file.clamps.is_array() && !file.clamps.empty(),
                       path.string(),
                       ": got no clamp, expected at least one");
  file.has_transformer_lens_processing |= has_processed_sae(file.clamps);
  return file;
}

void save_directions(const AnswerDesign& design, const fs::path& path) {
  std::vector<at::Tensor> vectors;
  std::vector<std::string> names;
  for (const AnswerDesign::Part& part : design.parts) {
    if (!part.direction.defined()) continue;
    vectors.push_back(part.direction.cpu().to(at::kFloat).contiguous());
    names.push_back(to_string(part.site));
  }
  if (vectors.empty()) return;
  std::vector<TensorView> views;
  for (size_t i = 0; i < vectors.size(); ++i) {
    views.push_back({.name = names[i],
                     .dtype = DType::kF32,
                     .shape = {vectors[i].numel()},
                     .data = reinterpret_cast<const std::byte*>(vectors[i].data_ptr<float>()),
                     .bytes = static_cast<size_t>(vectors[i].numel()) * sizeof(float)});
  }
  write_safetensors(path, views, {{"format", "rebound-directions"}});
}

Json sae_hashes(const AnswerAuditSpec& spec) {
  Json hashes = Json::object();
  if (spec.defence.kind != "features") return hashes;
  for (const std::string& name : spec.defence.saes) {
    const std::string folder = find_sae(name);
    hashes[load_sae(folder).config().hook_name] = sae_sha256(folder);
  }
  return hashes;
}

}  // namespace rebound
