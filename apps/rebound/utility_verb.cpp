// rebound utility: what a defence costs, in one command.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "format_text.h"
#include "model_plan.h"
#include "rebound/audit/clamp_file.h"
#include "rebound/audit/defence_file.h"
#include "rebound/audit/utility_report.h"
#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/base/progress.h"
#include "rebound/io/hub_cache.h"
#include "rebound/report/table.h"
#include "verb.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

struct UtilityFlags {
  std::string defence, model;
  std::string text, questions;  // empty: the default files
  bool has_transformer_lens_processing = false;
  UtilityOptions options;
};

AnswerSubject load(const std::string& given, const ModelLoadOptions& form) {
  const std::string path = find_model(given);
  say(concat("loading ", path));
  AnswerSubject subject;
  subject.model_name = name_of_path(path);
  subject.model = std::make_shared<const Transformer>(load_model(path, form));
  subject.tokenizer = std::make_shared<const Tokenizer>(load_tokenizer(path));
  if (auto chat = load_chat_template(path)) {
    subject.chat = std::make_shared<const ChatTemplate>(std::move(*chat));
  }
  subject.stop_tokens = end_of_turn_tokens(*subject.tokenizer);
  return subject;
}

std::string nats(const Estimate& e) {
  if (std::isnan(e.low)) return format_text("%.4f", e.value);  // one context
  return format_text("%.4f [%.4f, %.4f]", e.value, e.low, e.high);
}

std::string percent_of(const Share& share) {
  if (share.n == 0) return "-";
  return format_text(
      "%.1f %% [%.1f, %.1f]", 100 * share.value(), 100 * share.low, 100 * share.high);
}

std::string percent_of(const Estimate& e) {
  if (std::isnan(e.low)) return format_text("%.1f %%", 100 * e.value);
  return format_text("%.1f %% [%.1f, %.1f]", 100 * e.value, 100 * e.low, 100 * e.high);
}

std::string points(const Estimate& e) {
  return format_text("%+.1f [%+.1f, %+.1f]", 100 * e.value, 100 * e.low, 100 * e.high);
}

using Cells = std::vector<std::string>;

Cells row_of(const std::string& name, const PairedShare& pair) {
  return {name,
          percent_of(pair.before),
          percent_of(pair.after),
          pair.after.n == 0 ? "-" : points(pair.change),
          std::to_string(pair.after.n)};
}

Table table_of(const Utility& utility) {
  Table table{
      .title = "with 95 % intervals",
      .columns = {{""}, {"without", true}, {"with it", true}, {"change", true}, {"n", true}},
      .rows = {}};
  if (const auto& cost = utility.text) {
    const std::string n = std::to_string(cost->contexts.size());
    const Estimate top1 = cost->mean(&ContextCost::top1_agreement);
    table.rows.push_back({"cross-entropy, nats a token",
                          format_text("%.4f", cost->mean(&ContextCost::ce_base).value),
                          format_text("%.4f", cost->mean(&ContextCost::ce_defended).value),
                          nats(cost->delta_ce()),
                          n});
    table.rows.push_back(
        {"KL from the model as it was", "", nats(cost->mean(&ContextCost::kl)), "", n});
    table.rows.push_back({"same likeliest token", "", percent_of(top1), "", n});
  }
  if (const auto& safe = utility.safe) {
    table.rows.push_back(row_of("safe requests refused", safe->refused));
    table.rows.push_back(row_of("safe requests answered in broken text", safe->degenerate));
  }
  if (const auto& facts = utility.facts) {
    table.rows.push_back(row_of("facts right", facts->right));
    const Share& kept = facts->kept;
    table.rows.push_back({"known facts kept", "", percent_of(kept), "", std::to_string(kept.n)});
  }
  if (const auto& questions = utility.questions) {
    table.rows.push_back(row_of("questions right", questions->right));
  }
  return table;
}

void print_utility(const Utility& utility, const std::string& model, size_t n_clamps) {
  constexpr size_t kWidth = 140;
  std::printf("%s, %zu %s\n", model.c_str(), n_clamps, n_clamps == 1 ? "clamp" : "clamps");
  std::fputs(text_tables({table_of(utility)}, kWidth).c_str(), stdout);
  if (const auto& questions = utility.questions) {
    std::printf("questions: %lld of the %lld of %s\n",
                static_cast<long long>(questions->right.after.n),
                static_cast<long long>(questions->n_in_file),
                questions->file.c_str());
  }
}

void run_utility(const UtilityFlags& flags, const CommonFlags& common) {
  const auto started = std::chrono::steady_clock::now();
  const DefenceFile file = read_defence_file(flags.defence);
  const ModelLoadOptions form =
      processed_form(dtype_named(common.dtype),
                     flags.has_transformer_lens_processing || file.has_transformer_lens_processing,
                     nullptr);
  const AnswerSubject subject = load(flags.model.empty() ? file.model : flags.model, form);
  const ClampPlan plan = with_context(flags.defence, [&] {
    return ClampPlan(read_clamps(file.clamps, *subject.model, subject.tokenizer.get()),
                     subject.model->config());
  });
  UtilityOptions options = flags.options;
  options.text = flags.text;
  options.questions = flags.questions;
  options.chosen_on = file.chosen_on;
  const Utility utility = measure_defence(subject, plan.hooks(), options);
  if (!common.json) return print_utility(utility, subject.model_name, plan.size());
  Json json = to_json(utility);
  json["model"] = subject.model_name;
  json["dtype"] = common.dtype;
  json["transformer_lens_processing"] = form.has_transformer_lens_processing;
  json["defence"] = {{"clamps", plan.to_json()}};
  json["max_new_tokens"] = options.max_new_tokens;
  json["seconds"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  std::printf("%s\n", json.dump().c_str());
}

}  // namespace

void add_utility_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<UtilityFlags>();
  UtilityOptions& options = flags->options;
  CLI::App* verb = app.add_subcommand("utility", "What a defence costs beside what it suppresses");
  verb->fallthrough();
  verb->add_option("--defence",
                   flags->defence,
                   "JSON list of clamps, or the folder or summary.json of a finished audit")
      ->required();
  verb->add_option("--model",
                   flags->model,
                   "GGUF file, Hugging Face folder or ORG/NAME [the run's, else the default]");
  verb->add_flag("--transformer-lens-processing",
                 flags->has_transformer_lens_processing,
                 concat(kTransformerLensHelp, " [as the run's]"));
  verb->add_option("--text", flags->text, "Harmless text [data/text/heldout.txt.gz]");
  verb->add_option("--questions", flags->questions, "JSON lines [data/mcq/capitals_mcq.jsonl]");
  const auto add_number = [&](const char* name, int64_t& number, const char* help) {
    verb->add_option(name, number, help)->check(CLI::NonNegativeNumber)->capture_default_str();
  };
  add_number("--contexts", options.contexts, "Contexts of 128 tokens of the text; 0: none");
  add_number("--facts", options.facts, "Facts to complete; 0: none");
  add_number("--asked", options.asked, "Questions asked, evenly over the file; 0: none");
  add_number("--safe", options.safe, "Safe requests of XSTest to answer; 0: none");
  verb->add_option("--max-new-tokens", options.max_new_tokens, "Of an answer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->callback(
      [flags, &common, &run] { run = [flags, &common] { run_utility(*flags, common); }; });
}

}  // namespace rebound
