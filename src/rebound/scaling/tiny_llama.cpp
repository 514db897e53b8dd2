#include "rebound/scaling/tiny_llama.h"

#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/base/rng.h"
#include "rebound/base/shape.h"
#include "rebound/io/safetensors.h"

namespace rebound {
namespace {

constexpr double kEmbedScale = 0.5, kHeadScale = 0.1;

at::Tensor leaf(Rng& rng, int64_t rows, int64_t columns, double scale) {
  const std::vector<float> normals = rng.normals(rows * columns);
  const at::Tensor values = torch::tensor(normals).view({rows, columns}) * scale;
  return values.set_requires_grad(true);
}

at::Tensor ones_leaf(int64_t n) { return at::ones({n}, at::kFloat).set_requires_grad(true); }

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps) {
  return x * at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + eps) * gain;
}

at::Tensor rotate_half(const at::Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return at::cat({-halves[1], halves[0]}, -1);
}

at::Tensor feed_forward(const LayerWeights& layer, const at::Tensor& normed) {
  const auto gate_up = at::linear(normed, layer.gate_up).chunk(2, -1);
  return at::linear(at::silu(gate_up[0]) * gate_up[1], layer.down);
}

Json config_json(const ModelConfig& config, at::ScalarType dtype) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", config.model_type},
          {"vocab_size", config.vocab_size},
          {"hidden_size", config.hidden_size},
          {"intermediate_size", config.intermediate_size},
          {"num_hidden_layers", config.num_hidden_layers},
          {"num_attention_heads", config.num_attention_heads},
          {"num_key_value_heads", config.num_key_value_heads},
          {"head_dim", config.head_dim},
          {"max_position_embeddings", config.max_position_embeddings},
          {"rms_norm_eps", config.rms_norm_eps},
          {"rope_theta", config.rope_theta},
          {"hidden_act", "silu"},
          {"attention_bias", false},
          {"mlp_bias", false},
          {"tie_word_embeddings", false},
          {"bos_token_id", nullptr},
          {"eos_token_id", nullptr},
          {"torch_dtype", dtype == at::kHalf ? "float16" : "float32"}};
}

// Names and tensors in the order of the architecture's table.
class NamedTensors {
 public:
  explicit NamedTensors(at::ScalarType dtype) : dtype_(dtype) {}

  void add(std::string name, const at::Tensor& tensor) {
    const at::Tensor stored = tensor.detach().to(dtype_).contiguous();
    require<DataError>(at::isfinite(stored).all().item<bool>(),
                       name,
                       ": got weights that are not finite in the file's type");
    tensors_.emplace_back(std::move(name), stored);
  }

  void add_layer(const std::string& prefix, const LayerWeights& layer, const ModelConfig& config) {
    const int64_t q = config.num_attention_heads * config.head_dim;
    const int64_t kv = config.num_key_value_heads * config.head_dim;
    const auto qkv = layer.qkv.dense().split_with_sizes({q, kv, kv}, 0);
    const auto gate_up = layer.gate_up.dense().chunk(2, 0);
    add(prefix + "input_layernorm.weight", layer.attn_norm);
    add(prefix + "self_attn.q_proj.weight", qkv[0]);
    add(prefix + "self_attn.k_proj.weight", qkv[1]);
    add(prefix + "self_attn.v_proj.weight", qkv[2]);
    add(prefix + "self_attn.o_proj.weight", layer.o);
    add(prefix + "post_attention_layernorm.weight", layer.mlp_norm);
    add(prefix + "mlp.gate_proj.weight", gate_up[0]);
    add(prefix + "mlp.up_proj.weight", gate_up[1]);
    add(prefix + "mlp.down_proj.weight", layer.down);
  }

  void write(const std::filesystem::path& path) const {
    std::vector<TensorView> views;
    for (const auto& [name, tensor] : tensors_) {
      views.push_back({.name = name,
                       .dtype = dtype_ == at::kHalf ? DType::kF16 : DType::kF32,
                       .shape = tensor.sizes().vec(),
                       .data = static_cast<const std::byte*>(tensor.data_ptr()),
                       .bytes = tensor.nbytes()});
    }
    write_safetensors(path, views, {{"format", "pt"}});
  }

