#include "rebound/sae/centring.h"

#include "rebound/sae/hf_module.h"

namespace rebound {
namespace {

constexpr const char* kModelKwargs = "model_from_pretrained_kwargs";
constexpr const char* kCentred = "center_writing_weights";

bool says_true(const Json& json, const char* key) {
  return json.is_object() && json.contains(key) && json.at(key) == Json(true);
}

}  // namespace

bool is_of_centred_model(const SaeConfig& config) {
  const ModelFamily family = family_of_model(config.model_name);
  const bool may_have_layer_norm = family == ModelFamily::kGpt2 || family == ModelFamily::kNeoX ||
                                   family == ModelFamily::kUnknown;
  if (!may_have_layer_norm || !config.metadata.is_object()) return false;
  return says_true(config.metadata, "transformer_lens_processing") ||
         says_true(config.metadata.value(kModelKwargs, Json::object()), kCentred);
}

void record_centring(Json& metadata) {
  Json& kwargs = metadata[kModelKwargs];
  if (!kwargs.is_object()) kwargs = Json::object();
  kwargs[kCentred] = true;
}

}  // namespace rebound
