// rebound cost: what a splice costs in cross-entropy and in training compute.
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cost_family.h"
#include "format_text.h"
#include "rebound/audit/clamp_file.h"
#include "rebound/audit/defence_file.h"
#include "rebound/audit/subject.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/base/progress.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/intervene/clamp_plan.h"
#include "rebound/io/hub_cache.h"
#include "rebound/report/table.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/sae_lens_format.h"
#include "rebound/sae/self_check.h"
#include "rebound/sae/sinks.h"
#include "rebound/sae/text_files.h"
#include "rebound/scaling/cost.h"
#include "rebound/scaling/splice_loss.h"
#include "rebound/text/load.h"
#include "verb.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCurves = "assets/scaling";
constexpr const char* kHeldOut = "data/text/heldout.txt.gz";
constexpr int64_t kCostContexts = 32, kCheckContexts = 8;

struct CostFlags {
  std::string sae, defence, model, curve, text;  // empty: not given
  int64_t contexts = 0;                          // 0: the curve's, else kCostContexts
};

std::vector<fs::path> shipped_curves() {
  std::vector<fs::path> files;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(find_project_path(kCurves))) {
      if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
  } catch (const IoError&) {
    say(concat(kCurves, ": not found, so no curve that comes with the project is known"));
  }
  std::sort(files.begin(), files.end());
  return files;
}

struct DefenceOfPath {
  const Json& clamps;
  std::string model;  // its path
};

// What is spliced in, and what keeps it alive.
struct Splice {
  std::optional<Sae> sae;
  std::optional<ClampPlan> plan;
  Hooks hooks;
  Json check;  // of the SAE's fit

  Splice() = default;
  Splice(const Splice&) = delete;  // hooks point into it
};

void load_splice(const CostFlags& flags,
                 const DefenceOfPath& defence,
                 const Transformer& model,
                 const at::Tensor& contexts,
                 Splice& splice) {
  if (flags.sae.empty()) {
    const Tokenizer tokenizer = load_tokenizer(defence.model);
    splice.plan = with_context(flags.defence, [&] {
      return ClampPlan(read_clamps(defence.clamps, model, &tokenizer), model.config());
    });
    splice.hooks = splice.plan->hooks();
    return;
  }
  splice.sae = load_sae(find_sae(flags.sae));
  splice.hooks = splice_hooks(*splice.sae, model.config());
  const SelfCheck check =
      self_check(*splice.sae, model, batch_of_contexts(contexts.slice(0, 0, kCheckContexts)));
  if (!(check.fvu <= 1)) say(concat("this SAE does not fit the model: ", check.summary()));
  splice.check = check.to_json();
}

// The text whose losses are compared, and what of it the curve asks for.
struct CostText {
  std::string name, sha256;
  fs::path path;
  ContextOptions cut;
};

CostText choose_text(const CostFlags& flags, const CurveChoice& choice) {
  const CurveText* of_curve = choice.curve && choice.curve->text ? &*choice.curve->text : nullptr;
  CostText text;
  text.name = !flags.text.empty() ? flags.text : of_curve ? of_curve->file : kHeldOut;
  text.path =
      flags.text.empty() ? find_text(text.name, choice.file.parent_path()) : fs::path(flags.text);
  text.sha256 = sha256_of_file(text.path);
  text.cut.length = of_curve ? of_curve->context_length : kSaeContextLength;
  const int64_t usual = of_curve ? of_curve->contexts : kCostContexts;
  text.cut.max_contexts = flags.contexts > 0 ? flags.contexts : usual;
  return text;
}

struct CostResult {
  double ce_clean = 0;
  std::vector<SpliceCost> costs;  // the splice, then ablations of its site
  std::string reason;             // why no share is known; "" when one is
};

