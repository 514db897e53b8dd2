#include "rebound/audit/runner.h"

#include <torch/torch.h>

#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "rebound/audit/batch_context.h"
#include "rebound/audit/controls.h"
#include "rebound/audit/environment.h"
#include "rebound/audit/fold_defence.h"
#include "rebound/audit/fold_relearn.h"
#include "rebound/audit/fold_summary.h"
#include "rebound/audit/fold_sweep.h"
#include "rebound/audit/path_report.h"
#include "rebound/audit/question_accuracy.h"
#include "rebound/audit/run_folder.h"
#include "rebound/audit/run_progress.h"
#include "rebound/audit/store.h"
#include "rebound/audit/summarise.h"
#include "rebound/audit/training_flips.h"
#include "rebound/audit/utility.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"
#include "rebound/io/hub_cache.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

std::vector<Row> rows_of(const AuditSpec& spec) {
  std::vector<Row> rows = attack_rows(spec.rows);
  for (Row& control : control_rows(spec)) rows.push_back(std::move(control));
  for (Row& comparison : relearn_rows(spec)) rows.push_back(std::move(comparison));
  std::set<std::string> seen;
  std::erase_if(rows, [&](const Row& row) { return !seen.insert(row.head.name).second; });
  return rows;
}

StoredExample to_stored(const ScoredExample& example) {
  const Prompt& prompt = *example.prompt;
  Json extra = {{"cluster", prompt.cluster}};
  if (prompt.fold >= 0) extra["fold"] = prompt.fold;
  return {.prompt = example.index,
          .id = prompt.id,
          .text = prompt.text,
          .ids = prompt.ids,
          .correct = prompt.correct,
          .wrong = prompt.wrong,
          .base_score = example.base_score,
          .defended_score = example.defended_score,
          .is_valid = example.is_valid(),
          .split = "test",
          .extra = extra};
}

// The scores that a run began with: its batches are cut from the flips that they make. Empty for
// none; DataError where they are of other prompts.
std::vector<ScoredExample> examples_from_store(const std::vector<StoredExample>& stored,
                                               const std::vector<Prompt>& prompts) {
  std::vector<ScoredExample> examples;
  if (stored.empty()) return examples;
  require<DataError>(stored.size() == prompts.size(),
                     "run.sqlite: got ",
                     stored.size(),
                     " examples, expected the ",
                     prompts.size(),
                     " prompts of the spec");
  for (size_t i = 0; i < prompts.size(); ++i) {
    const StoredExample& kept = stored[i];
    examples.push_back(
        {&prompts[i], static_cast<int64_t>(i), kept.base_score, kept.defended_score});
    require<DataError>(kept.id == prompts[i].id && kept.ids == prompts[i].ids &&
                           kept.is_valid == examples.back().is_valid(),
                       "run.sqlite: example ",
                       i,
                       " (",
                       kept.id,
                       ") is not the prompt that the spec has there, expected the same prompts as "
                       "when the run began");
  }
  return examples;
}

// Of everything that the spec takes from files.
Json file_hashes(const AuditSpec& spec, const Subject& subject) {
  Json files = Json::object();
  if (!subject.sae_sha256.empty()) {  // not of a toy
    files["model"] = subject.model_sha256.empty() ? hashed_file(find_model(spec.model))
                                                  : Json(subject.model_sha256);
    files["sae"] = subject.sae_sha256;
  }
  const BehaviourSpec& behaviour = spec.behaviour;
  for (const auto& [key, path] : {std::pair{"prompts", behaviour.prompts},
                                  std::pair{"train_prompts", behaviour.train_prompts},
                                  std::pair{"forget", behaviour.forget},
                                  std::pair{"retain", behaviour.retain},
                                  std::pair{"questions", behaviour.questions}}) {
    if (!path.empty()) files[concat("behaviour.", key)] = hashed_file(path);
  }
  return files;
}

class AuditRun {
 public:
  AuditRun(const AuditSpec& spec,
           Store store,
           const fs::path& folder,
           const std::function<bool()>& is_interrupted)
      : spec_(spec), store_(std::move(store)), folder_(folder), is_interrupted_(is_interrupted) {}

  AuditSummary finish() {
    const auto started = std::chrono::steady_clock::now();
    guard_spec(
        store_,
        to_json(spec_),
        [](const Json& kept) { return to_json(read_spec(kept, "run.sqlite")); },
        folder_);
    subject_ = load_subject(spec_);
    guard_files(store_, file_hashes(spec_, subject_), folder_);
    score_prompts();
    const std::vector<Row> rows = rows_of(spec_);
    run_rows(rows);
    measure_cost_of_defence();
    measure_accuracy();
    AuditSummary summary = make_summary(rows);
    finish_run(summary, started, folder_);
    return summary;
  }

 private:
  void score_prompts() {
    examples_ = examples_from_store(store_.examples(), subject_.prompts.test);
    if (examples_.empty()) {
      say(concat(
          "scoring ", subject_.prompts.test.size(), " prompts with and without the defence"));
      examples_ = score_examples(subject_, subject_.prompts.test, spec_.batch);
      std::vector<StoredExample> stored;
      for (const ScoredExample& example : examples_) stored.push_back(to_stored(example));
      store_.put_examples(stored);
    }
    const std::vector<ScoredExample> flips = flips_of(examples_);
    // Cut from all prompts, so that a batch holds the same prompts whatever flips.
    for (const auto& batch : cut_batches(subject_, examples_, spec_.batch)) {
      std::vector<ScoredExample> valid = flips_of(batch);
      if (!valid.empty()) batches_.push_back(std::move(valid));
    }
    n_valid_ = static_cast<int64_t>(flips.size());
    say(concat(n_valid_, " of ", examples_.size(), " prompts are valid flips"));
  }

