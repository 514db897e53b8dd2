#include "rebound/sae/train_run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "rebound/base/file.h"
#include "rebound/base/progress.h"
#include "rebound/base/rng.h"
#include "rebound/sae/activation_buffer.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/sinks.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kContextStream = 3;
constexpr int64_t kSampleRows = 32768;
constexpr double kHarvestSaveSeconds = 10;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Json identity_of(const TrainRunOptions& options, const Transformer& model) {
  return {{"train", options.train.to_json()},
          {"site", to_string(options.site)},
          {"tokens", options.tokens},
          {"passes", options.passes},
          {"buffer_tokens", options.buffer_tokens},
          {"d_in", model.d_model()}};
}

class TrainRun {
 public:
  TrainRun(const Transformer& model, const at::Tensor& contexts, const TrainRunOptions& options)
      : model_(model),
        contexts_(contexts),
        options_(options),
        folder_(options.out / "checkpoint") {}

  std::optional<Sae> run() {
    prepare();
    for (int64_t round = first_round(); round < options_.rounds(); ++round) {
      harvest(round);
      if (!train(round)) return {};
    }
    const ActivationBuffer buffer(activations_path(), model_.d_model(), options_.round_rows());
    return finish(buffer);
  }

 private:
  fs::path activations_path() const { return folder_ / "activations.bf16"; }
  fs::path harvest_path() const { return folder_ / "harvest.json"; }
  fs::path state_path() const { return folder_ / "state.safetensors"; }
  fs::path options_path() const { return folder_ / "options.json"; }
  int64_t steps_per_round() const { return options_.passes * options_.steps_per_pass(); }

  void prepare() {
    std::error_code failure;
    fs::create_directories(folder_, failure);
    require<IoError>(!failure, folder_.string(), ": cannot create: ", failure.message());
    const Json identity = identity_of(options_, model_);
    if (options_.resume && fs::exists(options_path())) {
      const Json before = read_json_file(options_path());
      require<ConfigError>(before == identity,
                           "resume: the checkpoint was made with other options: got ",
                           identity.dump(),
                           ", expected ",
                           before.dump());
      return;
    }
    fs::remove(harvest_path());
    fs::remove(state_path());
    write_file_atomically(options_path(), identity.dump(2) + "\n");
  }

  int64_t first_round() {
    if (!fs::exists(state_path())) return 0;
    start_trainer(TrainState::load(state_path(), options_.train.d_sae));
    const int64_t round = trainer_->state().step / steps_per_round();
    return std::min(round, options_.rounds() - 1);
  }

  void start_trainer(TrainState state) {
    trainer_.emplace(options_.train, std::move(state), options_.total_steps());
  }

  void save_harvest(int64_t round, int64_t rows, int64_t contexts) const {
    const Json state = {{"round", round}, {"rows", rows}, {"contexts", contexts}};
    write_file_atomically(harvest_path(), state.dump() + "\n");
  }

  // Fills the buffer with round_rows() activations; continues what a stopped run left.
  void harvest(int64_t round) {
    int64_t rows = 0, next = 0;
    if (fs::exists(harvest_path())) {
      const Json saved = read_json_file(harvest_path());
      next = saved.at("contexts").get<int64_t>();
      if (saved.at("round").get<int64_t>() == round) rows = saved.at("rows").get<int64_t>();
    }
    if (rows >= options_.round_rows()) return;
    ActivationWriter writer(activations_path(), model_.d_model(), rows);
    Progress progress("harvest", options_.round_rows());
    auto saved_at = Clock::now();
    int64_t sinks = 0;
    const auto started = Clock::now();
    while (writer.rows() < options_.round_rows()) {
      require<DataError>(next < contexts_.size(0),
                         "training: the text has too few tokens; give more text or fewer tokens");
      const int64_t last = std::min(next + options_.harvest_batch, contexts_.size(0));
      const SiteActivations at_site =
          activations_at(model_, options_.site, batch_of_contexts(contexts_.slice(0, next, last)));
      writer.append(at_site.counted().slice(0, 0, options_.round_rows() - writer.rows()));
      sinks += at_site.sinks();
      next = last;
      const bool is_done = writer.rows() >= options_.round_rows();
      if (is_done || seconds_since(saved_at) > kHarvestSaveSeconds) {
        writer.flush();
        save_harvest(round, writer.rows(), next);
        saved_at = Clock::now();
      }
      progress.update(writer.rows(),
                      concat(static_cast<int64_t>(static_cast<double>(writer.rows() - rows) /
                                                  seconds_since(started)),
                             " tokens/s, ",
                             sinks,
                             " sinks left out"));
    }
  }

