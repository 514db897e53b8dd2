#include "cost_family.h"

#include <torch/torch.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "format_text.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/report/table.h"
#include "rebound/sae/text_files.h"
#include "rebound/sae/train_run.h"
#include "rebound/scaling/byte_tokenizer.h"
#include "rebound/scaling/family_runs.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTrainText = "data/text/books_sample.txt.gz";
constexpr const char* kEvalText = "assets/scaling/heldout.txt.gz";
constexpr int64_t kContexts = 512;

struct FamilyFlags {
  FamilyOptions options{.name = "books-bytes"};
  std::vector<std::string> texts;  // of training; empty: kTrainText
  std::string eval_text = kEvalText, runs, out;
  int64_t contexts = kContexts;
  bool resume = false;
};

at::Tensor byte_contexts(const std::vector<fs::path>& paths, int64_t length, int64_t most) {
  const Tokenizer tokenizer = Tokenizer::from_json(byte_tokenizer_json());
  std::vector<at::Tensor> parts;
  for (const fs::path& path : paths) {
    parts.push_back(with_context(path.string(), [&] {
      return contexts_of(
          read_documents(path), tokenizer, nullptr, {.length = length, .max_contexts = most});
    }));
  }
  const at::Tensor contexts = at::cat(parts);
  require<DataError>(contexts.size(0) > 0,
                     paths.front().string(),
                     ": got less than one context of ",
                     length,
                     " bytes");
  return contexts;
}

void print_curve(const ScalingCurve& curve) {
  const PowerLaw law = fit_power_law(curve.points());
  const auto others = leave_one_out(curve.points());
  Table table{.title = concat("loss = ", law.e, " + ", law.a, " C^-", law.b, ", nats a token"),
              .columns = {{""},
                          {"d_model", true},
                          {"parameters", true},
                          {"tokens", true},
                          {"FLOP", true},
                          {"loss", true},
                          {"curve", true},
                          {"error", true},
                          {"from the others", true}},
              .rows = {}};
  const auto add = [&](const ScalingRun& run, bool is_fitted, std::optional<double> from_others) {
    const double said = law.loss_at(run.compute);
    table.rows.push_back(
        {is_fitted ? run.name : run.name + " (held out)",
         std::to_string(run.d_model),
         std::to_string(run.parameters),
         std::to_string(run.tokens),
         format_text("%.3g", run.compute),
         format_text("%.4f", run.loss),
         format_text("%.4f", said),
         format_text("%+.2f %%", 100 * (said / run.loss - 1)),
         from_others ? format_text("%+.2f %%", 100 * (*from_others / run.loss - 1)) : "-"});
  };
  for (size_t i = 0; i < curve.runs.size(); ++i) add(curve.runs[i], true, others[i]);
  for (const ScalingRun& run : curve.held_out) add(run, false, std::nullopt);
  constexpr size_t kWidth = 140;
  std::fputs(text_tables({table}, kWidth).c_str(), stdout);
}

void fit(const FamilyFlags& flags, const Json& made, const CommonFlags& common) {
  const fs::path path = find_text(flags.eval_text);
  const int64_t length = flags.options.context_length;
  const at::Tensor contexts = byte_contexts({path}, length, flags.contexts);
  ScalingCurve curve = measure_family(flags.runs,
                                      contexts,
                                      {.file = flags.eval_text,
                                       .sha256 = sha256_of_file(path),
                                       .contexts = contexts.size(0),
                                       .context_length = length});
  curve.family = flags.options.name;
  curve.made = made;
  const Json json = to_json(curve);
  const fs::path out =
      flags.out.empty() ? fs::path(flags.runs) / "curve.json" : fs::path(flags.out);
  write_file_atomically(out, json.dump(2) + "\n");
  if (common.json) {
    std::printf("%s\n", json.dump().c_str());
  } else {
    print_curve(curve);
    std::printf("wrote %s\n", out.c_str());
  }
}

void train(FamilyFlags flags, const CommonFlags& common) {
  const std::vector<std::string> names =
      flags.texts.empty() ? std::vector<std::string>{kTrainText} : flags.texts;
  std::vector<fs::path> paths;
  Json record = Json::array();
  for (const std::string& name : names) {
    paths.push_back(find_text(name));
    record.push_back({{"name", paths.back().filename()}, {"sha256", sha256_of_file(paths.back())}});
  }
  plan_family(flags.options);  // its errors before the text is read
  const at::Tensor contexts = byte_contexts(paths, flags.options.context_length, -1);
  train_family(shuffle_contexts(contexts, flags.options.seed),
               flags.options,
               {.out = flags.runs, .resume = flags.resume, .text = record});
  const Json made = {{"command", "rebound cost train"},
                     {"tokenizer", "bytes"},
                     {"options", flags.options.to_json()},
                     {"text", record}};
  fit(flags, made, common);
}

void add_train(CLI::App& verb, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<FamilyFlags>();
  FamilyOptions& options = flags->options;
  CLI::App* command = verb.add_subcommand("train", "Train a family of small models, fit its curve");
  command->fallthrough();
  command->add_option("--out", flags->runs, "Folder for the models and curve.json")->required();
  command->add_option("--family", options.name, "Its name")->capture_default_str();
  command->add_option("--text", flags->texts, "Training text [data/text/books_sample.txt.gz]");
  command->add_option("--eval-text", flags->eval_text, "Text of the losses")->capture_default_str();
  command->add_option("--contexts", flags->contexts, "Of that text, 128 bytes each")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--budgets", options.budgets, "In units of --base-flops")->delimiter(',');
  command->add_option("--held-out", options.held_out, "Budgets that are trained, not fitted")
      ->delimiter(',');
  command->add_option("--base-flops", options.base_compute, "Compute of budget 1")
      ->capture_default_str();
  command->add_option("--tokens-per-parameter", options.tokens_per_parameter, "Data against size")
      ->capture_default_str();
  command->add_option("--layers", options.n_layers, "Blocks")->capture_default_str();
  command->add_option("--lr", options.lr, "Peak learning rate at d_model 64")
      ->capture_default_str();
  command->add_option("--seed", options.seed, "Of start and order")->capture_default_str();
  command->add_flag("--resume", flags->resume, "Keep finished runs");
  command->callback([=, &common, &run] { run = [=, &common] { train(*flags, common); }; });
}

void add_fit(CLI::App& verb, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<FamilyFlags>();
  CLI::App* command = verb.add_subcommand("fit", "Measure trained runs again, fit their curve");
  command->fallthrough();
  command->add_option("runs", flags->runs, "Folder of cost train")->required();
  command->add_option("--eval-text", flags->eval_text, "Text of the losses")->capture_default_str();
  command->add_option("--contexts", flags->contexts, "Of that text, 128 bytes each")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--family", flags->options.name, "Its name")->capture_default_str();
  command->add_option("--out", flags->out, "Curve file [RUNS/curve.json]");
  command->callback([=, &common, &run] {
    run = [=, &common] { fit(*flags, {{"command", "rebound cost fit"}}, common); };
  });
}

}  // namespace

fs::path find_text(const std::string& name, const fs::path& beside) {
  if (fs::exists(name)) return name;
  if (!beside.empty() && fs::exists(beside / name)) return beside / name;
  return find_project_path(name);
}

void add_cost_family(CLI::App& verb, const CommonFlags& common, RunVerb& run) {
  add_train(verb, common, run);
  add_fit(verb, common, run);
}

}  // namespace rebound
