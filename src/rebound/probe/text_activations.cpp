#include "rebound/probe/text_activations.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "rebound/base/error.h"
#include "rebound/base/progress.h"
#include "rebound/model/device.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/sinks.h"

namespace rebound {
namespace {

using Ids = std::vector<int64_t>;

Ids encode_plain(const Tokenizer& tokenizer, const std::string& text) {
  Ids ids = tokenizer.encode(text, {.add_special_tokens = false, .parse_special = false});
  if (tokenizer.bos_id()) ids.insert(ids.begin(), *tokenizer.bos_id());
  return ids;
}

void shorten(Ids& ids, int64_t most) {
  const auto extra = static_cast<int64_t>(ids.size()) - most;
  if (extra > 0) ids.erase(ids.begin() + 1, ids.begin() + 1 + extra);
}

void put_batch(const SiteActivations& found,
               const TokenBatch& batch,
               const Ids& places,
               ActivationCache& cache) {
  const Rows rows = on_device(batch, found.resid.device()).rows();
  for (size_t i = 0; i < places.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t length = batch.lengths[i];
    const auto part = [&](const at::Tensor& value) {
      return value.slice(0, at, at + 1).slice(1, 0, length);
    };
    const at::Tensor resid = part(found.resid);
    const Rows own = {part(rows.position), part(rows.is_real), rows.length.slice(0, at, at + 1)};
    const at::Tensor counted = resid[0].index({counted_tokens(resid, own)[0]});
    require<DataError>(
        counted.size(0) > 0,
        "text ",
        places[i],
        ": got ",
        length,
        " tokens of which none counts (all are attention sinks), expected a longer text");
    cache.put(places[i], counted);
  }
}

}  // namespace

void HarvestOptions::validate() const {
  require<ConfigError>(max_tokens > 1, "HarvestOptions.max_tokens must be > 1, got ", max_tokens);
  require<ConfigError>(
      batch_tokens > 0, "HarvestOptions.batch_tokens must be > 0, got ", batch_tokens);
}

std::vector<Ids> encode_texts(const ProbeTask& task,
                              const Tokenizer& tokenizer,
                              const ChatTemplate* chat,
                              const HarvestOptions& options) {
  options.validate();
  std::vector<Ids> all;
  for (const LabelledText& text : task.texts) {
    Ids ids = with_context("text " + text.id, [&] {
      return task.is_chat && chat
                 ? chat->encode_chat(
                       tokenizer, {{"user", text.text}}, {.add_generation_prompt = true})
                 : encode_plain(tokenizer, text.text);
    });
    shorten(ids, options.max_tokens);
    all.push_back(std::move(ids));
  }
  return all;
}

void harvest_texts(const Transformer& model,
                   const Site& site,
                   const std::vector<Ids>& texts,
                   ActivationCache& cache,
                   const HarvestOptions& options) {
  options.validate();
  Ids order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  const auto length = [&](int64_t i) {
    return static_cast<int64_t>(texts[static_cast<size_t>(i)].size());
  };
  std::stable_sort(
      order.begin(), order.end(), [&](int64_t a, int64_t b) { return length(a) > length(b); });
  Progress progress("activations", static_cast<int64_t>(texts.size()));
  for (size_t first = 0; first < order.size();) {
    const int64_t room = options.batch_tokens / std::max<int64_t>(1, length(order[first]));
    const size_t end =
        std::min(order.size(), first + static_cast<size_t>(std::max<int64_t>(1, room)));
    const Ids places(order.begin() + static_cast<int64_t>(first),
                     order.begin() + static_cast<int64_t>(end));
    std::vector<Ids> prompts;
    for (const int64_t i : places) prompts.push_back(texts[static_cast<size_t>(i)]);
    const TokenBatch batch = TokenBatch::from(prompts);
    put_batch(activations_at(model, site, batch), batch, places, cache);
    first = end;
    progress.update(static_cast<int64_t>(first));
  }
}

}  // namespace rebound