CostResult measure(const Transformer& model,
                   const Splice& splice,
                   const at::Tensor& contexts,
                   const ComputePrice* price,
                   double training_compute) {
  const std::vector<double> clean = context_losses(model, contexts);
  CostResult result;
  for (const double loss : clean) result.ce_clean += loss / static_cast<double>(clean.size());
  const auto add = [&](const char* name, const Hooks& hooks) {
    result.costs.push_back(
        cost_of(name, clean, context_losses(model, contexts, hooks), price, training_compute));
  };
  add("spliced", splice.hooks);
  if (splice.sae) {
    const Site site = parse_site(splice.sae->config().hook_name);
    add("mean", ablation_hooks(site, mean_activation(model, site, contexts)));
    add("zero", ablation_hooks(site, at::zeros({model.d_model()})));
  }
  if (price != nullptr && !price->is_inside(result.ce_clean)) {
    result.reason = concat("the model's own loss, ",
                           result.ce_clean,
                           ", lies outside the fitted range: ",
                           price->law().loss_at(price->most_compute()),
                           "..",
                           price->law().loss_at(price->least_compute()));
  }
  return result;
}

Json curve_json(const CurveChoice& choice, const ComputePrice& price) {
  const PowerLaw& law = price.law();
  return {{"file", choice.file.string()},
          {"family", choice.curve->family},
          {"e", law.e},
          {"a", law.a},
          {"b", law.b},
          {"runs", choice.curve->runs.size()},
          {"least_compute", price.least_compute()},
          {"most_compute", price.most_compute()},
          {"draws", price.draws()},
          {"draws_without_law", price.draws_without_law()},
          {"model", choice.run ? Json(choice.run->name) : Json()},
          {"training_compute", choice.run ? Json(choice.run->compute) : Json()}};
}

std::string percent(const std::optional<ComputeShare>& share) {
  if (!share) return "-";
  const Estimate& e = share->share;
  if (share->relation == ShareRelation::kBelow) return format_text("< %.2f %%", 100 * e.value);
  if (share->relation == ShareRelation::kAbove) return format_text("> %.1f %%", 100 * e.value);
  const std::string value = format_text("%.1f %%", 100 * e.value);
  if (std::isnan(e.low)) return value;  // of one context
  if (std::isinf(e.high)) return value + format_text(" [%.1f, unbounded]", 100 * e.low);
  return value + format_text(" [%.1f, %.1f]", 100 * e.low, 100 * e.high);
}

std::string nats_or_value(const Estimate& e) {
  if (std::isnan(e.low)) return format_text("%.4f", e.value);
  return format_text("%.4f [%.4f, %.4f]", e.value, e.low, e.high);
}

void print_cost(const CostResult& result,
                const std::string& model,
                const CostText& from,
                const ComputePrice* price) {
  std::printf("%s, %s\n", model.c_str(), from.name.c_str());
  Table table{.title = "with 95 % intervals",
              .columns = {{""},
                          {"nats a token", true},
                          {"more than as it is", true},
                          {"compute worth", true},
                          {"of what training took", true}},
              .rows = {{"as it is", format_text("%.4f", result.ce_clean), "", "100 %", ""}}};
  if (!result.reason.empty()) table.rows[0][3] = "-";
  for (const SpliceCost& cost : result.costs) {
    table.rows.push_back({cost.name == "spliced" ? cost.name : cost.name + " ablation",
                          format_text("%.4f", cost.ce),
                          nats_or_value(cost.delta_ce),
                          percent(cost.share),
                          percent(cost.of_training)});
  }
  constexpr size_t kWidth = 140;
  std::fputs(text_tables({table}, kWidth).c_str(), stdout);
  if (!result.reason.empty()) std::printf("compute worth not known: %s\n", result.reason.c_str());
  if (price != nullptr && price->draws_without_law() > 0) {
    std::printf("draws of the curve that no law fits, left out of the intervals: %lld of %lld\n",
                static_cast<long long>(price->draws_without_law()),
                static_cast<long long>(price->draws()));
  }
}

Json text_json(const CostText& from, const at::Tensor& contexts) {
  return {{"file", from.name},
          {"sha256", from.sha256},
          {"contexts", contexts.size(0)},
          {"context_length", contexts.size(1)}};
}

