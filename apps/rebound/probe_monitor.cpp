// rebound probe --monitor RUN: a probe that never saw the clamps, beside an audit of whole answers.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "probe_setup.h"
#include "rebound/audit/answer_monitor.h"
#include "rebound/base/error.h"
#include "rebound/base/progress.h"
#include "rebound/probe/harmful_intent.h"
#include "rebound/probe/text_activations.h"
#include "rebound/report/table.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDefaultLatents = 20;

// The train split alone, without texts that are requests of the run or near-duplicates of one.
ProbeTask training_part(const ProbeTask& task, const AnswerSubject& subject, int64_t& left_out) {
  std::set<std::string> groups, texts;
  for (const PosedRequest& posed : subject.test) {
    groups.insert(group_of(posed.set, posed.request));
    texts.insert(normalise_format(posed.request.text));
  }
  ProbeTask part{.name = task.name, .is_chat = task.is_chat};
  for (const LabelledText& text : task.texts) {
    if (text.split != Split::kTrain) continue;
    const bool is_of_run =
        groups.count(text.group) > 0 || texts.count(normalise_format(text.text)) > 0;
    left_out += is_of_run;
    if (!is_of_run) part.texts.push_back(text);
  }
  return part;
}

// Held-out texts of the class that the run's requests are not of, taken evenly.
std::vector<OtherRequest> other_requests(const ProbeTask& task,
                                         const AnswerReplay& replay,
                                         int64_t most) {
  const bool is_own_harmful = replay.batches.front().flips.front().posed->request.is_harmful;
  std::vector<const LabelledText*> pool;
  for (const LabelledText& text : task.texts) {
    if (text.split == Split::kTest && text.is_positive != is_own_harmful) pool.push_back(&text);
  }
  const auto n = std::min(static_cast<size_t>(most), pool.size());
  std::map<std::string, int64_t> cluster;
  std::vector<OtherRequest> others;
  for (size_t i = 0; i < n; ++i) {
    const LabelledText& text = *pool[i * pool.size() / n];
    OtherRequest other;
    other.posed.request = {.id = text.id, .text = text.text, .is_harmful = text.is_positive};
    other.posed.set = task.name;
    other.posed.ids = replay.subject.prompt_of(text.text);
    other.cluster = cluster.emplace(text.group, static_cast<int64_t>(cluster.size())).first->second;
    others.push_back(std::move(other));
  }
  return others;
}

std::vector<MonitorProbe> fit(const ProbeFlags& flags,
                              const ProbeTask& train,
                              const AnswerSubject& subject) {
  require<ConfigError>(flags.options.k.size() <= 1,
                       "--k: got ",
                       flags.options.k.size(),
                       " numbers, expected one with --monitor");
  const auto sae = sae_of(flags);
  FittedProbe place{
      .task = train.name, .site = {}, .pooler = parse_pooler(flags.pool), .model = {}};
  place.site = parse_site(sae ? sae->config().hook_name : flags.hook);
  const auto ids = encode_texts(train, *subject.tokenizer, subject.chat.get());
  if (sae) check_sae(*sae, *subject.model, ids);
  ActivationCache cache(static_cast<int64_t>(ids.size()),
                        subject.model->d_model(),
                        {.memory_bytes = flags.cache_mb << 20});
  harvest_texts(*subject.model, place.site, ids, cache);
  const PooledFeatures features = pool_features(cache, place.pooler, sae.get());
  return fit_monitors(train,
                      features,
                      place,
                      sae,
                      flags.options.k.empty() ? kDefaultLatents : flags.options.k.front());
}

std::string estimate_text(const Estimate& e, int digits) {
  if (!std::isfinite(e.value)) return "-";
  char text[64];
  std::snprintf(
      text, sizeof text, "%.*f [%.*f, %.*f]", digits, e.value, digits, e.low, digits, e.high);
  return text;
}

Table table_of(const MonitorReport& report) {
  Table table{.title = concat(report.n,
                              " requests that ",
                              report.row,
                              " recovers, ",
                              report.n_other,
                              " texts of the other class; 95 % intervals"),
              .columns = {{"probe, window, state"},
                          {"AUROC", true},
                          {"score", true},
                          {"above the 1 % threshold", true},
                          {"others above", true},
                          {"score - base", true},
                          {"distance to base", true}},
              .rows = {}};
  for (const MonitorRow& row : report.rows) {
    char others[16];
    std::snprintf(others, sizeof others, "%.2f", row.other_above);
    table.rows.push_back({concat(row.probe, " ", row.window, " ", row.state),
                          estimate_text(row.auroc, 3),
                          estimate_text(row.mean, 2),
                          estimate_text(row.above, 2),
                          std::isfinite(row.other_above) ? others : "-",
                          estimate_text(row.shift, 2),
                          estimate_text(row.distance, 3)});
  }
  return table;
}

}  // namespace

void run_monitor(const ProbeFlags& flags, const CommonFlags& common) {
  require<ConfigError>(flags.model.empty(),
                       "--model: got it with --monitor, expected the run's model alone");
  require<ConfigError>(flags.cache_mb >= 0, "--cache-mb must be >= 0, got ", flags.cache_mb);
  const ProbeTask task = load_task(flags);
  const auto replay = replay_answers(flags.monitor);
  int64_t left_out = 0;
  const ProbeTask train = training_part(task, replay->subject, left_out);
  say(concat("fitting probes of ", task.name, " on ", train.texts.size(), " texts"));
  const std::vector<MonitorProbe> probes = fit(flags, train, replay->subject);
  // The labels of another task say nothing about the run's requests.
  const bool is_about_requests = flags.data.empty() && flags.task == kHarmfulIntent;
  const auto others =
      is_about_requests ? other_requests(task, *replay, flags.others) : std::vector<OtherRequest>();
  const MonitorReport report =
      monitor_answers(*replay,
                      probes,
                      others,
                      {.draws = flags.options.bootstrap_draws, .seed = flags.options.seed});
  const std::string site = to_string(probes.front().fitted.site);
  if (common.json) {
    Json json = report.to_json();
    json["task"] = task.name;
    json["hook"] = site;
    json["pool"] = flags.pool;
    json["run"] = fs::path(flags.monitor).lexically_normal().filename().string();
    json["behaviour"] = replay->spec.behaviour.kind;
    json["n_train"] = train.texts.size();
    json["train_left_out"] = left_out;
    json["latents"] = probes.back().latents;
    std::printf("%s\n", json.dump().c_str());
    return;
  }
  constexpr size_t kWidth = 200;
  std::printf("%s at %s, pool %s; %zu training texts (%lld of the run left out)\n",
              task.name.c_str(),
              site.c_str(),
              flags.pool.c_str(),
              train.texts.size(),
              static_cast<long long>(left_out));
  std::fputs(text_tables({table_of(report)}, kWidth).c_str(), stdout);
  std::printf("searched again: scores differ from the stored ones by at most %.2g nats\n",
              report.score_difference);
}

}  // namespace rebound