  bool train(int64_t round) {
    const ActivationBuffer buffer(activations_path(), model_.d_model(), options_.round_rows());
    if (!trainer_) start_trainer(TrainState::start(options_.train, buffer.first(kSampleRows)));
    Progress progress("train", options_.total_steps());
    auto saved_at = Clock::now();
    const auto started = Clock::now();
    const int64_t first_step = trainer_->state().step;
    const int64_t batch = options_.train.batch_tokens;
    std::vector<int64_t> order;
    int64_t order_pass = -1;
    while (trainer_->state().step < (round + 1) * steps_per_round()) {
      const int64_t step = trainer_->state().step;
      if (step == options_.stop_after_steps) {
        trainer_->state().save(state_path());
        return false;
      }
      const int64_t pass = step / options_.steps_per_pass();
      if (pass != order_pass) {
        order = shuffled_rows(buffer.rows(), options_.train.seed, pass);
        order_pass = pass;
      }
      const int64_t at = step % options_.steps_per_pass() * batch;
      const StepStats stats = trainer_->step(buffer.gather(order.data() + at, batch));
      const double rate =
          static_cast<double>((step + 1 - first_step) * batch) / seconds_since(started);
      progress.update(step + 1, detail_of(stats, rate));
      if (seconds_since(saved_at) > options_.checkpoint_seconds) {
        trainer_->state().save(state_path());
        saved_at = Clock::now();
      }
    }
    trainer_->state().save(state_path());
    return true;
  }

  std::string detail_of(const StepStats& stats, double rate) {
    mean_fvu_ = mean_fvu_ > 0 ? 0.95 * mean_fvu_ + 0.05 * stats.fvu : stats.fvu;
    char text[120];
    std::snprintf(text,
                  sizeof text,
                  "%.0f tokens/s  FVU %.4f  L0 %.1f  dead %.1f %%",
                  rate,
                  mean_fvu_,
                  stats.l0,
                  100 * stats.dead_share);
    return text;
  }

  Sae finish(const ActivationBuffer& buffer) {
    const Sae top_k = trainer_->top_k_sae();
    Sae made = options_.is_pointwise
                   ? with_calibrated_threshold(top_k, buffer.first(kSampleRows), options_.target_l0)
                   : top_k;
    SaeConfig config = made.config();
    config.hook_name = to_string(options_.site);
    config.model_name = model_.config().name;
    config.metadata = options_.metadata;
    config.metadata["context_size"] = contexts_.size(1);
    if (!config.metadata.contains("prepend_bos")) config.metadata["prepend_bos"] = false;
    config.metadata["sink_norm_ratio"] = kSinkNormRatio;
    config.metadata["training"] = identity_of(options_, model_);
    config.metadata["training"]["target_l0"] = options_.target_l0;
    const Sae sae(config, made.weights());
    save_sae(sae, options_.out, SaveDType::kFloat16);
    if (!options_.keep_activations) fs::remove_all(folder_);
    return load_sae(options_.out);
  }

  const Transformer& model_;
  const at::Tensor& contexts_;
  const TrainRunOptions& options_;
  fs::path folder_;
  std::optional<SaeTrainer> trainer_;
  double mean_fvu_ = 0;
};

}  // namespace

int64_t TrainRunOptions::rounds() const { return (tokens + buffer_tokens - 1) / buffer_tokens; }
int64_t TrainRunOptions::round_rows() const { return tokens / rounds(); }
int64_t TrainRunOptions::steps_per_pass() const { return round_rows() / train.batch_tokens; }
int64_t TrainRunOptions::total_steps() const { return rounds() * passes * steps_per_pass(); }

void TrainRunOptions::validate() const {
  train.validate();
  require<ConfigError>(passes > 0, "TrainRunOptions.passes must be > 0, got ", passes);
  require<ConfigError>(
      buffer_tokens > 0, "TrainRunOptions.buffer_tokens must be > 0, got ", buffer_tokens);
  require<ConfigError>(tokens > 0 && steps_per_pass() > 0,
                       "TrainRunOptions.tokens must fill at least one batch of ",
                       train.batch_tokens,
                       " a round, got ",
                       tokens);
}

at::Tensor shuffle_contexts(const at::Tensor& contexts, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(contexts.size(0)));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  Rng rng({seed, kContextStream});
  rng.shuffle(order);
  return contexts.index_select(0, at::tensor(order, at::kLong));
}

std::optional<Sae> train_sae(const Transformer& model,
                             const at::Tensor& contexts,
                             const TrainRunOptions& options) {
  at::NoGradGuard no_grad;
  options.validate();
  const int64_t most = contexts.size(0) * (contexts.size(1) - 1);
  require<ConfigError>(most >= options.tokens,
                       "training: got text for at most ",
                       most,
                       " tokens, expected ",
                       options.tokens,
                       "; give more text or fewer tokens");
  return TrainRun(model, contexts, options).run();
}

}  // namespace rebound
