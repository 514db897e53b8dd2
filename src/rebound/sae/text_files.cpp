#include "rebound/sae/text_files.h"

#include <ATen/ATen.h>
#include <zlib.h>

#include <algorithm>
#include <memory>
#include <sstream>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"

namespace rebound {
namespace {

constexpr size_t kMaxTextBytes = size_t{4} << 30;
constexpr const char* kBetweenDocuments = "\n\n";

// Clears `name`'s ".gz" and says whether it was there.
bool drop_gz(std::string& name) {
  if (!name.ends_with(".gz")) return false;
  name.resize(name.size() - 3);
  return true;
}

std::string read_gzip(const std::filesystem::path& path) {
  require<IoError>(std::filesystem::is_regular_file(path), path.string(), ": cannot open");
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  require<IoError>(file != nullptr, path.string(), ": cannot open");
  std::string text;
  std::vector<char> chunk(1 << 20);
  for (;;) {
    const int got = gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()));
    int code = Z_OK;
    if (got < 0) {
      const std::string reason = gzerror(file.get(), &code);
      throw DataError(concat(path.string(), ": cannot unpack: ", reason));
    }
    text.append(chunk.data(), static_cast<size_t>(got));
    require<DataError>(text.size() <= kMaxTextBytes,
                       path.string(),
                       ": more than ",
                       kMaxTextBytes,
                       " bytes unpacked");
    if (got == static_cast<int>(chunk.size())) continue;
    gzerror(file.get(), &code);
    require<DataError>(
        code == Z_OK || code == Z_STREAM_END, path.string(), ": truncated gzip file");
    return text;
  }
}

std::vector<Document> split_at_form_feeds(const std::string& text) {
  constexpr std::string_view kMark = "\n\f\n";
  std::vector<Document> documents;
  size_t start = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find(kMark, start), text.size());
    if (end > start) documents.push_back({.text = text.substr(start, end - start), .chat = {}});
    start = end + kMark.size();
  }
  return documents;
}

Document document_of(const Json& row, const std::string& where) {
  const auto text_at = [&](const char* key) -> const std::string* {
    const auto found = row.is_object() ? row.find(key) : row.end();
    return found != row.end() && found->is_string() ? found->get_ptr<const std::string*>()
                                                    : nullptr;
  };
  if (const std::string* text = text_at("text")) return {.text = *text, .chat = {}};
  const std::string* user = text_at("user");
  const std::string* assistant = text_at("assistant");
  require<DataError>(
      user && assistant, where, ": expected \"text\", or \"user\" and \"assistant\"");
  return {.text = "", .chat = {{"user", *user}, {"assistant", *assistant}}};
}

std::vector<Document> read_json_lines(const std::string& text, const std::string& where) {
  std::istringstream lines(text);
  std::vector<Document> documents;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string at = concat(where, ":", number);
    try {
      documents.push_back(document_of(parse_json(line, at), at));
    } catch (const ConfigError& e) {
      throw DataError(e.what());
    }
  }
  return documents;
}

std::vector<int64_t> ids_of(const Document& document,
                            const Tokenizer& tokenizer,
                            const ChatTemplate* chat) {
  if (document.chat.empty()) {
    return tokenizer.encode(document.text, {.add_special_tokens = false, .parse_special = false});
  }
  require<DataError>(chat != nullptr, "chat documents: the model has no chat template");
  return chat->encode_chat(tokenizer, document.chat);
}

}  // namespace

std::string read_maybe_gzip(const std::filesystem::path& path) {
  return path.extension() == ".gz" ? read_gzip(path) : read_text_file(path);
}

std::vector<Document> read_documents(const std::filesystem::path& path) {
  std::string name = path.filename().string();
  drop_gz(name);
  const bool is_jsonl = name.ends_with(".jsonl");
  require<DataError>(is_jsonl || name.ends_with(".txt"),
                     path.string(),
                     ": got an unknown kind of file, expected .txt, .txt.gz, .jsonl or .jsonl.gz");
  const std::string text = read_maybe_gzip(path);
  std::vector<Document> documents =
      is_jsonl ? read_json_lines(text, path.string()) : split_at_form_feeds(text);
  require<DataError>(!documents.empty(), path.string(), ": got no text");
  return documents;
}

at::Tensor contexts_of(const std::vector<Document>& documents,
                       const Tokenizer& tokenizer,
                       const ChatTemplate* chat,
                       const ContextOptions& options) {
  const std::vector<int64_t> gap =
      tokenizer.encode(kBetweenDocuments, {.add_special_tokens = false});
  const bool has_bos =
      options.prepend_bos.value_or(tokenizer.adds_bos()) && tokenizer.bos_id().has_value();
  const std::vector<int32_t> bos(has_bos ? 1 : 0,
                                 static_cast<int32_t>(tokenizer.bos_id().value_or(0)));
  const int64_t width = options.length - static_cast<int64_t>(bos.size());
  require<DataError>(
      width > 0, "contexts: got length ", options.length, ", expected room behind BOS");
  std::vector<int32_t> stream;
  const auto append = [&](const std::vector<int64_t>& ids) {
    stream.insert(stream.end(), ids.begin(), ids.end());
  };
  for (size_t i = 0; i < documents.size(); ++i) {
    const auto full = static_cast<int64_t>(stream.size()) / width;
    if (options.max_contexts >= 0 && full >= options.max_contexts) break;
    if (i > 0) append(gap);
    append(ids_of(documents[i], tokenizer, chat));
  }
  auto contexts = static_cast<int64_t>(stream.size()) / width;
  if (options.max_contexts >= 0) contexts = std::min(contexts, options.max_contexts);
  stream.resize(static_cast<size_t>(contexts * width));
  const at::Tensor cut = at::tensor(stream, at::kInt).view({contexts, width});
  return bos.empty() ? cut : at::cat({at::full({contexts, 1}, bos[0], at::kInt), cut}, 1);
}

at::Tensor read_contexts(const std::vector<std::filesystem::path>& paths,
                         const std::filesystem::path& model,
                         const ContextOptions& options) {
  const Tokenizer tokenizer = load_tokenizer(model);
  const std::optional<ChatTemplate> chat = load_chat_template(model);
  std::vector<at::Tensor> parts;
  int64_t count = 0;
  for (const auto& path : paths) {
    ContextOptions rest = options;
    if (options.max_contexts >= 0) rest.max_contexts = options.max_contexts - count;
    parts.push_back(with_context(path.string(), [&] {
      return contexts_of(read_documents(path), tokenizer, chat ? &*chat : nullptr, rest);
    }));
    count += parts.back().size(0);
  }
  require<DataError>(count > 0, "text: got less than one context of ", options.length, " tokens");
  return at::cat(parts);
}

}  // namespace rebound