  void run_rows(const std::vector<Row>& rows) {
    RunPlan plan{.rows = {}, .batches = static_cast<int64_t>(batches_.size())};
    for (const Row& row : rows) plan.rows.push_back(row.head.name);
    put_plan(store_, plan);
    Progress progress("audit", plan.n_parts());
    int64_t done = 0;
    for (size_t b = 0; b < batches_.size(); ++b) {
      BatchContext context = BatchContext::build(subject_, spec_, batches_[b]);
      for (const Row& row : rows) {
        progress.update(done++, row.head.name);
        const int64_t batch = static_cast<int64_t>(b);
        if (store_.is_done(row.head.name, batch)) continue;
        check_interrupt(is_interrupted_, folder_);
        FinishedBatch finished =
            row.run(context, {spec_, store_, train_context(row, context), batch, fold_of(context)});
        finished.row = row.head.name;
        finished.batch = batch;
        store_.put_batch(finished);
      }
      if (!store_.artefact(concat("path/", b))) {
        store_.put_artefact(
            concat("path/", b),
            attribute_batch(context, spec_, store_, static_cast<int64_t>(b)).dump());
      }
    }
    progress.update(done, "done");
  }

  void measure_cost_of_defence() {
    constexpr int64_t kContexts = 8;
    if (!spec_.controls.is_on || store_.artefact("utility")) return;
    say("measuring what the defence costs on harmless text");
    store_.put_artefact("utility", measure_utility(subject_, kContexts).dump());
  }

  // Of an older build, without intervals, it is measured again.
  std::optional<Json> stored_accuracy() const {
    const auto bytes = store_.artefact("accuracy");
    if (!bytes) return std::nullopt;
    Json accuracy = parse_json(*bytes, "run.sqlite");
    return accuracy.at("forget").contains("intervals") ? std::optional(std::move(accuracy)) : std::nullopt;
  }

  void measure_accuracy() {
    if (!spec_.has_folds() || stored_accuracy()) return;
    say("measuring which facts are kept");
    Json accuracy = measure_fact_accuracy(subject_, spec_.batch);
    accuracy["questions"] = measure_question_accuracy(subject_, spec_.behaviour.letters);
    if (spec_.sweep) accuracy["sweep"] = sweep_unlearning(subject_);
    store_.put_artefact("accuracy", accuracy.dump());
  }

  static int64_t fold_of(const BatchContext& context) {
    return std::max<int64_t>(0, context.flips.front().prompt->fold);
  }

  // Built on first use: only shared rows need it. Of facts, one for each fold.
  const BatchContext* train_context(const Row& row, const BatchContext& test) {
    if (row.head.scope != "shared") return nullptr;
    const int64_t fold = fold_of(test);
    if (!training_.count(fold)) training_.emplace(fold, TrainingFlips(subject_, spec_, fold));
    return training_.at(fold).context();
  }

  AuditSummary make_summary(const std::vector<Row>& rows) {
    SummaryInput input{spec_, store_, {}, {}, static_cast<int64_t>(examples_.size()), n_valid_};
    for (const Row& row : rows) input.heads.push_back(row.head);
    for (const ScoredExample& example : examples_) {
      input.clusters.push_back(example.prompt->cluster);
      input.folds.push_back(example.prompt->fold);
    }
    AuditSummary summary = summarise(input);
    if (const auto utility = store_.artefact("utility"); utility && *utility != "null") {
      summary.controls["utility"] = parse_json(*utility, "run.sqlite");
    }
    if (const auto accuracy = stored_accuracy()) {
      add_fact_accuracy(summary, *accuracy, subject_.left_out);
    }
    summary.behaviour = spec_.behaviour.kind;
    summary.model = subject_.model_name;
    summary.sae = subject_.sae_name;
    summary.defence = subject_.defences.front()->to_json();
    if (!subject_.choice.is_null()) summary.defence["choice"] = subject_.choice;
    if (!spec_.has_folds() && !subject_.left_out.is_null()) {
      summary.defence["left_out"] = subject_.left_out;
    }
    summary.environment = describe_environment(subject_, spec_);
    summary.attribution = summarise_paths(store_, static_cast<int64_t>(batches_.size()));
    return summary;
  }

  AuditSpec spec_;
  Store store_;
  fs::path folder_;
  const std::function<bool()>& is_interrupted_;
  Subject subject_;
  std::vector<ScoredExample> examples_;
  std::vector<std::vector<ScoredExample>> batches_;
  int64_t n_valid_ = 0;
  std::map<int64_t, TrainingFlips> training_;  // by fold
};

}  // namespace

AuditSummary run_audit(const AuditSpec& spec,
                       const fs::path& folder,
                       const std::function<bool()>& is_interrupted) {
  spec.validate();
  return run_in_new_folder(folder, to_json(spec), [&](Store store) {
    return AuditRun(spec, std::move(store), folder, is_interrupted).finish();
  });
}

AuditSummary resume_audit(const fs::path& folder, const std::function<bool()>& is_interrupted) {
  const AuditSpec spec =
      read_spec(read_json_file(folder / "spec.json"), (folder / "spec.json").string());
  return AuditRun(spec, open_or_create_store(folder), folder, is_interrupted).finish();
}

}  // namespace rebound
