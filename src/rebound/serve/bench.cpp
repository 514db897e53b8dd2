#include "rebound/serve/bench.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "rebound/base/error.h"
#include "rebound/intervene/defence.h"
#include "rebound/model/decoder.h"
#include "rebound/report/chart_parts.h"
#include "rebound/sae/sinks.h"

namespace rebound {
namespace {

constexpr int64_t kNextTokens = 12;
constexpr int64_t kTopsPerToken = 6;

double short_number(double value) { return chart_parts::rounded(value); }

// Codes where tokens count, 0 elsewhere. [pos, d_sae]
at::Tensor counted_codes(const at::Tensor& code, const at::Tensor& counts) {
  return at::where(counts.unsqueeze(-1), code, at::zeros({}, code.options()));
}

// NaN for fewer than two tokens.
double unexplained_share(const at::Tensor& resid, const at::Tensor& out, const at::Tensor& counts) {
  const at::Tensor x = resid.index({counts}), y = out.index({counts});
  if (x.size(0) < 2) return std::numeric_limits<double>::quiet_NaN();
  const at::Tensor spread = (x - x.mean(0, /*keepdim=*/true)).pow(2).sum();
  return ((x - y).pow(2).sum() / spread).item<double>();
}

Json tops_of(const at::Tensor& code) {
  const auto [values, places] = code.topk(std::min(kTopsPerToken, code.size(-1)), -1);
  Json tops = Json::array();
  for (int64_t token = 0; token < code.size(0); ++token) {
    Json of_token = Json::array();
    for (int64_t k = 0; k < values.size(1); ++k) {
      const double value = values[token][k].item<double>();
      if (value <= 0) break;
      of_token.push_back(
          {{"feature", places[token][k].item<int64_t>()}, {"value", short_number(value)}});
    }
    tops.push_back(std::move(of_token));
  }
  return tops;
}

Json ranked_features(const at::Tensor& code, const at::Tensor& counted, int64_t most) {
  const auto [peaks, places] = counted.max(0);  // [d_sae]
  const auto [best, features] = peaks.topk(std::min(most, peaks.size(0)));
  Json list = Json::array();
  for (int64_t k = 0; k < best.size(0); ++k) {
    const double peak = best[k].item<double>();
    if (peak <= 0) break;
    const int64_t feature = features[k].item<int64_t>();
    const at::Tensor column = code.select(1, feature).to(at::kDouble).contiguous();
    Json values = Json::array();
    for (int64_t token = 0; token < column.size(0); ++token) {
      values.push_back(short_number(column.data_ptr<double>()[token]));
    }
    list.push_back({{"feature", feature},
                    {"peak", short_number(peak)},
                    {"at", places[feature].item<int64_t>()},
                    {"values", std::move(values)}});
  }
  return list;
}

// Text that grows token by token; bytes of an unfinished character wait for the next token.
class GrowingText {
 public:
  explicit GrowingText(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::string push(int64_t id) {
    ids_.push_back(id);
    const std::string whole = tokenizer_.decode(ids_);
    const bool is_cut =
        whole.size() >= 3 && whole.compare(whole.size() - 3, 3, "\xEF\xBF\xBD") == 0;
    if (is_cut && ++n_waiting_ < kMostWaiting) return "";
    n_waiting_ = 0;
    const std::string news = whole.size() > shown_ ? whole.substr(shown_) : "";
    shown_ = whole.size();
    return news;
  }
  const std::vector<int64_t>& ids() const { return ids_; }

 private:
  static constexpr int kMostWaiting = 4;  // a character has at most four bytes
  const Tokenizer& tokenizer_;
  std::vector<int64_t> ids_;
  size_t shown_ = 0;
  int n_waiting_ = 0;
};

int64_t equal_beginning(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return end - a.begin();
}

}  // namespace

Hooks second_only(const Hooks& hooks) {
  Hooks out;
  for (const auto& [site, edit] : hooks.edits) {
    out.edits[site] = [edit = edit](const at::Tensor& value, const Rows& rows) {
      const Rows second{
          rows.position.slice(0, 1, 2), rows.is_real.slice(0, 1, 2), rows.length.slice(0, 1, 2)};
      return at::cat({value.slice(0, 0, 1), edit(value.slice(0, 1, 2), second)}, 0);
    };
  }
  return out;
}

Bench::Bench(BenchModel model, BenchLimits limits) : model_(std::move(model)), limits_(limits) {}

std::vector<int64_t> Bench::encode(const BenchRequest& request) const {
  require<ConfigError>(!request.is_chat || model_.chat,
                       "chat: got it with ",
                       model_.name,
                       ", which has no chat template");
  std::vector<int64_t> ids =
      request.is_chat
          ? model_.chat->encode_chat(
                *model_.tokenizer, {{"user", request.prompt}}, {.add_generation_prompt = true})
          : model_.tokenizer->encode(request.prompt);
  const int64_t most =
      std::min(limits_.prompt_tokens, model_.model->config().max_position_embeddings);
  require<ConfigError>(!ids.empty() && static_cast<int64_t>(ids.size()) <= most,
                       "prompt: got ",
                       ids.size(),
                       " tokens, expected 1..",
                       most);
  return ids;
}

const BenchBase& Bench::base_of(const BenchRequest& request) {
  std::vector<int64_t> ids = encode(request);
  if (base_ && base_->ids == ids) return *base_;
  base_.reset();
  const TokenBatch batch = TokenBatch::from({ids});
  Hooks hooks;
  for (const BenchSae& sae : model_.saes) hooks.capture.insert(sae.site);
  RunOutput run = model_.model->run(batch, {.hooks = hooks});
  BenchBase base{.ids = std::move(ids), .rows = batch.rows(), .resid = std::move(run.activations)};
  const bool has_length = base.ids.size() > 1;
  for (const auto& [site, resid] : base.resid) {
    base.sink_norms[site] =
        has_length ? sink_norm_of(resid, base.rows) : std::numeric_limits<double>::infinity();
  }
  base.logits = model_.model->logits(run.resid.select(1, -1))[0];
  base_ = std::move(base);
  return *base_;
}

std::optional<double> Bench::last_sink_norm(int64_t sae) const {
  if (!base_ || sae < 0 || sae >= static_cast<int64_t>(model_.saes.size())) return std::nullopt;
  const double norm = base_->sink_norms.at(model_.saes[static_cast<size_t>(sae)].site);
  return std::isfinite(norm) ? std::optional<double>(norm) : std::nullopt;
}

std::unique_ptr<const ClampPlan> Bench::plan_of(const BenchRequest& request,
                                                const BenchBase& base) const {
  const auto n_saes = static_cast<int64_t>(model_.saes.size());
  std::vector<std::vector<FeatureEdit>> edits(model_.saes.size());
  for (const BenchClamp& clamp : request.clamps) {
    require<ConfigError>(clamp.sae >= 0 && clamp.sae < n_saes,
                         "clamps.sae: got ",
                         clamp.sae,
                         ", expected a place in the list of ",
                         n_saes,
                         " SAEs");
    FeatureEdit edit{.features = {clamp.feature}, .kind = clamp.kind, .value = clamp.value};
    edit.when = clamp.when;
    edits[static_cast<size_t>(clamp.sae)].push_back(std::move(edit));
  }
  std::vector<std::shared_ptr<const Clamp>> clamps;
  for (size_t s = 0; s < edits.size(); ++s) {
    if (edits[s].empty()) continue;
    const BenchSae& sae = model_.saes[s];
    clamps.push_back(std::make_shared<const Defence>(
        sae.sae, std::move(edits[s]), base.sink_norms.at(sae.site)));
  }
  if (clamps.empty()) return nullptr;
  return std::make_unique<const ClampPlan>(std::move(clamps), model_.model->config());
}

// Ids beyond the vocabulary (padding of the embedding) have no text.
std::string Bench::token_text(int64_t id) const {
  return id < model_.tokenizer->vocabulary_size() ? model_.tokenizer->token_text(id)
                                                  : concat("<", id, ">");
}

Json Bench::features_of(const BenchSae& sae, const BenchBase& base, int64_t most) const {
  const at::Tensor resid = base.resid.at(sae.site)[0];  // [pos, d_model]
  const at::Tensor counts = counted_tokens(base.resid.at(sae.site), base.rows)[0];
  const at::Tensor code = sae.sae->encode(resid);
  const at::Tensor counted = counted_codes(code, counts);
  const int64_t n = std::max<int64_t>(1, counts.sum().item<int64_t>());
  const double l0 = (counted > 0).sum().item<double>() / static_cast<double>(n);
  return {{"name", sae.name},
          {"site", to_string(sae.site)},
          {"d_sae", sae.sae->d_sae()},
          {"fvu", unexplained_share(resid, sae.sae->decode(code, resid), counts)},
          {"l0", short_number(l0)},
          {"features", ranked_features(code, counted, most)},
          {"tops", tops_of(code)}};
}

Json Bench::features(const BenchRequest& request) {
  const at::NoGradGuard no_grad;
  const BenchBase& base = base_of(request);
  at::Tensor counts = base.rows.position[0] > 0;
  for (const auto& [site, resid] : base.resid)
    counts = counts & counted_tokens(resid, base.rows)[0];
  Json tokens = Json::array();
  for (size_t i = 0; i < base.ids.size(); ++i) {
    tokens.push_back({{"id", base.ids[i]},
                      {"text", token_text(base.ids[i])},
                      {"counts", counts[static_cast<int64_t>(i)].item<bool>()}});
  }
  Json saes = Json::array();
  for (const BenchSae& sae : model_.saes) saes.push_back(features_of(sae, base, request.features));
  return {{"tokens", std::move(tokens)}, {"saes", std::move(saes)}};
}

Json Bench::next_token(const BenchRequest& request) {
  const at::NoGradGuard no_grad;
  const BenchBase& base = base_of(request);
  const auto plan = plan_of(request, base);
  at::Tensor clamped = base.logits;
  if (plan) {
    const RunOutput run = model_.model->run(TokenBatch::from({base.ids}), {.hooks = plan->hooks()});
    clamped = model_.model->logits(run.resid.select(1, -1))[0];
  }
  const at::Tensor base_log_p = base.logits.to(at::kDouble).log_softmax(-1);
  const at::Tensor clamped_log_p = clamped.to(at::kDouble).log_softmax(-1);
  const at::Tensor base_p = base_log_p.exp(), clamped_p = clamped_log_p.exp();
  const at::Tensor best =
      std::get<1>(at::maximum(base_p, clamped_p).topk(std::min(kNextTokens, base_p.size(0))));
  Json tokens = Json::array();
  for (int64_t k = 0; k < best.size(0); ++k) {
    const int64_t id = best[k].item<int64_t>();
    tokens.push_back({{"id", id},
                      {"text", token_text(id)},
                      {"base_logit", base.logits[id].item<double>()},
                      {"clamped_logit", clamped[id].item<double>()},
                      {"base_p", base_p[id].item<double>()},
                      {"clamped_p", clamped_p[id].item<double>()}});
  }
  const double kl = (base_p * (base_log_p - clamped_log_p)).sum().item<double>();
  return {{"kl_nats", kl}, {"tokens", std::move(tokens)}};
}

void Bench::generate(const BenchRequest& request, const std::function<bool(const Json&)>& on_step) {
  const at::NoGradGuard no_grad;
  const BenchBase& base = base_of(request);
  const auto plan = plan_of(request, base);
  const std::set<int64_t> ends = end_of_turn_tokens(*model_.tokenizer);
  Decoder decoder(*model_.model,
                  TokenBatch::from({base.ids, base.ids}),
                  plan ? second_only(plan->hooks()) : Hooks{});
  std::vector<GrowingText> texts(2, GrowingText(*model_.tokenizer));
  std::vector<bool> has_ended = {false, false};
  const int64_t room =
      model_.model->config().max_position_embeddings - static_cast<int64_t>(base.ids.size());
  const int64_t most = std::min(request.max_new_tokens, room);
  for (int64_t step = 0; step < most; ++step) {
    const at::Tensor tokens = decoder.logits().argmax(-1);  // [2]
    Json news = {{"base", nullptr}, {"clamped", nullptr}};
    for (size_t side = 0; side < 2; ++side) {
      const int64_t token = tokens[static_cast<int64_t>(side)].item<int64_t>();
      has_ended[side] = has_ended[side] || ends.count(token) > 0;
      if (!has_ended[side]) news[side == 0 ? "base" : "clamped"] = texts[side].push(token);
    }
    if (has_ended[0] && has_ended[1]) break;
    if (!on_step(news)) return;
    if (step + 1 < most) decoder.step(tokens);
  }
  on_step({{"done", true}, {"equal_tokens", equal_beginning(texts[0].ids(), texts[1].ids())}});
}

}  // namespace rebound
