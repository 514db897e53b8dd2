#include <ATen/ATen.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "rebound/base/rng.h"
#include "rebound/base/shape.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/safetensors.h"
#include "rebound/sae/trainer.h"

namespace rebound {
namespace {

constexpr uint64_t kInitStream = 1;

TrainState::Moments moments_of(const at::Tensor& value) {
  return {value.contiguous(), at::zeros_like(value), at::zeros_like(value)};
}

struct NamedMoments {
  const char* name;
  TrainState::Moments TrainState::*moments;
};
constexpr NamedMoments kParameters[] = {{"W_enc", &TrainState::W_enc},
                                        {"W_dec", &TrainState::W_dec},
                                        {"b_enc", &TrainState::b_enc},
                                        {"b_dec", &TrainState::b_dec}};

TensorView view_of(std::string name, const at::Tensor& tensor) {
  return {.name = std::move(name),
          .dtype = tensor.scalar_type() == at::kLong ? DType::kI64 : DType::kF32,
          .shape = tensor.sizes().vec(),
          .data = static_cast<const std::byte*>(tensor.data_ptr()),
          .bytes = tensor.nbytes()};
}

at::Tensor read_float(const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.get(name);
  at::Tensor out = at::empty(view.shape, at::kFloat);
  to_float32(view, out.data_ptr<float>());
  return out;
}

std::string exact_text(double value) {
  std::ostringstream out;
  out << std::hexfloat << value;
  return out.str();
}

double number(const TextMap& metadata, const char* name) {
  const auto found = metadata.find(name);
  require<DataError>(found != metadata.end(), "checkpoint: no ", name);
  return std::strtod(found->second.c_str(), nullptr);
}

}  // namespace

std::string to_string(Selection selection) {
  return selection == Selection::kTopK ? "topk" : "batchtopk";
}

Selection parse_selection(const std::string& name) {
  if (name == "topk") return Selection::kTopK;
  if (name == "batchtopk") return Selection::kBatchTopK;
  throw ConfigError(concat("SAE kind: got \"", name, "\", expected topk or batchtopk"));
}

void TrainOptions::validate() const {
  const auto above = [](const char* name, double value, double bound) {
    require<ConfigError>(
        value > bound, "TrainOptions.", name, " must be > ", bound, ", got ", value);
  };
  above("d_sae", static_cast<double>(d_sae), 0);
  above("k", static_cast<double>(k), 0);
  above("batch_tokens", static_cast<double>(batch_tokens), 0);
  above("lr", lr, 0);
  above("warmup_steps", static_cast<double>(warmup_steps), -1);
  above("aux_k", static_cast<double>(aux_k), -1);
  above("dead_after_tokens", static_cast<double>(dead_after_tokens), 0);
  require<ConfigError>(k <= d_sae, "TrainOptions.k must be <= d_sae=", d_sae, ", got ", k);
  require<ConfigError>(decay_fraction >= 0 && decay_fraction <= 1,
                       "TrainOptions.decay_fraction must be in 0..1, got ",
                       decay_fraction);
  require<ConfigError>(aux_token_fraction >= 0 && aux_token_fraction <= 1,
                       "TrainOptions.aux_token_fraction must be in 0..1, got ",
                       aux_token_fraction);
}

Json TrainOptions::to_json() const {
  return {{"kind", to_string(selection)},
          {"d_sae", d_sae},
          {"k", k},
          {"batch_tokens", batch_tokens},
          {"lr", lr},
          {"warmup_steps", warmup_steps},
          {"decay_fraction", decay_fraction},
          {"aux_k", aux_k},
          {"aux_coefficient", aux_coefficient},
          {"aux_token_fraction", aux_token_fraction},
          {"dead_after_tokens", dead_after_tokens},
          {"seed", seed}};
}

TrainState TrainState::start(const TrainOptions& options, const at::Tensor& sample) {
  options.validate();
  check_shape("sample", sample, {{"tokens"}, {"d_in"}});
  require<DataError>(sample.size(0) > 1, "training: got no activations to start from");
  const at::Tensor x = sample.to(at::kFloat);
  const int64_t d_in = x.size(1);
  const at::Tensor mean = x.mean(0);
  const double spread = (x - mean).square().sum(1).mean().item<double>();
  require<DataError>(std::isfinite(spread) && spread > 0,
                     "training: activations have mean squared distance ",
                     spread,
                     " from their mean, expected a number > 0");
  TrainState state;
  state.input_scale = std::sqrt(static_cast<double>(d_in) / spread);
  Rng rng({options.seed, kInitStream});
  at::Tensor rows = at::tensor(rng.normals(options.d_sae * d_in)).view({options.d_sae, d_in});
  rows = rows / rows.norm(2, {1}, true);
  state.W_dec = moments_of(rows);
  state.W_enc = moments_of(rows.clone());
  state.b_enc = moments_of(at::zeros({options.d_sae}));
  state.b_dec = moments_of(mean * state.input_scale);
  state.tokens_off = at::zeros({options.d_sae}, at::kLong);
  return state;
}

void TrainState::save(const std::filesystem::path& path) const {
  std::vector<TensorView> views = {view_of("tokens_off", tokens_off)};
  for (const NamedMoments& p : kParameters) {
    const Moments& moments = this->*p.moments;
    views.push_back(view_of(p.name, moments.value));
    views.push_back(view_of(concat(p.name, ".m"), moments.m));
    views.push_back(view_of(concat(p.name, ".v"), moments.v));
  }
  write_safetensors(path,
                    views,
                    {{"input_scale", exact_text(input_scale)},
                     {"floor", exact_text(floor)},
                     {"step", std::to_string(step)}});
}

TrainState TrainState::load(const std::filesystem::path& path, int64_t d_sae) {
  const SafetensorsFile file(path);
  TrainState state;
  for (const NamedMoments& p : kParameters) {
    state.*p.moments = {read_float(file, p.name),
                        read_float(file, concat(p.name, ".m")),
                        read_float(file, concat(p.name, ".v"))};
  }
  check_shape("checkpoint W_dec", state.W_dec.value, {{"d_sae", d_sae}, {"d_in"}});
  const TensorView& off = file.get("tokens_off", {d_sae});
  state.tokens_off = at::empty({d_sae}, at::kLong);
  require<DataError>(off.dtype == DType::kI64, "checkpoint tokens_off: expected I64");
  std::memcpy(state.tokens_off.data_ptr(), off.data, off.bytes);
  state.input_scale = number(file.metadata(), "input_scale");
  state.floor = static_cast<float>(number(file.metadata(), "floor"));
  state.step = static_cast<int64_t>(number(file.metadata(), "step"));
  return state;
}

}  // namespace rebound
