#include "rebound/audit/clamp_file.h"

#include <torch/torch.h>

#include <algorithm>
#include <limits>
#include <set>

#include "rebound/audit/subject.h"
#include "rebound/base/error.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/intervene/defence.h"
#include "rebound/intervene/direction_clamp.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/safetensors.h"
#include "rebound/model/device.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/self_check.h"
#include "rebound/sae/text_files.h"

namespace rebound {
namespace {

// What a clamp is for.
struct ClampedModel {
  const Transformer& model;
  const Tokenizer* tokenizer;
};

double sink_norm_on_text(const ClampedModel& clamped, const Site& site) {
  constexpr int64_t kContexts = 8;
  const at::NoGradGuard no_grad;
  const at::Tensor ids = contexts_of(read_documents(find_project_path("data/text/heldout.txt.gz")),
                                     *clamped.tokenizer, nullptr, {.max_contexts = kContexts});
  const TokenBatch batch = batch_of_contexts(ids);
  const at::Tensor resid = activations_at(clamped.model, site, batch).resid;
  return sink_norm_of(resid, on_device(batch, resid.device()).rows());
}

double read_sink_norm(ObjectReader& in, const Site& site, const ClampedModel& clamped) {
  if (in.has("sink_norm")) return in.get<double>("sink_norm");
  const double none = in.get("sink_norm", std::numeric_limits<double>::infinity());
  if (in.contains("sink_norm")) return none;
  require<ConfigError>(clamped.tokenizer != nullptr, in.where(), ": got no \"sink_norm\", expected the norm above "
                       "which tokens are attention sinks (10 times the median at the site), or null for none");
  return sink_norm_on_text(clamped, site);
}

PositionSet read_clamp_positions(ObjectReader& in, const std::string& where) {
  return in.has("positions") ? read_positions(in.at("positions"), where + ".positions")
                             : read_positions(in.get<Json>("positions", "all"), where + ".positions");
}

// "file.safetensors#name"
at::Tensor read_tensor(const std::string& text, const std::string& where) {
  const size_t mark = text.rfind('#');
  require<ConfigError>(mark != std::string::npos, where, ": got \"", text, "\", expected \"file.safetensors#name\"");
  const SafetensorsFile file(text.substr(0, mark));
  const TensorView& view = file.get(text.substr(mark + 1));
  at::Tensor tensor = at::empty(view.shape, at::kFloat);
  to_float32(view, tensor.data_ptr<float>());
  return tensor;
}

at::Tensor read_direction(const Json& json, const std::string& where) {
  if (json.is_string()) return read_tensor(json.get<std::string>(), where);
  const bool is_list = json.is_array() && !json.empty() &&
                       std::all_of(json.begin(), json.end(), [](const Json& x) { return x.is_number(); });
  require<ConfigError>(is_list, where, ": got ", json.dump().substr(0, 60),
                       ", expected a list of numbers or \"file.safetensors#name\"");
  return at::tensor(json.get<std::vector<double>>(), at::kDouble).to(at::kFloat);
}

std::shared_ptr<const Clamp> read_direction_clamp(ObjectReader& in, const std::string& where, const ClampedModel& clamped) {
  DirectionClamp::Options options;
  const Site site = with_context(where + ".site", [&] { return parse_site(in.get<std::string>("site")); });
  const at::Tensor direction = read_direction(in.at("direction"), where + ".direction").to(clamped.model.device());
  ObjectReader edit(in.at("edit"), where + ".edit");
  options.edit = parse_direction_edit(edit.get<std::string>("kind"));
  options.strength = edit.get("strength", 1.0);
  edit.finish();
  options.positions = read_clamp_positions(in, where);
  options.sink_norm = read_sink_norm(in, site, clamped);
  in.finish();
  return std::make_shared<const DirectionClamp>(site, direction, options);
}

std::shared_ptr<const Clamp> read_feature_clamp(ObjectReader& in, const std::string& where, const ClampedModel& clamped) {
  const auto sae = std::make_shared<const Sae>(load_sae(find_sae(in.get<std::string>("sae"))).to(clamped.model.device()));
  check_fits(*sae, clamped.model.config());
  FeatureEdit edit;
  edit.features = in.get<std::vector<int64_t>>("features");
  const std::set<int64_t> distinct(edit.features.begin(), edit.features.end());
  require<ConfigError>(distinct.size() == edit.features.size(), where,
                       ".features: got one twice, expected each once (edits of a feature would overlap)");
  ObjectReader how(in.at("edit"), where + ".edit");
  edit.kind = parse_edit_kind(how.get<std::string>("kind"));
  edit.when = parse_edit_when(how.get<std::string>("when", "active_only"));
  const Json& value = how.at("value");
  if (value.is_array()) edit.values = how.get<std::vector<double>>("value");
  else edit.value = how.get<double>("value");
  how.finish();
  edit.positions = read_clamp_positions(in, where);
  const std::string site = in.get<std::string>("site", sae->config().hook_name);
  require<ConfigError>(site == sae->config().hook_name, where, ".site: got \"", site, "\", expected the SAE's own \"",
                       sae->config().hook_name, "\"");
  const double sink_norm = read_sink_norm(in, parse_site(site), clamped);
  in.finish();
  return std::make_shared<const Defence>(sae, std::vector<FeatureEdit>{edit}, sink_norm);
}

}  // namespace

std::vector<std::shared_ptr<const Clamp>> read_clamps(const Json& list,
                                                      const Transformer& model,
                                                      const Tokenizer* tokenizer) {
  require<ConfigError>(list.is_array() && !list.empty(), "defence.edits: got ", list.dump().substr(0, 60),
                       ", expected a list of clamps");
  std::vector<std::shared_ptr<const Clamp>> clamps;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = concat("defence.edits[", i, "]");
    ObjectReader in(list[i], where);
    clamps.push_back(in.has("sae") ? read_feature_clamp(in, where, {model, tokenizer})
                                  : read_direction_clamp(in, where, {model, tokenizer}));
  }
  return clamps;
}

bool has_processed_sae(const Json& list) {
  std::set<std::string> names;
  for (const Json& clamp : list) {
    const auto sae = clamp.is_object() ? clamp.find("sae") : clamp.end();
    if (sae != clamp.end() && sae->is_string()) names.insert(sae->get<std::string>());
  }
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return load_options_of(load_sae(find_sae(name))).has_transformer_lens_processing;
  });
}

}  // namespace rebound
