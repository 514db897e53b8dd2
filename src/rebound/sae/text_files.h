// Texts to contexts of token ids.
//
//   .txt, .txt.gz      documents separated by a line that holds a form feed alone
//   .jsonl, .jsonl.gz  one object a line: {"text": ...}, or {"user": ..., "assistant": ...}, which
//                      goes through the model's chat template
//
// The tokens of a file's documents in order, a blank line after each but the last, are one stream
// that is cut every `length` tokens; a shorter rest is dropped. A model whose tokenizer adds BOS
// (Gemma, Llama) gets it at the start of every context, in place of one token of the stream; an SAE
// that was trained otherwise decides it (self_check.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rebound/text/load.h"

namespace rebound {

struct Document {
  std::string text;
  std::vector<ChatMessage> chat;  // if not empty, instead of `text`
};

// Throws IoError (cannot read), DataError (not gzip, not UTF-8, no text, unknown suffix).
std::vector<Document> read_documents(const std::filesystem::path& path);

// The file's bytes, unpacked when the name ends in .gz; at most 4 GiB unpacked.
std::string read_maybe_gzip(const std::filesystem::path& path);

struct ContextOptions {
  int64_t length = 128;
  int64_t max_contexts = -1;  // -1: all
  // Absent: as the tokenizer does; true leaves out a BOS that the tokenizer does not have.
  std::optional<bool> prepend_bos = std::nullopt;
};

// [contexts, length] int32. `chat` may be null when no document needs it.
at::Tensor contexts_of(const std::vector<Document>& documents,
                       const Tokenizer& tokenizer,
                       const ChatTemplate* chat,
                       const ContextOptions& options = {});

// All files in order. Throws DataError when there is not one context.
at::Tensor read_contexts(const std::vector<std::filesystem::path>& paths,
                         const std::filesystem::path& model,
                         const ContextOptions& options = {});

}  // namespace rebound
