#include "rebound/scaling/family_runs.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"
#include "rebound/model/transformer.h"
#include "rebound/scaling/byte_tokenizer.h"
#include "rebound/scaling/splice_loss.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRecord = "training.json";

// What a resumed run must agree with.
Json identity_of(const RunPlan& plan, const FamilyTraining& training) {
  return {{"budget", plan.budget},
          {"d_model", plan.shape.d_model},
          {"n_layers", plan.shape.n_layers},
          {"n_heads", plan.shape.n_heads},
          {"context_length", plan.shape.context_length},
          {"steps", plan.train.steps},
          {"batch_contexts", plan.train.batch_contexts},
          {"lr", plan.train.lr},
          {"seed", plan.seed},
          {"text", training.text}};
}

bool is_finished(const RunPlan& plan, const FamilyTraining& training) {
  const fs::path record = training.out / plan.name / kRecord;
  if (!fs::exists(record)) return false;
  require<ConfigError>(training.resume,
                       record.string(),
                       ": a finished run is here; give --resume to keep it, or another --out");
  const Json json = read_json_file(record);
  const Json before = json.is_object() ? json.value("plan", Json()) : Json();
  const Json now = identity_of(plan, training);
  require<ConfigError>(before == now,
                       record.string(),
                       ": the run has another plan: got ",
                       now.dump(),
                       ", expected ",
                       before.dump());
  return true;
}

void train_run(const RunPlan& plan, const at::Tensor& contexts, const FamilyTraining& training) {
  const auto started = std::chrono::steady_clock::now();
  TinyLlama model(plan.shape, plan.seed);
  const TinyTraining result = train_tiny_llama(model, contexts, plan.train, plan.name);
  const fs::path folder = training.out / plan.name;
  model.save(folder, byte_tokenizer_json());
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const Json record = {{"plan", identity_of(plan, training)},
                       {"held_out", plan.is_held_out},
                       {"compute", plan.compute()},
                       {"tokens", plan.tokens()},
                       {"parameters", plan.shape.parameters()},
                       {"first_loss", result.first_loss},
                       {"last_loss", result.last_loss},
                       {"seconds", seconds}};
  write_file_atomically(folder / kRecord, record.dump(2) + "\n");
}

std::vector<fs::path> finished_runs(const fs::path& folder) {
  require<IoError>(fs::is_directory(folder), folder.string(), ": no such folder");
  std::vector<fs::path> runs;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / kRecord)) runs.push_back(entry.path());
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

struct MeasuredRun {
  ScalingRun run;
  bool is_held_out = false;
};

MeasuredRun measure_run(const fs::path& folder, const at::Tensor& contexts) {
  const Json json = read_json_file(folder / kRecord);
  ObjectReader record(json, (folder / kRecord).string());
  MeasuredRun out{.run = {.name = folder.filename().string()}};
  out.is_held_out = record.get<bool>("held_out");
  out.run.compute = record.get<double>("compute");
  out.run.tokens = record.get<int64_t>("tokens");
  out.run.parameters = record.get<int64_t>("parameters");
  const Transformer model = load_model(folder.string());
  out.run.d_model = model.d_model();
  out.run.n_layers = model.n_layers();
  out.run.model_sha256 = sha256_of_file(folder / "model.safetensors");
  out.run.loss = mean(context_losses(model, contexts));
  return out;
}

}  // namespace

void train_family(const at::Tensor& contexts,
                  const FamilyOptions& options,
                  const FamilyTraining& training) {
  const std::vector<RunPlan> plans = plan_family(options);
  int64_t most = 0;
  for (const RunPlan& plan : plans) {
    most = std::max(most, plan.train.steps * plan.train.batch_contexts);
  }
  require<ConfigError>(contexts.size(0) >= most,
                       "training text: got ",
                       contexts.size(0),
                       " contexts, expected at least ",
                       most,
                       " for the largest budget (none is used twice)");
  for (const RunPlan& plan : plans) {
    if (is_finished(plan, training)) {
      say(concat(plan.name, ": finished before"));
      continue;
    }
    say(concat(plan.name,
               ": d_model ",
               plan.shape.d_model,
               ", ",
               plan.shape.parameters(),
               " parameters, ",
               plan.tokens(),
               " tokens, ",
               plan.compute(),
               " FLOP"));
    train_run(plan, contexts, training);
  }
}

ScalingCurve measure_family(const fs::path& folder,
                            const at::Tensor& contexts,
                            const CurveText& text) {
  ScalingCurve curve;
  curve.text = text;
  for (const fs::path& run_folder : finished_runs(folder)) {
    MeasuredRun measured = measure_run(run_folder, contexts);
    (measured.is_held_out ? curve.held_out : curve.runs).push_back(std::move(measured.run));
  }
  require<DataError>(!curve.runs.empty(),
                     folder.string(),
                     ": got no finished run, expected folders with ",
                     kRecord);
  for (std::vector<ScalingRun>* runs : {&curve.runs, &curve.held_out}) {
    std::sort(runs->begin(), runs->end(), [](const ScalingRun& x, const ScalingRun& y) {
      return x.compute < y.compute;
    });
  }
  return curve;
}

}  // namespace rebound
