#include "rebound/audit/answer_path.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>

#include "rebound/audit/answer_judge.h"
#include "rebound/audit/answer_search.h"
#include "rebound/audit/path_report.h"
#include "rebound/audit/subject.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/intervene/defence.h"
#include "rebound/sae/sae_lens_config.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr size_t kAnswersAtOnce =
    32;  // more cost memory (50 MB of keys and values each 10), and are no faster

// Sites of clamps on directions.
std::set<std::string> free_sites(const ClampPlan& plan) {
  std::set<std::string> sites;
  for (const auto& clamp : plan.clamps()) {
    if (!dynamic_cast<const Defence*>(clamp.get())) sites.insert(to_string(clamp->site()));
  }
  return sites;
}

// Folders of shipped SAEs of this model file at these sites; of several at one site the first by
// name.
std::vector<std::string> shipped_saes(std::set<std::string> sites,
                                      const std::string& model_sha256) {
  std::set<fs::path> folders;
  try {
    for (const auto& entry : fs::directory_iterator(find_project_path("assets/sae"))) {
      if (fs::exists(entry.path() / "cfg.json") &&
          fs::exists(entry.path() / "sae_weights.safetensors")) {
        folders.insert(entry.path());
      }
    }
  } catch (const IoError&) {
    return {};  // a program away from its project has none
  }
  std::vector<std::string> fitting;
  for (const fs::path& folder : folders) {
    const std::string file = (folder / "cfg.json").string();
    const SaeConfig config = parse_sae_lens_config(read_json_file(file), file).sae;
    if (config.metadata.value("model_sha256", Json()) != Json(model_sha256)) continue;
    if (sites.erase(config.hook_name)) fitting.push_back(folder.string());
  }
  return fitting;
}

std::string name_of_folder(const std::string& folder) {
  return fs::path(folder).lexically_normal().filename().string();
}

// Places in the batch of the flips that the row recovers.
std::vector<int64_t> recovered_flips(const AnswerBatch& batch,
                                     const Store& store,
                                     const std::string& row) {
  std::set<int64_t> recovered;
  for (const StoredResult& result : store.results(row)) {
    if (result.recovered) recovered.insert(result.prompt);
  }
  std::vector<int64_t> places;
  for (size_t i = 0; i < batch.flips.size(); ++i) {
    if (recovered.count(batch.flips[i].index)) places.push_back(static_cast<int64_t>(i));
  }
  return places;
}

// 1 where the model answers on topic with the perturbation in place, else 0. [n] each, of
// batch.flips
std::vector<at::Tensor> judged_answers(const AnswerBatch& batch,
                                       const std::vector<at::Tensor>& perturbations) {
  const size_t n = batch.flips.size(), step = std::max<size_t>(1, kAnswersAtOnce / n);
  std::vector<at::Tensor> won;
  for (size_t first = 0; first < perturbations.size(); first += step) {
    const size_t end = std::min(perturbations.size(), first + step);
    std::vector<std::vector<int64_t>> prompts;
    for (size_t v = first; v < end; ++v) {
      for (std::vector<int64_t>& prompt : batch.prompts()) prompts.push_back(std::move(prompt));
    }
    const auto begin = perturbations.begin();
    const at::Tensor deltas = at::cat(std::vector<at::Tensor>(
        begin + static_cast<std::ptrdiff_t>(first), begin + static_cast<std::ptrdiff_t>(end)));
    const AttackedAnswers answers = generate_attacked(*batch.subject->model,
                                                      *batch.plan,
                                                      prompts,
                                                      deltas,
                                                      Span::kNone,
                                                      {.max_new_tokens = batch.spec->max_new_tokens,
                                                       .has_twin = false,
                                                       .stop_tokens = batch.subject->stop_tokens});
    for (size_t v = first; v < end; ++v) {
      at::Tensor mine = at::zeros({static_cast<int64_t>(n)});
      for (size_t i = 0; i < n; ++i) {
        mine[static_cast<int64_t>(i)] =
            judge(batch, i, answers.tokens[(v - first) * n + i], {}).recovered ? 1 : 0;
      }
      won.push_back(mine);
    }
  }
  return won;
}

Json top_features_json(const std::vector<SiteFeature>& features, const ClampPlan& plan) {
  Json names = Json::array();
  for (const SiteFeature& top : features) {
    names.push_back(concat(to_string(plan.clamps()[top.site]->site()), ": ", top.feature));
  }
  return names;
}

}  // namespace

