#include "tpp_scr.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "model_plan.h"
#include "probe_setup.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/io/hub_cache.h"
#include "rebound/probe/harmful_intent.h"
#include "rebound/probe/text_activations.h"
#include "rebound/report/table.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kScrContext = 128;  // tokens, as SAEBench's

// Requests of harmful_intent's train and test splits, each in both wrappers of training: label 1 is
// a harmful request, spurious 1 the first wrapper. Every combination is there by construction.
ScrTask intent_wrapper() {
  std::vector<const Wrapper*> wrappers;
  for (const Wrapper& wrapper : request_wrappers()) {
    if (wrapper.is_for_training) wrappers.push_back(&wrapper);
  }
  std::vector<LabelledText> texts;
  std::vector<bool> is_spurious;
  for (const LabelledText& request : intent_requests()) {
    if (request.split != Split::kTrain && request.split != Split::kTest) continue;
    for (size_t w = 0; w < 2; ++w) {
      LabelledText text = request;
      text.id += "+" + wrappers.at(w)->name;
      text.text = wrappers.at(w)->around(normalise_format(request.text));
      texts.push_back(std::move(text));
      is_spurious.push_back(w == 0);
    }
  }
  return make_scr_task(kScrTask, std::move(texts), std::move(is_spurious), /*is_chat=*/true);
}

Json counts_of(const ScrTask& task) {
  Json counts = Json::object();
  for (const Split split : {Split::kTrain, Split::kTest}) {
    for (const bool label : {false, true}) {
      for (const bool spurious : {false, true}) {
        counts[to_string(split)][concat("label ", label, ", spurious ", spurious)] =
            task.of(label, spurious, split).size();
      }
    }
  }
  return counts;
}

std::string three_decimals(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

void print_scr(const ScrReport& report, const Json& json) {
  constexpr size_t kWidth = 160;
  Table table{.title = json.at("task").get<std::string>(),
              .columns = {{"removed"},
                          {"n", true},
                          {"clean", true},
                          {"biased probe", true},
                          {"after ablation", true},
                          {"SCR", true}},
              .rows = {},
              .note =
                  "accuracies on the attribute that is kept, four combinations in equal numbers; "
                  "*: the direction reported"};
  for (const ScrRow& row : report.rows) {
    table.rows.push_back({row.removed + (row.is_reported ? " *" : ""),
                          std::to_string(row.n),
                          three_decimals(row.clean),
                          three_decimals(row.original),
                          three_decimals(row.changed),
                          three_decimals(row.scr)});
  }
  std::printf("%s, %s, %lld training texts (%lld for the biased probe), %lld test texts\n",
              json.at("model").get<std::string>().c_str(),
              json.at("hook").get<std::string>().c_str(),
              static_cast<long long>(report.n_train),
              static_cast<long long>(report.n_train_biased),
              static_cast<long long>(report.n_test));
  std::fputs(text_tables({table}, kWidth).c_str(), stdout);
  for (const auto& [n, scr] : report.scores)
    std::printf("  SCR_%lld %.3f\n", static_cast<long long>(n), scr);
}

}  // namespace

void run_scr_verb(const ScrFlags& flags, const CommonFlags& common) {
  require<ConfigError>(flags.cache_mb >= 0, "--cache-mb must be >= 0, got ", flags.cache_mb);
  const ScrTask task =
      first_of_each(flags.data.empty() ? intent_wrapper() : read_scr_task(flags.data), flags.texts);
  ProbeFlags place;
  place.sae = flags.sae;
  const auto sae = sae_of(place);
  usable_counts(flags.options.n, {}, sae->d_sae());  // before the model is read
  const std::string path = find_model(flags.model);
  const HarvestOptions harvest = {.max_tokens = kScrContext};
  const ProbeTask texts = {.name = task.name, .is_chat = task.is_chat, .texts = task.texts};
  const auto chat = load_chat_template(path);
  const auto ids = encode_texts(texts, load_tokenizer(path), chat ? &*chat : nullptr, harvest);
  const ModelLoadOptions form =
      processed_form(dtype_named(common.dtype), flags.has_transformer_lens_processing, sae.get());
  const Transformer model = load_model(path, form);
  check_sae(*sae, model, ids);
  ActivationCache cache(
      static_cast<int64_t>(ids.size()), model.d_model(), {.memory_bytes = flags.cache_mb << 20});
  harvest_texts(model, parse_site(sae->config().hook_name), ids, cache, harvest);
  const ScrReport report = run_scr(task, cache, *sae, flags.options);
  Json json = {{"rows", Json::array()}, {"scores", Json::array()}};
  for (const ScrRow& row : report.rows) json["rows"].push_back(row.to_json());
  for (const auto& [n, scr] : report.scores) json["scores"].push_back({{"n", n}, {"scr", scr}});
  json.update({{"task", task.name},
               {"hook", sae->config().hook_name},
               {"model", name_of_path(path)},
               {"sae", sae_name_of(place)},
               {"transformer_lens_processing", form.has_transformer_lens_processing},
               {"texts", counts_of(task)},
               {"dropped", task.dropped},
               {"n_train", report.n_train},
               {"n_train_biased", report.n_train_biased},
               {"n_test", report.n_test},
               {"tokens", cache.token_count()}});
  if (!flags.out.empty()) {
    std::error_code failure;
    fs::create_directories(flags.out, failure);
    require<IoError>(!failure, flags.out, ": cannot create: ", failure.message());
    write_file_atomically(fs::path(flags.out) / "scr.json", json.dump(1) + "\n");
  }
  if (common.json) {
    std::printf("%s\n", json.dump().c_str());
  } else {
    print_scr(report, json);
  }
}

}  // namespace rebound