 private:
  at::ScalarType dtype_;
  std::vector<std::pair<std::string, at::Tensor>> tensors_;
};

}  // namespace

ModelConfig TinyShape::config() const {
  require<ConfigError>(d_model > 0 && n_layers > 0 && n_heads > 0 && d_model % (2 * n_heads) == 0,
                       "TinyShape: got d_model=",
                       d_model,
                       ", n_layers=",
                       n_layers,
                       ", n_heads=",
                       n_heads,
                       ", expected positive numbers and d_model a multiple of 2 n_heads");
  ModelConfig config;
  config.vocab_size = vocabulary;
  config.hidden_size = d_model;
  config.intermediate_size = (8 * d_model + 11) / 12 * 4;
  config.num_hidden_layers = n_layers;
  config.num_attention_heads = n_heads;
  config.num_key_value_heads = n_heads;
  config.head_dim = d_model / n_heads;
  config.max_position_embeddings = context_length;
  config.validate();
  return config;
}

int64_t TinyShape::parameters() const {
  const int64_t layer =
      4 * d_model * d_model + 3 * d_model * config().intermediate_size + 2 * d_model;
  return n_layers * layer + d_model + 2 * vocabulary * d_model;
}

double TinyShape::forward_flops_per_token() const {
  const int64_t matrices = 4 * d_model * d_model + 3 * d_model * config().intermediate_size;
  const int64_t attention = 4 * context_length * d_model;
  return static_cast<double>(n_layers * (2 * matrices + attention) + 2 * d_model * vocabulary);
}

TinyLlama::TinyLlama(const TinyShape& shape, uint64_t seed) : config_(shape.config()) {
  Rng rng({seed});
  const int64_t d = shape.d_model, m = config_.intermediate_size;
  const double fan_in = 1 / std::sqrt(static_cast<double>(d));
  const double writes = 1 / std::sqrt(2.0 * static_cast<double>(shape.n_layers));
  weights_.embed = leaf(rng, shape.vocabulary, d, kEmbedScale);
  for (int64_t i = 0; i < shape.n_layers; ++i) {
    weights_.layers.push_back(
        {.attn_norm = ones_leaf(d),
         .qkv = leaf(rng, 3 * d, d, fan_in),
         .o = leaf(rng, d, d, fan_in * writes),
         .mlp_norm = ones_leaf(d),
         .gate_up = leaf(rng, 2 * m, d, fan_in),
         .down = leaf(rng, d, m, writes / std::sqrt(static_cast<double>(m)))});
  }
  weights_.final_norm = ones_leaf(d);
  weights_.head = leaf(rng, shape.vocabulary, d, kHeadScale * fan_in);

  const int64_t half = config_.head_dim / 2, pos = shape.context_length;
  const at::Tensor exponent = at::arange(half, at::kDouble) / static_cast<double>(half);
  const at::Tensor inv_freq = at::pow(config_.rope_theta, -exponent).to(at::kFloat);
  const at::Tensor angle = at::outer(at::arange(pos, at::kFloat), inv_freq);
  const at::Tensor both = at::cat({angle, angle}, -1);
  rope_cos_ = both.cos();
  rope_sin_ = both.sin();
  const double hidden = -std::numeric_limits<double>::infinity();
  mask_ = at::full({1, pos, pos}, hidden, at::kFloat).triu(1);
}

at::Tensor TinyLlama::attention(const LayerWeights& layer, const at::Tensor& normed) const {
  const int64_t batch = normed.size(0), pos = normed.size(1);
  const int64_t n_heads = config_.num_attention_heads, d_head = config_.head_dim;
  const at::Tensor qkv = at::linear(normed, layer.qkv)
                             .view({batch, pos, 3 * n_heads, d_head})
                             .transpose(1, 2);  // [batch, 3 n_heads, pos, d_head]
  const at::Tensor qk = qkv.narrow(1, 0, 2 * n_heads);
  const at::Tensor rotated =
      qk * rope_cos_.slice(0, 0, pos) + rotate_half(qk) * rope_sin_.slice(0, 0, pos);
  const auto flat = [&](const at::Tensor& heads) {
    return heads.reshape({batch * n_heads, pos, d_head});
  };
  const at::Tensor q = flat(rotated.narrow(1, 0, n_heads));
  const at::Tensor k = flat(rotated.narrow(1, n_heads, n_heads));
  const at::Tensor v = flat(qkv.narrow(1, 2 * n_heads, n_heads));
  const double scale = 1 / std::sqrt(static_cast<double>(d_head));
  const at::Tensor mask = mask_.slice(1, 0, pos).slice(2, 0, pos);
  const at::Tensor pattern = at::softmax(at::baddbmm(mask, q, k.transpose(1, 2), 1, scale), -1);
  const at::Tensor z =
      at::bmm(pattern, v).view({batch, n_heads, pos, d_head}).transpose(1, 2).flatten(2);
  return at::linear(z, layer.o);
}

