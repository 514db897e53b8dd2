// rebound sae train | eval: make a sparse autoencoder, measure one. What concerns files alone
// (inspect, encode, convert) is in sae_file_verb.cpp, pull in pull_verb.cpp.
#include <torch/torch.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model_plan.h"
#include "device_flag.h"
#include "pull_verb.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/base/progress.h"
#include "rebound/model/transformer.h"
#include "rebound/sae/evaluate.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/self_check.h"
#include "rebound/sae/sinks.h"
#include "rebound/sae/text_files.h"
#include "rebound/sae/train_run.h"
#include "sae_file_verb.h"
#include "verb.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSelfCheckContexts = 8;
constexpr int64_t kEvaluatedAtOnce = 8;  // contexts
constexpr RunShape kContext = {.rows = kSaeContextLength, .keys = kSaeContextLength};

struct SaeFlags {
  std::string model;  // empty: the default model
  std::string sae;
  std::vector<std::string> texts;
  int64_t tokens = 20'000;
  bool allow_bad_fit = false;
  std::string memory_limit;
  LoadSaeOptions load;
};

struct TrainFlags {
  std::string hook = "blocks.12.hook_resid_pre";
  std::string kind = "batchtopk";
  std::string harvest_dtype = "bfloat16";
  bool has_transformer_lens_processing = false;
  TrainRunOptions run;
};

// Encoder and decoder, their gradients and both moments; pre-activations and codes of a step.
int64_t training_bytes(const TrainOptions& options, const ModelConfig& config) {
  constexpr int64_t kFloat = 4;
  return kFloat * options.d_sae * (8 * config.hidden_size + 3 * options.batch_tokens);
}

int64_t evaluation_bytes(const Sae& sae) {
  constexpr int64_t kFloat = 4;
  return kFloat * sae.d_sae() * (4 * sae.d_in() + 2 * kEvaluatedAtOnce * kSaeContextLength);
}

std::string model_path(const SaeFlags& flags) { return find_model(flags.model); }

