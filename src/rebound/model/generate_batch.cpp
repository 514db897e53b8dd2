#include "rebound/model/generate_batch.h"

#include <torch/torch.h>

#include <algorithm>
#include <numeric>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/base/shape.h"
#include "rebound/model/decoder.h"

namespace rebound {
namespace {

using TokenLists = std::vector<std::vector<int64_t>>;

// The answers so far, and how many tokens each may still take.
class Answers {
 public:
  Answers(const Transformer& model, const TokenLists& prompts, const GenerateBatchOptions& options)
      : stop_tokens_(options.stop_tokens), tokens_(prompts.size()) {
    const int64_t most = model.config().max_position_embeddings;
    for (const auto& prompt : prompts) {
      const int64_t room = most - static_cast<int64_t>(prompt.size());
      room_.push_back(std::min(options.max_new_tokens, room));
    }
  }

  void add(int64_t example, int64_t token) {
    const auto i = static_cast<size_t>(example);
    if (room_[i] <= 0) return;
    if (stop_tokens_.count(token)) {
      room_[i] = 0;
      return;
    }
    tokens_[i].push_back(token);
    --room_[i];
  }

  bool is_finished(int64_t example) const { return room_[static_cast<size_t>(example)] <= 0; }
  TokenLists take() { return std::move(tokens_); }

 private:
  const std::set<int64_t>& stop_tokens_;
  TokenLists tokens_;
  std::vector<int64_t> room_;
};

at::Tensor choose_tokens(const Decoder& decoder, const GenerateBatchOptions& options) {
  const at::Tensor greedy = decoder.logits().argmax(-1).cpu();
  if (!options.next_tokens) return greedy;
  const at::Tensor chosen = options.next_tokens(greedy);
  check_shape("GenerateBatchOptions.next_tokens", chosen, {{"batch", decoder.size()}});
  return chosen;
}

TokenLists generate_together(const Transformer& model,
                             const TokenLists& prompts,
                             const GenerateBatchOptions& options,
                             const Hooks& hooks) {
  Decoder decoder(model, TokenBatch::from(prompts), hooks);
  Answers answers(model, prompts, options);
  std::vector<int64_t> examples(prompts.size());  // in the decoder's rows
  std::iota(examples.begin(), examples.end(), 0);
  const auto rows_that_go_on = [&] {
    std::vector<int64_t> rows;
    for (size_t row = 0; row < examples.size(); ++row) {
      if (!answers.is_finished(examples[row])) rows.push_back(static_cast<int64_t>(row));
    }
    return rows;
  };
  std::vector<int64_t> rows = rows_that_go_on();
  while (!rows.empty()) {
    at::Tensor tokens = choose_tokens(decoder, options);
    for (size_t row = 0; row < examples.size(); ++row) {
      answers.add(examples[row], tokens[static_cast<int64_t>(row)].item<int64_t>());
    }
    rows = rows_that_go_on();
    if (rows.empty()) break;
    if (!options.keeps_finished && rows.size() < examples.size()) {
      const at::Tensor index = at::tensor(rows, tokens.options());
      decoder.select(index);
      tokens = tokens.index_select(0, index);
      for (size_t row = 0; row < rows.size(); ++row) {
        examples[row] = examples[static_cast<size_t>(rows[row])];
      }
      examples.resize(rows.size());
    }
    decoder.step(tokens);
  }
  return answers.take();
}

}  // namespace

void GenerateBatchOptions::validate() const {
  require<ConfigError>(max_new_tokens >= 0,
                       "GenerateBatchOptions.max_new_tokens: got ",
                       max_new_tokens,
                       ", expected >= 0");
  require<ConfigError>(!next_tokens || (keeps_finished && !is_split_allowed),
                       "GenerateBatchOptions.next_tokens: got keeps_finished ",
                       keeps_finished,
                       " and is_split_allowed ",
                       is_split_allowed,
                       ", expected true and false: it needs the whole batch");
}

TokenLists generate_batch(const Transformer& model,
                          const TokenLists& prompts,
                          const GenerateBatchOptions& options,
                          const Hooks& hooks) {
  options.validate();
  const auto n = static_cast<int64_t>(prompts.size());
  const int64_t n_parts = std::min(n, options.is_split_allowed ? worker_count() : 1);
  TokenLists answers(prompts.size());
  run_parts(n_parts, [&](int64_t part) {
    const int64_t first = n * part / n_parts, end = n * (part + 1) / n_parts;
    const TokenLists own(prompts.begin() + first, prompts.begin() + end);
    TokenLists some = generate_together(model, own, options, hooks);
    std::move(some.begin(), some.end(), answers.begin() + first);
  });
  return answers;
}

}  // namespace rebound