at::Tensor TinyLlama::loss(const at::Tensor& ids) const {
  check_shape("ids", ids, {{"batch"}, {"pos"}});
  const int64_t pos = ids.size(1);
  require<DataError>(pos >= 2 && pos <= config_.max_position_embeddings,
                     "ids: got contexts of ",
                     pos,
                     " tokens, expected 2..",
                     config_.max_position_embeddings);
  const double eps = config_.rms_norm_eps;
  at::Tensor resid = at::embedding(weights_.embed, ids);
  for (const LayerWeights& layer : weights_.layers) {
    resid = resid + attention(layer, rms_norm(resid, layer.attn_norm, eps));
    resid = resid + feed_forward(layer, rms_norm(resid, layer.mlp_norm, eps));
  }
  const at::Tensor last = rms_norm(resid.slice(1, 0, -1), weights_.final_norm, eps);
  const at::Tensor logits = at::linear(last, weights_.head).flatten(0, 1);
  return at::cross_entropy_loss(logits, ids.slice(1, 1).flatten());
}

std::vector<at::Tensor> TinyLlama::matrices() const {
  std::vector<at::Tensor> all = {weights_.embed, weights_.head};
  for (const LayerWeights& layer : weights_.layers) {
    all.insert(all.end(), {layer.qkv, layer.o, layer.gate_up, layer.down});
  }
  return all;
}

std::vector<at::Tensor> TinyLlama::gains() const {
  std::vector<at::Tensor> all = {weights_.final_norm};
  for (const LayerWeights& layer : weights_.layers) {
    all.insert(all.end(), {layer.attn_norm, layer.mlp_norm});
  }
  return all;
}

ModelWeights TinyLlama::weights() const {
  const auto copy = [](const at::Tensor& tensor) { return tensor.detach().clone(); };
  ModelWeights out{.embed = copy(weights_.embed),
                   .layers = {},
                   .final_norm = copy(weights_.final_norm),
                   .head = copy(weights_.head)};
  for (const LayerWeights& layer : weights_.layers) {
    out.layers.push_back({copy(layer.attn_norm),
                          copy(layer.qkv),
                          copy(layer.o),
                          copy(layer.mlp_norm),
                          copy(layer.gate_up),
                          copy(layer.down)});
  }
  return out;
}

void TinyLlama::save(const std::filesystem::path& folder,
                     const std::string& tokenizer_json,
                     at::ScalarType dtype) const {
  require<ConfigError>(dtype == at::kHalf || dtype == at::kFloat,
                       "TinyLlama::save: expected float16 or float32");
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  require<IoError>(!failure, folder.string(), ": cannot create the folder: ", failure.message());
  NamedTensors tensors(dtype);
  tensors.add("model.embed_tokens.weight", weights_.embed);
  for (size_t i = 0; i < weights_.layers.size(); ++i) {
    tensors.add_layer(concat("model.layers.", i, "."), weights_.layers[i], config_);
  }
  tensors.add("model.norm.weight", weights_.final_norm);
  tensors.add("lm_head.weight", weights_.head);
  tensors.write(folder / "model.safetensors");
  write_file_atomically(folder / "config.json", config_json(config_, dtype).dump(2) + "\n");
  write_file_atomically(folder / "tokenizer.json", tokenizer_json);
  const Json tokenizer_config = {{"tokenizer_class", "PreTrainedTokenizerFast"}};
  write_file_atomically(folder / "tokenizer_config.json", tokenizer_config.dump(2) + "\n");
}

}  // namespace rebound
