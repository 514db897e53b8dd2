#include "rebound/serve/bench_model.h"

#include <filesystem>

#include "rebound/audit/subject.h"
#include "rebound/base/error.h"
#include "rebound/io/hub_cache.h"
#include "rebound/sae/load_sae.h"
#include "rebound/sae/self_check.h"
#include "rebound/text/load.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> sae_paths_of(const BenchFiles& files) {
  if (!files.saes.empty()) return files.saes;
  return files.model.empty() ? std::vector<std::string>{find_default_sae()}
                             : std::vector<std::string>{};
}

BenchSae load_bench_sae(const std::string& path) {
  const fs::path whole = fs::absolute(find_sae(path)).lexically_normal();
  const auto sae = std::make_shared<const Sae>(load_sae(whole));
  return {.name = name_of_path(whole),
          .path = whole.string(),
          .sae = sae,
          .site = parse_site(sae->config().hook_name)};
}

ModelLoadOptions shared_load_options(const std::vector<BenchSae>& saes,
                                     const ModelLoadOptions& form) {
  if (saes.empty()) return form;
  const ModelLoadOptions first = load_options_of(*saes.front().sae, form);
  for (const BenchSae& other : saes) {
    const bool is_same = load_options_of(*other.sae, form).has_transformer_lens_processing ==
                         first.has_transformer_lens_processing;
    require<ConfigError>(
        is_same,
        "--sae: got ",
        saes.front().name,
        " and ",
        other.name,
        ", which were trained on differently processed weights, expected one kind");
  }
  return first;
}

}  // namespace

BenchModel load_bench_model(const BenchFiles& files) {
  const std::string path = find_model(files.model);
  BenchModel bench{.name = name_of_path(path)};
  for (const std::string& sae : sae_paths_of(files)) bench.saes.push_back(load_bench_sae(sae));
  bench.tokenizer = std::make_shared<const Tokenizer>(load_tokenizer(path));
  if (std::optional<ChatTemplate> chat = load_chat_template(path))
    bench.chat = std::make_shared<const ChatTemplate>(std::move(*chat));
  bench.model = std::make_shared<const Transformer>(
      load_model(path, shared_load_options(bench.saes, files.form)));
  for (const BenchSae& sae : bench.saes) {
    with_context(sae.name, [&] { check_fits(*sae.sae, bench.model->config()); });
  }
  return bench;
}

}  // namespace rebound