std::vector<fs::path> paths_of(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

Json text_record(const std::vector<std::string>& texts) {
  Json files = Json::array();
  for (const std::string& text : texts) {
    files.push_back({{"name", fs::path(text).filename()}, {"sha256", sha256_of_file(text)}});
  }
  return files;
}

void train(const SaeFlags& flags, TrainFlags train_flags, const CommonFlags& common) {
  TrainRunOptions& run = train_flags.run;
  run.tokens = flags.tokens;
  run.site = parse_site(train_flags.hook);
  run.train.selection = parse_selection(train_flags.kind);
  run.validate();
  run.metadata["text"] = text_record(flags.texts);
  const std::string path = model_path(flags);
  run.metadata["prepend_bos"] = load_tokenizer(path).adds_bos();
  run.metadata["model_sha256"] = fs::is_directory(path) ? Json() : Json(sha256_of_file(path));
  say("reading and encoding text");
  const at::Tensor contexts = shuffle_contexts(
      read_contexts(paths_of(flags.texts), path, {.length = kSaeContextLength}), run.train.seed);
  say(concat(contexts.size(0), " contexts of ", kSaeContextLength, " tokens"));
  CommonFlags harvest = common;
  harvest.dtype = train_flags.harvest_dtype;
  harvest.is_dtype_given = true;
  const PlannedModel plan =
      plan_model(path, harvest, flags.memory_limit, kContext, run.harvest_batch,
                 training_bytes(run.train, read_config(path)));
  run.harvest_batch = plan.at_once;
  ModelLoadOptions load = plan.form;
  load.has_transformer_lens_processing = train_flags.has_transformer_lens_processing;
  if (load.has_transformer_lens_processing) run.metadata["transformer_lens_processing"] = true;
  const Transformer model = on_flag_device(load_model(path, load), common);
  const std::optional<Sae> sae = train_sae(model, contexts, run);
  const at::Tensor tail = contexts.slice(0, -kSelfCheckContexts);
  const SelfCheck check = self_check(sae->to(model.device()), model, batch_of_contexts(tail));
  if (common.json) {
    std::printf("%s\n", Json{{"out", run.out}, {"check", check.to_json()}}.dump().c_str());
  } else {
    std::printf("wrote %s: %s\n", run.out.c_str(), check.summary().c_str());
  }
}

void print_evaluation(const SaeEvaluation& e) {
  std::printf("tokens          %lld counted, %lld sinks left as they are\n",
              static_cast<long long>(e.tokens),
              static_cast<long long>(e.sinks));
  std::printf("FVU             %.4f\nL0              %.2f\nnorm ratio      %.4f\n",
              e.fvu,
              e.l0,
              e.norm_ratio);
  std::printf("cross-entropy   clean %.4f  spliced %.4f  mean %.4f  zero %.4f nats\n",
              e.ce_clean,
              e.ce_spliced,
              e.ce_mean,
              e.ce_zero);
  std::printf("recovered       %.2f %%\n", 100 * e.ce_recovered);
  std::printf("never on        %.2f %%\non in > 10 %%    %.2f %%\n", 100 * e.dead, 100 * e.dense);
  constexpr const char* kBins[] = {"never", "< 1e-4", "< 1e-3", "< 0.01", "< 0.1", ">= 0.1"};
  std::printf("latents by firing frequency\n");
  const int64_t most =
      std::max<int64_t>(1, *std::max_element(e.firing_histogram.begin(), e.firing_histogram.end()));
  for (size_t bin = 0; bin < e.firing_histogram.size(); ++bin) {
    const int64_t count = e.firing_histogram[bin];
    const std::string bar(static_cast<size_t>(40 * count / most), '#');
    std::printf("  %-8s %6lld %s\n", kBins[bin], static_cast<long long>(count), bar.c_str());
  }
}

void evaluate(const SaeFlags& flags, const CommonFlags& common) {
  require<ConfigError>(flags.tokens >= kSaeContextLength,
                       "--tokens: got ",
                       flags.tokens,
                       ", expected at least one context of ",
                       kSaeContextLength);
  const Sae sae = load_sae(flags.sae, flags.load).to(device_named(common.device, "--device"));
  const std::string path = model_path(flags);
  RunShape scored = kContext;
  scored.scored_rows = kSaeContextLength;
  const PlannedModel plan =
      plan_model(path, common, flags.memory_limit, scored, kEvaluatedAtOnce,
                 evaluation_bytes(sae));
  const ModelLoadOptions form = load_options_of(sae, plan.form);
  if (form.has_transformer_lens_processing) say("model loaded with TransformerLens processing");
  const Transformer model = on_flag_device(load_model(path, form), common);
  check_fits(sae, model.config());
  const at::Tensor contexts = read_contexts(
      paths_of(flags.texts),
      path,
      {.length = kSaeContextLength,
       .max_contexts = flags.tokens / kSaeContextLength,
       .prepend_bos = bos_policy_of(sae)});
  const SelfCheck check =
      self_check(sae, model, batch_of_contexts(contexts.slice(0, 0, kSelfCheckContexts)));
  require_good_fit(check, flags.allow_bad_fit);
  const SaeEvaluation evaluation = evaluate_sae(sae, model, contexts, plan.at_once);
  if (common.json) {
    Json json = evaluation.to_json();
    json["is_pointwise"] = sae.is_pointwise();
    json["d_sae"] = sae.d_sae();
    json["transformer_lens_processing"] = form.has_transformer_lens_processing;
    std::printf("%s\n", json.dump().c_str());
  } else {
    print_evaluation(evaluation);
  }
}

void add_model_and_text(CLI::App& command, SaeFlags& flags) {
  command.add_option("--model", flags.model, kModelHelp);
  command
      .add_option(
          "--text", flags.texts, ".txt, .jsonl (\"text\", or \"user\" and \"assistant\"), also .gz")
      ->required();
  command.add_option("--memory-limit", flags.memory_limit, kMemoryLimitHelp);
}

void add_train_options(CLI::App& command, SaeFlags& flags, TrainFlags& train_flags) {
  TrainRunOptions& run = train_flags.run;
  add_model_and_text(command, flags);
  command.add_option("--hook", train_flags.hook, "Residual site")->capture_default_str();
  command.add_option("--out", run.out, "Folder for the SAE")->required();
  command.add_option("--kind", train_flags.kind, "batchtopk or topk")->capture_default_str();
  command.add_option("--tokens", flags.tokens, "Tokens to harvest")
      ->default_str(std::to_string(run.tokens));
  command.add_option("--passes", run.passes, "Times each token is used")->capture_default_str();
  command.add_option("--d-sae", run.train.d_sae, "Latents")->capture_default_str();
  command.add_option("--k", run.train.k, "Latents on per token in training")->capture_default_str();
  command.add_option("--target-l0", run.target_l0, "L0 of the calibrated threshold; default: k");
  command.add_flag("!--keep-topk", run.is_pointwise, "Keep TopK instead of a threshold");
  command.add_option("--lr", run.train.lr, "Peak learning rate")->capture_default_str();
  command.add_option("--batch", run.train.batch_tokens, "Tokens a step")->capture_default_str();
  command.add_option("--warmup", run.train.warmup_steps, "Steps until the peak learning rate")
      ->capture_default_str();
  command.add_option("--decay", run.train.decay_fraction, "Last share of steps, rate falls to 0")
      ->capture_default_str();
  command
      .add_option(
          "--dead-after", run.train.dead_after_tokens, "Tokens off until a latent counts as dead")
      ->capture_default_str();
  command.add_option("--aux-k", run.train.aux_k, "Dead latents revived per token; 0: off")
      ->capture_default_str();
  command.add_option("--buffer-tokens", run.buffer_tokens, "Most activations on disk at a time")
      ->capture_default_str();
  command.add_option("--seed", run.train.seed, "Of shuffling and start")->capture_default_str();
  command.add_option("--harvest-dtype", train_flags.harvest_dtype, "Of the model's matrices, as --dtype")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16", "stored"}))
      ->capture_default_str();
  command.add_flag("--transformer-lens-processing",
                   train_flags.has_transformer_lens_processing,
                   kTransformerLensHelp);
  command.add_flag("--resume", run.resume, "Go on from the checkpoint in --out");
  command.add_flag("--keep-checkpoint", run.keep_activations, "Keep OUT/checkpoint when done");
}

}  // namespace

