#include "rebound/audit/answer_replay.h"

#include <algorithm>
#include <set>

#include "rebound/audit/store.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

AnswerAuditSpec spec_of(const fs::path& run) {
  const std::string file = (run / "spec.json").string();
  const Json json = read_json_file(file);
  const Json behaviour = json.is_object() ? json.value("behaviour", Json()) : Json();
  const std::string kind = behaviour.is_object() ? behaviour.value("kind", "") : "";
  require<ConfigError>(is_answer_behaviour(kind),
                       file,
                       ": got a run of \"",
                       kind,
                       "\", expected one of whole answers (refusal, refusal-benign)");
  AnswerAuditSpec spec = read_answer_spec(json, file);
  const AnswerRowSpec& row = spec.headline();
  require<ConfigError>(!row.is_at_input() && row.kind == RowKind::kAttack,
                       file,
                       ": got the headline row ",
                       row.name(),
                       ", expected an attack on activations");
  return spec;
}

std::string stored_hash(const StoredExample& example, const std::string& where) {
  const Json base = example.extra.is_object() ? example.extra.value("base", Json()) : Json();
  require<DataError>(base.is_object() && base.contains("sha256") && base.at("sha256").is_string(),
                     where,
                     ": example ",
                     example.id,
                     ": got no hash of its base answer, expected one");
  return base.at("sha256").get<std::string>();
}

std::vector<AnswerFlip> flips_of(const AnswerReplay& replay,
                                 const std::vector<StoredExample>& examples,
                                 const std::string& where) {
  const AnswerSubject& subject = replay.subject;
  const auto answers = answer_all(subject, subject.test, {}, replay.spec.max_new_tokens);
  std::vector<AnswerFlip> flips;
  for (const StoredExample& example : examples) {
    if (!example.is_valid) continue;
    const auto i = static_cast<size_t>(example.prompt);
    require<DataError>(
        example.prompt >= 0 && i < subject.test.size() && subject.test[i].request.id == example.id,
        where,
        ": got request ",
        example.id,
        " at place ",
        example.prompt,
        ", expected the requests of spec.json");
    const std::string hash = redact(subject.text_of(answers[i]), "").sha256;
    require<DataError>(
        hash == stored_hash(example, where),
        where,
        ": the base answer to ",
        example.id,
        " came out otherwise than in the run, expected the same (model file, number of "
        "threads and machine of the run)");
    flips.push_back({&subject.test[i], example.prompt, answers[i], {}});
  }
  return flips;
}

void cut_batches(AnswerReplay& replay, const std::vector<AnswerFlip>& flips) {
  const auto width = static_cast<size_t>(replay.spec.batch);
  for (size_t first = 0; first < flips.size(); first += width) {
    AnswerBatch batch{&replay.subject, &replay.spec, replay.defence.plan, {}, {}};
    batch.first_flip = static_cast<int64_t>(first);
    const size_t end = std::min(flips.size(), first + width);
    batch.flips.assign(flips.begin() + static_cast<std::ptrdiff_t>(first),
                       flips.begin() + static_cast<std::ptrdiff_t>(end));
    replay.batches.push_back(std::move(batch));
  }
}

// Returns how many flips the row recovered.
size_t mark_recovered(AnswerReplay& replay, const std::vector<StoredResult>& results) {
  std::set<int64_t> recovered;
  for (const StoredResult& result : results) {
    replay.score[result.prompt] = result.score;
    if (result.recovered) recovered.insert(result.prompt);
  }
  size_t n = 0;
  for (const AnswerBatch& batch : replay.batches) {
    std::vector<int64_t> places;
    for (size_t i = 0; i < batch.flips.size(); ++i) {
      if (recovered.count(batch.flips[i].index)) places.push_back(static_cast<int64_t>(i));
    }
    n += places.size();
    replay.recovered.push_back(std::move(places));
  }
  return n;
}

}  // namespace

std::unique_ptr<const AnswerReplay> replay_answers(const fs::path& run) {
  auto replay = std::make_unique<AnswerReplay>();
  replay->spec = spec_of(run);
  const fs::path file = run / "run.sqlite";
  const Store store = Store::open_read_only(file);
  const auto choice = store.artefact("choice");
  require<DataError>(
      choice.has_value(), file.string(), ": got no chosen defence, expected a finished run");
  replay->subject = load_answer_subject(replay->spec);
  replay->defence =
      restore_answer_defence(replay->spec, replay->subject, parse_json(*choice, file.string()));
  say(concat("answering ", replay->subject.test.size(), " requests without the defence"));
  cut_batches(*replay, flips_of(*replay, store.examples(), file.string()));
  const std::string row = replay->spec.headline().name();
  replay->results = store.results(row);
  const size_t n = mark_recovered(*replay, replay->results);
  require<DataError>(
      n > 0, file.string(), ": got no request that ", row, " recovers, expected some");
  return replay;
}

}  // namespace rebound
