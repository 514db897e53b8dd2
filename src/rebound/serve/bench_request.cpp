#include "rebound/serve/bench_request.h"

#include <cmath>
#include <set>

#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr double kLargestClampValue = 1e6;

BenchClamp read_bench_clamp(const Json& json, const std::string& where) {
  ObjectReader in(json, where);
  BenchClamp clamp;
  clamp.sae = in.get<int64_t>("sae", 0);
  clamp.feature = in.get<int64_t>("feature");
  clamp.kind = parse_edit_kind(in.get<std::string>("kind", "set"));
  clamp.when = parse_edit_when(in.get<std::string>("when", "active_only"));
  clamp.value = in.get<double>("value");
  in.finish();
  const bool is_sane = std::isfinite(clamp.value) && std::abs(clamp.value) <= kLargestClampValue;
  require<ConfigError>(
      is_sane, where, ".value: got ", clamp.value, ", expected at most 1e6 in size");
  return clamp;
}

void require_between(const char* what, int64_t value, int64_t most) {
  require<ConfigError>(value >= 1 && value <= most, what, ": got ", value, ", expected 1..", most);
}

}  // namespace

std::vector<BenchClamp> read_bench_clamps(const Json& json, const BenchLimits& limits) {
  require<ConfigError>(json.is_array(), "clamps: got ", json.type_name(), ", expected a list");
  require<ConfigError>(json.size() <= limits.clamps,
                       "clamps: got ",
                       json.size(),
                       ", expected at most ",
                       limits.clamps);
  std::vector<BenchClamp> clamps;
  std::set<std::pair<int64_t, int64_t>> seen;
  for (size_t i = 0; i < json.size(); ++i) {
    const std::string where = concat("clamps[", i, "]");
    clamps.push_back(read_bench_clamp(json[i], where));
    const BenchClamp& clamp = clamps.back();
    require<ConfigError>(seen.insert({clamp.sae, clamp.feature}).second,
                         where,
                         ": got feature ",
                         clamp.feature,
                         " twice, expected each once");
  }
  return clamps;
}

BenchRequest read_bench_request(const Json& json, const BenchLimits& limits) {
  ObjectReader in(json, "request");
  BenchRequest request;
  request.prompt = in.get<std::string>("prompt");
  request.is_chat = in.get("chat", request.is_chat);
  request.clamps = read_bench_clamps(in.get<Json>("clamps", Json::array()), limits);
  request.max_new_tokens = in.get("max_new_tokens", request.max_new_tokens);
  request.features = in.get("features", request.features);
  in.finish();
  require<ConfigError>(!request.prompt.empty(), "prompt: got nothing, expected some text");
  require<ConfigError>(request.prompt.size() <= limits.prompt_bytes,
                       "prompt: got ",
                       request.prompt.size(),
                       " bytes, expected at most ",
                       limits.prompt_bytes);
  require_between("max_new_tokens", request.max_new_tokens, limits.new_tokens);
  require_between("features", request.features, limits.features);
  return request;
}

}  // namespace rebound