void add_sae_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<SaeFlags>();
  auto train_flags = std::make_shared<TrainFlags>();
  CLI::App* verb =
      app.add_subcommand("sae", "Train, evaluate, fetch, inspect or convert a sparse autoencoder");
  verb->require_subcommand(1);
  verb->fallthrough();

  CLI::App* train_command = add_sae_command(*verb, "train", "Train on a model's activations");
  add_train_options(*train_command, *flags, *train_flags);
  train_command->callback([=, &common, &run] {
    if (train_command->count("--tokens") == 0) flags->tokens = train_flags->run.tokens;
    if (train_command->count("--target-l0") == 0) {
      train_flags->run.target_l0 = static_cast<double>(train_flags->run.train.k);
    }
    run = [=, &common] { train(*flags, *train_flags, common); };
  });

  CLI::App* eval_command = add_sae_command(*verb, "eval", "FVU, L0, cross-entropy recovered");
  add_model_and_text(*eval_command, *flags);
  eval_command->add_option("--sae", flags->sae, kSaeFileHelp)->required();
  add_load_options(*eval_command, flags->load);
  eval_command->add_option("--tokens", flags->tokens, "Tokens of the text to use")
      ->capture_default_str();
  eval_command->add_flag("--allow-bad-fit", flags->allow_bad_fit, "Go on although FVU > 1");
  eval_command->callback([=, &common, &run] { run = [=, &common] { evaluate(*flags, common); }; });

  add_sae_file_commands(*verb, common, run);
  add_sae_pull(*verb, common, run);
}

}  // namespace rebound
