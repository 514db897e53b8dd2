#include "rebound/behaviour/toy.h"

#include <ATen/ATen.h>

#include "rebound/base/rng.h"
#include "rebound/base/shape.h"

namespace rebound {
namespace {

constexpr int64_t kWidth = 48;     // d_model
constexpr int64_t kInside = 40;    // axes that the dictionary spans
constexpr int64_t kFeatures = 32;  // d_sae
constexpr int64_t kAnswers = 4;    // and as many clamped and route features
constexpr int64_t kOthers = 12;    // unrelated answers
constexpr int64_t kFillers = 16;   // tokens before the last
constexpr int64_t kPerSplit = 48;  // prompts, each with a last token of its own
constexpr int64_t kVocab = kAnswers + kOthers + kFillers + 2 * kPerSplit;
constexpr int64_t kBiasAxis = 44;   // b_dec; axes 40..43 are the leaks, 45..47 noise
constexpr int64_t kBackground = 5;  // further active features of a token
constexpr double kClampValue = -1;
constexpr double kRouteLevel = 4;
constexpr double kRouteGain = 1.2;
constexpr uint64_t kToyStream = 0x746f79;

int64_t clamped(int64_t answer) { return answer; }
int64_t route(int64_t answer) { return kAnswers + answer; }
int64_t rival(int64_t answer) { return answer ^ 1; }
std::vector<int64_t> clamped_features() {
  std::vector<int64_t> features;
  for (int64_t k = 0; k < kAnswers; ++k) features.push_back(clamped(k));
  return features;
}
int64_t last_token(int64_t prompt) { return kAnswers + kOthers + kFillers + prompt; }
int64_t answer_of(int64_t prompt) { return prompt % kAnswers; }

at::Tensor normals(Rng& rng, int64_t rows, int64_t columns, double scale) {
  const std::vector<float> values = rng.normals(rows * columns);
  return at::tensor(values).view({rows, columns}) * scale;
}

double between(Rng& rng, double low, double high) { return low + (high - low) * rng.uniform(); }

// An orthonormal frame of the inside, mixed a little: features are neither orthogonal to each
// other nor equal to their encoder columns.
Sae make_sae(Rng& rng, const std::string& hook) {
  const auto frame = at::linalg_qr(normals(rng, kInside, kInside, 1));
  const at::Tensor rows = std::get<0>(frame).slice(0, 0, kFeatures);
  const auto mixed = [&](double scale) {
    const at::Tensor inside = rows + normals(rng, kFeatures, kInside, scale);
    return at::cat({inside / inside.norm(2, {1}, true), at::zeros({kFeatures, kWidth - kInside})},
                   1);
  };
  SaeWeights weights;
  weights.W_dec = mixed(0.02);
  const at::Tensor columns = mixed(0.035);
  weights.W_enc = (columns / (columns * weights.W_dec).sum({1}, true)).t().contiguous();
  weights.b_enc = at::zeros({kFeatures});
  weights.b_dec = at::zeros({kWidth});
  weights.b_dec[kBiasAxis] = 2;
  weights.threshold = at::ones({kFeatures});
  SaeConfig config;
  config.kind = SaeKind::kJumpRelu;
  config.d_in = kWidth;
  config.d_sae = kFeatures;
  config.hook_name = hook;
  return Sae(std::move(config), std::move(weights));
}

// b_dec, a few features that nobody reads, and noise that the dictionary cannot express.
at::Tensor background(Rng& rng, const Sae& sae) {
  at::Tensor h = sae.weights().b_dec.clone();
  std::vector<int64_t> features;
  for (int64_t i = 2 * kAnswers; i < kFeatures; ++i) features.push_back(i);
  rng.shuffle(features);
  for (int64_t i = 0; i < kBackground; ++i) {
    h += between(rng, 1.5, 3) * sae.weights().W_dec[features[static_cast<size_t>(i)]];
  }
  h.slice(0, kBiasAxis + 1) += normals(rng, 1, kWidth - kBiasAxis - 1, 0.5)[0];
  return h;
}

// The last token of a prompt: its clamped feature, and a faint trace on the second route.
at::Tensor carrier(Rng& rng, const Sae& sae, ToyKind kind, int64_t answer) {
  at::Tensor h = background(rng, sae);
  const at::Tensor& decoder = sae.weights().W_dec;
  h += between(rng, 3.5, 4.5) * decoder[clamped(answer)];
  const double trace = between(rng, 0, 0.1);
  if (kind == ToyKind::kLeaky) h[kInside + answer] += trace;
  if (kind == ToyKind::kFeatureRouted) {
    h += (kRouteLevel + trace) * decoder[route(answer)];
    h += kRouteLevel * decoder[route(rival(answer))];
  }
  return h;
}

at::Tensor read_out(const Sae& sae, ToyKind kind, int64_t answer) {
  const SaeWeights& weights = sae.weights();
  if (kind == ToyKind::kSealed) return weights.W_enc.select(1, clamped(answer)).clone();
  at::Tensor row = weights.W_dec[clamped(answer)].clone();
  if (kind == ToyKind::kLeaky) row[kInside + answer] += kRouteGain;
  if (kind == ToyKind::kFeatureRouted) row += kRouteGain * weights.W_dec[route(answer)];
  return row;
}

// Exactly the prompt's own clamped feature is on, none is when h_def is encoded again, and the
// clamp leaves a margin that a budget of a third of the norm can make up.
bool is_clear_flip(const Sae& sae, ToyKind kind, int64_t answer, const at::Tensor& h) {
  const std::vector<int64_t> features = clamped_features();
  const at::Tensor z = sae.encode(h, features);
  if ((z > 0).sum().item<int64_t>() != 1) return false;
  const at::Tensor change = at::where(z > 0, kClampValue - z, at::zeros_like(z));
  const at::Tensor w = read_out(sae, kind, answer) - read_out(sae, kind, rival(answer));
  const at::Tensor h_def = h + sae.decode_delta(features, change);
  if ((sae.encode(h_def, features) > 0).any().item<bool>()) return false;
  const double margin = w.dot(h_def).item<double>();
  return margin > -2 && margin < -0.6;
}

at::Tensor clear_carrier(Rng& rng, const Sae& sae, ToyKind kind, int64_t answer) {
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries; ++i) {
    const at::Tensor h = carrier(rng, sae, kind, answer);
    if (is_clear_flip(sae, kind, answer, h)) return h;
  }
  throw NumericError("toy: no clear prompt in 1000 draws; try another seed");
}

at::Tensor make_embedding(Rng& rng, const Sae& sae, ToyKind kind) {
  std::vector<at::Tensor> rows;
  while (static_cast<int64_t>(rows.size()) < last_token(0)) rows.push_back(background(rng, sae));
  for (int64_t i = 0; i < 2 * kPerSplit; ++i) {
    rows.push_back(clear_carrier(rng, sae, kind, answer_of(i)));
  }
  return at::stack(rows);
}

Transformer make_model(Rng& rng, const Sae& sae, ToyKind kind) {
  ModelConfig config;
  config.name = "toy";
  config.vocab_size = kVocab;
  config.hidden_size = kWidth;
  config.intermediate_size = 64;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 12;
  config.max_position_embeddings = 64;
  ModelWeights weights;
  weights.embed = make_embedding(rng, sae, kind);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    LayerWeights layer;
    layer.attn_norm = at::ones({kWidth});
    layer.qkv = normals(rng, 8 * config.head_dim, kWidth, 0.2);
    layer.o = at::zeros({kWidth, kWidth});
    layer.mlp_norm = at::ones({kWidth});
    layer.gate_up = normals(rng, 2 * config.intermediate_size, kWidth, 0.2);
    layer.down = at::zeros({kWidth, config.intermediate_size});
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = at::ones({kWidth});
  weights.head = normals(rng, kVocab, kWidth, 0.05);
  for (int64_t k = 0; k < kAnswers; ++k) weights.head.dense()[k].copy_(read_out(sae, kind, k));
  return Transformer(std::move(config), std::move(weights));
}

Prompt make_prompt(Rng& rng, const std::string& split, int64_t index) {
  Prompt prompt;
  prompt.id = concat("toy-", split, "-", index % kPerSplit);
  const int64_t before = 4 + rng.below(5);
  for (int64_t i = 0; i < before; ++i) {
    prompt.ids.push_back(kAnswers + kOthers + rng.below(kFillers));
  }
  prompt.ids.push_back(last_token(index));
  prompt.correct_id = answer_of(index);
  prompt.wrong_id = rival(prompt.correct_id);
  prompt.correct = concat("token ", prompt.correct_id);
  prompt.wrong = concat("token ", prompt.wrong_id);
  prompt.cluster = index;
  return prompt;
}

PromptSet make_prompts(Rng& rng) {
  PromptSet prompts;
  for (int64_t i = 0; i < kPerSplit; ++i) prompts.train.push_back(make_prompt(rng, "train", i));
  for (int64_t i = 0; i < kPerSplit; ++i) {
    prompts.test.push_back(make_prompt(rng, "test", kPerSplit + i));
  }
  for (int64_t id = 0; id < kAnswers + kOthers; ++id) prompts.unrelated_ids.push_back(id);
  return prompts;
}

double mean_carrier_norm(const Transformer& model) {
  return model.weights().embed.dense().slice(0, last_token(0)).norm(2, {1}).mean().item<double>();
}

}  // namespace

Toy make_toy(ToyKind kind, uint64_t seed) {
  Rng rng({seed, kToyStream});
  const Site site{1, SiteKind::kResidPre};
  Sae sae = make_sae(rng, to_string(site));
  Transformer model = make_model(rng, sae, kind);
  const double budget = mean_carrier_norm(model) / 3;
  Toy toy{std::move(model), std::move(sae), make_prompts(rng), clamped_features(), {}, site};
  toy.clamp_value = kClampValue;
  toy.budget = budget;
  for (int64_t k = 0; k < kAnswers; ++k) {
    if (kind == ToyKind::kFeatureRouted) toy.route_features.push_back(route(k));
  }
  return toy;
}

double linear_best_gain(const at::Tensor& w, const at::Tensor& basis, double budget) {
  check_shape("w", w, {{"d_model"}});
  at::Tensor free = w.to(at::kDouble);
  if (basis.defined() && basis.numel() > 0) {
    check_shape("basis", basis, {{"d_model", w.size(0)}, {"rank"}});
    const at::Tensor q = basis.to(at::kDouble);
    free = free - at::matmul(q, at::matmul(q.t(), free));
  }
  return budget * free.norm().item<double>();
}

}  // namespace rebound
