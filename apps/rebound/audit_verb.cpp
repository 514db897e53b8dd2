// rebound audit: from a preset or a spec to a run folder with a report.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>

#include "rebound/audit/answer_runner.h"
#include "rebound/audit/run_memory.h"
#include "rebound/audit/runner.h"
#include "rebound/audit/store.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"
#include "rebound/report/report.h"
#include "rebound/report/run_input.h"
#include "rebound/report/terminal.h"
#include "rebound/serve/start_audit.h"
#include "model_plan.h"
#include "terminal_size.h"
#include "verb.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string target;  // preset or spec file
  std::string out;
  std::string resume;
  std::string model, sae;
  std::string questions;
  std::string preset;
  std::string memory_limit;
  int64_t seed = -1;
  bool trace = false;
  bool sweep = false;
  bool nanogcg = false;
  bool show_text = false;
  bool has_transformer_lens_processing = false;
};

std::atomic<bool> was_interrupted{false};

void remember_interrupt(int) {
  was_interrupted = true;
  std::signal(SIGINT, SIG_DFL);  // a second Ctrl-C ends the program at once
}

// A spec that is no JSON is a bad spec, not bad data.
Json read_spec_file(const fs::path& path) {
  try {
    return read_json_file(path);
  } catch (const DataError& e) {
    throw ConfigError(e.what());
  }
}

bool is_preset(const std::string& target) {
  return std::find(audit_behaviours().begin(), audit_behaviours().end(), target) !=
         audit_behaviours().end();
}

std::string list_of_presets() {
  std::string list;
  for (const std::string& name : audit_behaviours()) list += (list.empty() ? "" : ", ") + name;
  return list;
}

// The spec file as JSON; null for a preset.
Json spec_file_of(const Flags& flags) {
  if (is_preset(flags.target)) return nullptr;
  require<ConfigError>(fs::exists(flags.target),
                       "audit: got \"",
                       flags.target,
                       "\", expected a spec file or one of: ",
                       list_of_presets());
  return read_spec_file(flags.target);
}

bool is_about_answers(const Flags& flags, const Json& file) {
  if (file.is_null()) return is_answer_behaviour(flags.target);
  const auto behaviour = file.find("behaviour");
  if (!file.is_object() || behaviour == file.end() || !behaviour->is_object()) return false;
  const auto kind = behaviour->find("kind");
  return kind != behaviour->end() && kind->is_string() &&
         is_answer_behaviour(kind->get<std::string>());
}

template <class Spec>
void stay_below_limit(Spec& spec, const Flags& flags, const CommonFlags& common) {
  if (flags.memory_limit.empty()) return;
  say(fit_to_memory(spec, parse_bytes(flags.memory_limit), common.is_dtype_given).text());
}

AuditSpec spec_of(const Flags& flags, const CommonFlags& common, const Json& file) {
  require<ConfigError>(flags.preset.empty(),
                       "--preset: got ",
                       flags.preset,
                       ", expected it with refusal or refusal-benign only");
  require<ConfigError>(!flags.nanogcg,
                       "--nanogcg: got it with ",
                       flags.target,
                       ", expected it with refusal or refusal-benign only");
  require<ConfigError>(!flags.has_transformer_lens_processing,
                       "--transformer-lens-processing: got it with ",
                       flags.target,
                       ", expected it with refusal or refusal-benign only: elsewhere the SAE's "
                       "metadata say it");
  AuditSpec spec = file.is_null() ? default_spec(flags.target) : read_spec(file, flags.target);
  if (!flags.model.empty()) spec.model = flags.model;
  if (!flags.sae.empty()) spec.sae = flags.sae;
  require<ConfigError>(flags.questions.empty() || spec.behaviour.kind == "mcq",
                       "--questions: got it with ",
                       flags.target,
                       ", expected it with mcq only");
  if (!flags.questions.empty()) spec.behaviour.questions = flags.questions;
  if (flags.seed >= 0) spec.seed = static_cast<uint64_t>(flags.seed);
  if (flags.trace) spec.trace = true;
  if (flags.sweep) spec.sweep = true;
  if (common.is_dtype_given) spec.dtype = common.dtype;
  if (common.device != "cpu") spec.device = common.device;
  stay_below_limit(spec, flags, common);
  return spec;
}

// The defaults of nanoGCG's GCGConfig.
void use_nanogcg_settings(AnswerAuditSpec& spec) {
  for (AnswerRowSpec& row : spec.rows) {
    if (!row.is_gcg()) continue;
    row.suffix.search_width = 512;
    row.suffix.top_k = 256;
    row.steps = 250;
  }
}

AnswerAuditSpec answer_spec_of(const Flags& flags, const CommonFlags& common, const Json& file) {
  require<ConfigError>(
      file.is_null() || flags.preset.empty(),
      "--preset: got it with a spec file, expected it with refusal or refusal-benign only");
  require<ConfigError>(flags.questions.empty(),
                       "--questions: got it with ",
                       flags.target,
                       ", expected it with mcq only");
  require<ConfigError>(flags.sae.empty(),
                       "--sae: got it with ",
                       flags.target,
                       ", expected defence.saes in a spec file (several sites may have one each)");
  AnswerAuditSpec spec =
      file.is_null()
          ? default_answer_spec(flags.target,
                                parse_preset(flags.preset.empty() ? "quick" : flags.preset))
          : read_answer_spec(file, flags.target);
  if (!flags.model.empty()) spec.model = flags.model;
  if (flags.seed >= 0) spec.seed = static_cast<uint64_t>(flags.seed);
  if (flags.nanogcg) use_nanogcg_settings(spec);
  if (flags.has_transformer_lens_processing) spec.has_transformer_lens_processing = true;
  if (flags.trace) spec.trace = true;
  if (common.is_dtype_given) spec.dtype = common.dtype;
  if (common.device != "cpu") spec.device = common.device;
  stay_below_limit(spec, flags, common);
  return spec;
}