PathDictionaries load_path_dictionaries(const AnswerAuditSpec& spec,
                                        const ClampPlan& plan,
                                        const AnswerSubject& subject) {
  const std::vector<std::string> folders =
      spec.attribution.saes.empty() ? shipped_saes(free_sites(plan), subject.model_sha256)
                                    : spec.attribution.saes;
  std::vector<std::shared_ptr<const Sae>> saes;
  std::map<std::string, std::string> name_at;
  for (const std::string& folder : folders) {
    saes.push_back(
        std::make_shared<const Sae>(load_sae(find_sae(folder)).to(subject.model->device())));
    check_fits(*saes.back(), subject.model->config());
    name_at[saes.back()->config().hook_name] = name_of_folder(folder);
  }
  PathDictionaries dictionaries{site_dictionaries(plan, saes), {}};
  for (size_t i = 0; i < plan.size(); ++i) {
    const bool is_own = !dictionaries.of_site[i].clamped.empty();
    if (is_own) {
      dictionaries.names.push_back(
          concat("the clamp's own (d_sae ", dictionaries.of_site[i].sae->d_sae(), ")"));
      continue;
    }
    const auto found = name_at.find(to_string(plan.clamps()[i]->site()));
    dictionaries.names.push_back(found == name_at.end() ? "none" : found->second);
  }
  return dictionaries;
}

Json attribute_answers(const AnswerBatch& batch,
                       const Store& store,
                       const PathDictionaries& dictionaries) {
  const AnswerRowSpec& row = batch.spec->headline();
  if (row.is_at_input() || row.kind != RowKind::kAttack) return nullptr;
  const std::vector<int64_t> places = recovered_flips(batch, store, row.name());
  if (places.empty()) return nullptr;
  const auto started = std::chrono::steady_clock::now();
  const at::Tensor index = at::tensor(places, at::kLong);
  const CrossSolution solution =
      search_answers(batch, row, batch.problem(*batch.subject->search, batch.base_answers()));
  const CrossProblem problem =
      batch.problem(*batch.subject->model, batch.base_answers()).select(index);
  AnswerBatch recovered = batch;
  recovered.flips.clear();
  CrossPathOptions options{.top_k = batch.spec->attribution.top_k, .seed = batch.spec->seed};
  Json requests = Json::array();
  for (const int64_t place : places) {
    const AnswerFlip& flip = batch.flips[static_cast<size_t>(place)];
    recovered.flips.push_back(flip);
    options.ids.push_back(flip.index);
    requests.push_back(flip.posed->request.id);
  }
  const at::Tensor scale =
      delta_scales(store.results(row.name()), recovered.flips).to(solution.delta.device());
  const CrossSplit found =
      split_cross(problem,
                  solution.delta.index_select(0, index.to(solution.delta.device())) * scale,
                  cross_rung_of(row.constraint).projected,
                  dictionaries.of_site,
                  options);
  std::vector<at::Tensor> variants = path_variants(found.split);
  Json json = to_json(path_figures(found.split, replay_scores(problem, variants)));
  // Nothing in place is the defended answer, which is a refusal.
  variants.erase(variants.begin());
  std::vector<at::Tensor> won = judged_answers(recovered, variants);
  won.insert(won.begin(), at::zeros({index.numel()}));
  json["recovered"] = to_json(path_figures(found.split, won));
  json["requests"] = requests;
  for (size_t i = 0; i < batch.plan->size(); ++i) {
    const at::Tensor norms =
        found.split.whole.select(1, static_cast<int64_t>(i)).flatten(1).norm(2, -1);
    Json& mine = json["site_norms"][to_string(batch.plan->clamps()[i]->site())] = Json::array();
    for (int64_t e = 0; e < norms.numel(); ++e) mine.push_back(norms[e].item<double>());
  }
  json["top_features"] = top_features_json(found.top_features, *batch.plan);
  json["seconds"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return json;
}

Json summarise_answer_paths(const Store& store,
                            int64_t n_batches,
                            const ClampPlan& plan,
                            const PathDictionaries& dictionaries) {
  Json summary = summarise_paths(store, n_batches);
  if (summary.empty()) return summary;
  Json sites = Json::array(), top = Json::array();
  double seconds = 0;
  std::set<std::string> seen;
  std::map<std::string, std::vector<double>> norms;
  for (int64_t batch = 0; batch < n_batches; ++batch) {
    const auto text = store.artefact(concat("path/", batch));
    const Json json = text ? parse_json(*text, "run.sqlite") : Json();
    if (!json.is_object()) continue;
    seconds += json.at("seconds").get<double>();
    for (const Json& name : json.at("top_features")) {
      if (seen.insert(name.get<std::string>()).second) top.push_back(name);
    }
    for (const auto& [site, values] : json.at("site_norms").items()) {
      for (const Json& value : values) norms[site].push_back(value.get<double>());
    }
  }
  for (size_t i = 0; i < plan.size(); ++i) {
    const std::string site = to_string(plan.clamps()[i]->site());
    sites.push_back(
        {{"name", site}, {"sae", dictionaries.names[i]}, {"norm_mean", mean(norms[site])}});
  }
  summary["sites"] = sites;
  summary["top_other_features"] = top;
  summary["seconds_per_prompt"] = seconds / summary.at("full").at("n").get<double>();
  summary["note"] =
      "recovered: on topic when answered with the part in place, without the projection after its "
      "rows; shapley: of "
      "the forced target's mean log-probability. Without an SAE at a site its features count as "
      "outside the dictionary. "
      "Under forward projection clamped features are what the projection adds at later sites";
  return summary;
}

}  // namespace rebound