Json result_json(const CostResult& result) {
  Json json = to_json(result.costs.front());
  json["ce_spliced"] = json["ce"];
  json.erase("ce");
  json["ce_clean"] = result.ce_clean;
  json["reason"] = result.reason.empty() ? Json() : Json(result.reason);
  json["references"] = Json::object();
  for (size_t i = 1; i < result.costs.size(); ++i) {
    json["references"][result.costs[i].name] = to_json(result.costs[i]);
  }
  return json;
}

void run_cost(const CostFlags& flags, const CommonFlags& common) {
  require<ConfigError>(flags.sae.empty() != flags.defence.empty(),
                       "cost: expected one of --sae and --defence (or train, fit)");
  DefenceFile defence;
  if (!flags.defence.empty()) defence = read_defence_file(flags.defence);
  const std::string path = find_model(flags.model.empty() ? defence.model : flags.model);
  const CurveChoice choice = choose_curve(path, flags.curve, shipped_curves());
  std::optional<ComputePrice> price;
  if (choice.curve) {
    price = with_context(choice.file.string(), [&] { return ComputePrice(*choice.curve); });
  }
  const CostText from = choose_text(flags, choice);
  require_unseen_text(defence.chosen_on, from.path, from.cut.max_contexts, from.cut.length);
  ModelLoadOptions form = dtype_named(common.dtype);
  form.has_transformer_lens_processing = defence.has_transformer_lens_processing;
  if (!flags.sae.empty()) form = load_options_of(load_sae(find_sae(flags.sae)), form);
  const Transformer model = load_model(path, form);
  const at::Tensor contexts = read_contexts({from.path}, path, from.cut);
  const std::string reason = choice.curve ? text_mismatch(*choice.curve,
                                                          flags.text.empty(),
                                                          from.sha256,
                                                          {contexts.size(0), contexts.size(1)})
                                          : choice.reason;
  Splice splice;
  load_splice(flags, {defence.clamps, path}, model, contexts, splice);
  const ComputePrice* usable = price && reason.empty() ? &*price : nullptr;
  CostResult result =
      measure(model, splice, contexts, usable, choice.run ? choice.run->compute : 0);
  if (!reason.empty()) result.reason = reason;
  const std::string name = name_of_path(path);
  if (!common.json) return print_cost(result, name, from, usable);

  Json json = result_json(result);
  json["model"] = name;
  json["dtype"] = common.dtype;
  json["sae"] = splice.sae ? Json(flags.sae) : Json();
  json["site"] = splice.sae ? Json(splice.sae->config().hook_name) : Json();
  json["check"] = splice.check;
  json["defence"] = splice.plan ? Json{{"clamps", splice.plan->to_json()}} : Json();
  json["text"] = text_json(from, contexts);
  json["curve"] = price ? curve_json(choice, *price) : Json();
  std::printf("%s\n", json.dump().c_str());
}

}  // namespace

void add_cost_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<CostFlags>();
  CLI::App* verb =
      app.add_subcommand("cost", "What an SAE or a defence costs: cross-entropy, training compute");
  verb->require_subcommand(0, 1);
  verb->fallthrough();
  verb->add_option(
      "--sae", flags->sae, "SAE folder, file or ORG/NAME:PATH, spliced in at its site");
  verb->add_option(
      "--defence", flags->defence, "Clamps or a finished audit, as in rebound utility");
  verb->add_option("--model", flags->model, kModelHelp);
  verb->add_option("--curve", flags->curve, "Scaling curve of the model's family");
  verb->add_option(
      "--text", flags->text, "Held-out text [the curve's, else data/text/heldout.txt.gz]");
  verb->add_option("--contexts", flags->contexts, "Contexts of it; 0: the curve's, else 32")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_cost_family(*verb, common, run);
  verb->callback([=, &common, &run] {
    if (!verb->get_subcommands().empty()) return;
    run = [=, &common] { run_cost(*flags, common); };
  });
}

}  // namespace rebound