fs::path fresh_folder(const std::string& target) {
  char stamp[32];
  const std::time_t now = std::time(nullptr);
  std::strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", std::localtime(&now));
  return fs::path("runs") / (fs::path(target).stem().string() + "-" + stamp);
}

void write_reports(const fs::path& folder,
                   const AuditSummary& summary,
                   const Flags& flags,
                   bool json) {
  const ReportInput input = read_run(folder);
  const ReportOptions options{.show_text = flags.show_text};
  write_file_atomically(folder / "report.md", markdown_report(input, options));
  write_file_atomically(folder / "report.html", html_report(input, options));
  if (json) {
    Json printed = summary.to_json();
    if (flags.trace) {
      const Store store = Store::open_read_only(folder / "run.sqlite");
      printed["trace"] = Json::array();
      for (const TracePoint& point : store.traces()) {
        printed["trace"].push_back({{"prompt", point.prompt},
                                    {"row", point.row},
                                    {"step", point.step},
                                    {"objective", point.objective},
                                    {"drift_pre", point.drift_pre},
                                    {"norm", point.norm}});
      }
    }
    std::puts(printed.dump(2).c_str());
    return;
  }
  std::fputs(terminal_report(input, style_of_stdout()).c_str(), stdout);
  std::printf("\nReport: %s\n", (folder / "report.html").c_str());
}

void run_audit_verb(const Flags& flags, const CommonFlags& common) {
  std::signal(SIGINT, remember_interrupt);
  std::signal(SIGTERM, remember_interrupt);
  const auto is_interrupted = [] { return was_interrupted.load(); };
  if (!flags.resume.empty()) {
    require<ConfigError>(flags.target.empty() && flags.out.empty(),
                         "--resume: got a spec or --out too, expected the run folder alone");
    const bool is_changed = !flags.model.empty() || !flags.sae.empty() ||
                            !flags.questions.empty() || flags.seed >= 0 || flags.nanogcg ||
                            common.is_dtype_given || common.device != "cpu" ||
                            !flags.memory_limit.empty() || flags.has_transformer_lens_processing;
    require<ConfigError>(!is_changed,
                         "--resume: got --model, --sae, --questions, --seed, --nanogcg, --dtype, "
                         "--device, --memory-limit or --transformer-lens-processing too, expected "
                         "none: the run goes on with the settings of its spec.json");
    const Flags stored{.target = "spec.json"};
    const Json spec = read_json_file(fs::path(flags.resume) / "spec.json");
    write_reports(flags.resume,
                  is_about_answers(stored, spec) ? resume_answer_audit(flags.resume, is_interrupted)
                                                 : resume_audit(flags.resume, is_interrupted),
                  flags,
                  common.json);
    return;
  }
  require<ConfigError>(!flags.target.empty(),
                       "audit: got no spec, expected a preset (ioi), a spec file or --resume");
  const fs::path folder = flags.out.empty() ? fresh_folder(flags.target) : fs::path(flags.out);
  const Json file = spec_file_of(flags);
  const AuditSummary summary =
      is_about_answers(flags, file)
          ? run_answer_audit(answer_spec_of(flags, common, file), folder, is_interrupted)
          : run_audit(spec_of(flags, common, file), folder, is_interrupted);
  write_reports(folder, summary, flags, common.json);
}

}  // namespace

void add_audit_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("audit", "Search for recoveries of a suppressed behaviour");
  verb->add_option(
      "spec", flags->target, concat("Preset (", list_of_presets(), ") or a spec file"));
  verb->add_option(
      "--preset", flags->preset, "Size of refusal and refusal-benign: quick or full [quick]");
  verb->add_option("--out", flags->out, "Run folder, new or empty [runs/NAME-TIME]");
  verb->add_option(
      "--resume", flags->resume, "Continue the run in this folder, with the spec stored there");
  verb->add_option("--model", flags->model, kModelHelp);
  verb->add_option("--sae", flags->sae, kSaeHelp);
  verb->add_option("--questions",
                   flags->questions,
                   "Questions of mcq, JSON lines [data/mcq/capitals_mcq.jsonl]");
  verb->add_option("--seed", flags->seed, "Seed of prompts, draws and targets [the spec's, else 0]")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--memory-limit", flags->memory_limit, kMemoryLimitHelp);
  verb->add_flag("--trace",
                 flags->trace,
                 "Store objective, drift and norm of every step; with --json print them too");
  verb->add_flag(
      "--sweep", flags->sweep, "Also SAEBench's unlearning score, over 16 clamps (facts, mcq)");
  verb->add_flag("--nanogcg",
                 flags->nanogcg,
                 "Rows of gcg with nanoGCG's own settings: 512 candidates, 250 steps; hours "
                 "(refusal, refusal-benign)");
  verb->add_flag("--transformer-lens-processing",
                 flags->has_transformer_lens_processing,
                 concat(kTransformerLensHelp, " (refusal, refusal-benign)"));
  verb->add_flag("--show-text",
                 flags->show_text,
                 "Show prompts as text in report.html and report.md, not by id alone");
  verb->callback(
      [flags, &common, &run] { run = [flags, &common] { run_audit_verb(*flags, common); }; });
}

}  // namespace rebound
