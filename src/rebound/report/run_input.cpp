#include "rebound/report/run_input.h"

#include <cmath>
#include <cstring>
#include <map>

#include "rebound/base/error.h"
#include "rebound/base/file.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

void require_finished(const fs::path& folder) {
  require<IoError>(fs::is_directory(folder), folder.string(), ": no such run folder");
  require<IoError>(fs::exists(folder / "run.sqlite"),
                   folder.string(),
                   ": got a folder without run.sqlite, expected one that rebound audit made");
  require<IoError>(fs::exists(folder / "summary.json"),
                   folder.string(),
                   ": the run is unfinished; finish it with: rebound audit --resume ",
                   folder.string());
}

// A contract file that is not even JSON is damaged data, not a fault of the user's flags.
Json read_stored_json(const fs::path& path) {
  try {
    return read_json_file(path);
  } catch (const ConfigError& e) {
    throw DataError(e.what());
  }
}

// The prompts of each batch of each row, in the order of their perturbations.
using Batches = std::map<std::pair<std::string, int64_t>, std::vector<int64_t>>;

Batches batches_of(const std::vector<StoredResult>& results) {
  Batches batches;
  for (const StoredResult& result : results) {
    std::vector<int64_t>& prompts = batches[{result.row, result.batch}];
    if (prompts.empty() || prompts.back() != result.prompt) prompts.push_back(result.prompt);
  }
  return batches;
}

// An artefact "delta/ROW/BATCH": three int64, then float32 [batch, pos, d_model]. Norms over
// d_model; nothing where the bytes are not what the sizes say.
std::vector<std::vector<double>> norms_of(const std::string& bytes, size_t n_prompts) {
  int64_t sizes[3] = {};
  if (bytes.size() < sizeof sizes) return {};
  std::memcpy(sizes, bytes.data(), sizeof sizes);
  const size_t n_floats = (bytes.size() - sizeof sizes) / sizeof(float);
  const auto n = static_cast<int64_t>(n_prompts), total = static_cast<int64_t>(n_floats);
  const bool is_whole = n > 0 && sizes[0] == n && sizes[1] > 0 && sizes[1] <= total &&
                        sizes[2] > 0 && sizes[2] <= total && total % n == 0 &&
                        total / n % sizes[1] == 0 && total / n / sizes[1] == sizes[2];
  if (!is_whole) return {};
  std::vector<float> values(n_floats);
  std::memcpy(values.data(), bytes.data() + sizeof sizes, n_floats * sizeof(float));
  std::vector<std::vector<double>> norms(n_prompts,
                                         std::vector<double>(static_cast<size_t>(sizes[1])));
  const float* at = values.data();
  for (std::vector<double>& of_prompt : norms) {
    for (double& norm : of_prompt) {
      double squares = 0;
      for (int64_t d = 0; d < sizes[2]; ++d, ++at) squares += static_cast<double>(*at) * *at;
      norm = std::sqrt(squares);
    }
  }
  return norms;
}

std::vector<PositionNorms> read_positions(const Store& store, const Batches& batches) {
  std::vector<PositionNorms> positions;
  for (const auto& [key, prompts] : batches) {
    const auto& [row, batch] = key;
    const auto bytes = store.artefact(concat("delta/", row, "/", batch));
    if (!bytes) continue;
    const std::vector<std::vector<double>> norms = norms_of(*bytes, prompts.size());
    for (size_t i = 0; i < norms.size(); ++i) positions.push_back({row, prompts[i], norms[i]});
  }
  return positions;
}

// Of audits of whole answers: "norm_by_position" among a result's figures.
void add_listed_positions(const std::vector<StoredResult>& results,
                          std::vector<PositionNorms>& positions) {
  for (const StoredResult& result : results) {
    if (!result.figures.is_object()) continue;
    const Json list = result.figures.value("norm_by_position", Json());
    PositionNorms of{result.row, result.prompt, {}};
    for (const Json& norm : list) {
      if (norm.is_number()) of.norms.push_back(norm.get<double>());
    }
    if (!of.norms.empty() && of.norms.size() == list.size()) positions.push_back(std::move(of));
  }
}

Json at_index(const Json& object, const char* key, size_t i) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  const bool is_there = found != object.end() && found->is_array() && i < found->size();
  return is_there ? (*found)[i] : Json();
}

std::string headline_row(const Json& headline) {
  const Json row = headline.value("row", Json());
  return row.is_string() ? row.get<std::string>() : "";
}

Json route_of(const Json& path, size_t i) {
  Json route = {{"parts", Json::array()}, {"sites", Json::array()}};
  const Json parts = path.value("parts", Json::object());
  for (const auto& [name, part] : parts.items()) {
    route["parts"].push_back({{"name", name},
                              {"norm", at_index(part, "norm", i)},
                              {"shapley", at_index(part, "shapley", i)}});
  }
  const Json sites = path.value("site_norms", Json::object());
  for (const auto& [name, norms] : sites.items()) {
    route["sites"].push_back({{"name", name}, {"norm", at_index(sites, name.c_str(), i)}});
  }
  return route;
}

// "path/BATCH" lists figures by prompt: those of the batch, or those that "requests" names by id.
std::map<int64_t, Json> read_routes(const Store& store,
                                    const Batches& batches,
                                    const ReportInput& input) {
  std::map<int64_t, Json> routes;
  if (!input.summary.headline.is_object()) return routes;
  const std::string row = headline_row(input.summary.headline);
  std::map<std::string, int64_t> prompt_of_id;
  for (const StoredExample& example : input.examples) prompt_of_id[example.id] = example.prompt;
  for (const auto& [key, prompts] : batches) {
    if (key.first != row) continue;
    const auto bytes = store.artefact(concat("path/", key.second));
    const Json path = bytes ? Json::parse(*bytes, nullptr, /*allow_exceptions=*/false) : Json();
    if (!path.is_object()) continue;
    const Json requests = path.value("requests", Json());
    const size_t n = requests.is_array() ? requests.size() : prompts.size();
    for (size_t i = 0; i < n; ++i) {
      const Json id = at_index(path, "requests", i);
      const auto known = prompt_of_id.find(id.is_string() ? id.get<std::string>() : "");
      if (requests.is_array() && known == prompt_of_id.end()) continue;
      routes[requests.is_array() ? known->second : prompts[i]] = route_of(path, i);
    }
  }
  return routes;
}

}  // namespace

ReportInput read_run(const fs::path& folder) {
  require_finished(folder);
  const Store store = Store::open_read_only(folder / "run.sqlite");
  const fs::path spec = folder / "spec.json";
  ReportInput input{.summary = AuditSummary::from_json(read_stored_json(folder / "summary.json")),
                    .spec = fs::exists(spec) ? read_stored_json(spec) : Json(),
                    .examples = store.examples(),
                    .results = store.results(),
                    .traces = store.traces()};
  const Batches batches = batches_of(input.results);
  input.positions = read_positions(store, batches);
  add_listed_positions(input.results, input.positions);
  input.routes = read_routes(store, batches, input);
  return input;
}

}  // namespace rebound
