#include "rebound/io/safetensors.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/base/json.h"

namespace rebound {
namespace {

constexpr size_t kPrefixBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as the reference reader
constexpr int kMaxDepth = 3;                       // {name: {"shape": [...]}}
constexpr const char* kMetadataKey = "__metadata__";

std::string_view header_text(std::span<const std::byte> bytes) {
  require<DataError>(bytes.size() >= kPrefixBytes,
                     "not a safetensors file: got ",
                     bytes.size(),
                     " bytes, expected at least ",
                     kPrefixBytes);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kPrefixBytes);
  require<DataError>(length <= kMaxHeaderBytes,
                     "header length: got ",
                     length,
                     " bytes, expected at most ",
                     kMaxHeaderBytes,
                     " (is this a safetensors file?)");
  require<DataError>(length <= bytes.size() - kPrefixBytes,
                     "truncated: header of ",
                     length,
                     " bytes in a file of ",
                     bytes.size());
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kPrefixBytes, length);
  require<DataError>(text.starts_with('{'), "header: expected a JSON object");
  return text;
}

// Stricter than base/json.h: no comments, no key twice, no deep nesting.
Json parse_header(std::string_view text) {
  std::vector<std::set<std::string>> keys(kMaxDepth + 1);
  const Json::parser_callback_t strict = [&](int depth, Json::parse_event_t event, Json& value) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      require<DataError>(depth < kMaxDepth, "header: JSON nested deeper than ", kMaxDepth);
      keys[static_cast<size_t>(depth) + 1].clear();
    } else if (event == Event::key) {
      const std::string& key = value.get_ref<const std::string&>();
      const bool is_new = keys[static_cast<size_t>(depth)].insert(key).second;
      require<DataError>(is_new, "header: key ", quoted_name(key), " is there twice");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), strict);
  } catch (const nlohmann::json::exception& e) {
    constexpr size_t kLongest = 160;
    throw DataError(concat("header: not valid JSON: ", std::string(e.what()).substr(0, kLongest)));
  }
}

const Json& field(const Json& entry, const char* key) {
  const auto found = entry.find(key);
  require<DataError>(found != entry.end(), "missing \"", key, "\"");
  return *found;
}

int64_t size_field(const Json& value, const char* what) {
  require<DataError>(value.is_number_unsigned() && value.get<uint64_t>() <= INT64_MAX,
                     what,
                     ": got ",
                     value.dump().substr(0, 40),
                     ", expected an integer >= 0");
  return value.get<int64_t>();
}

DType dtype_field(const Json& entry) {
  const Json& value = field(entry, "dtype");
  require<DataError>(value.is_string(), "dtype: expected a string");
  const std::string& name = value.get_ref<const std::string&>();
  const std::optional<DType> dtype = dtype_from_name(name);
  require<DataError>(dtype && !is_quantized(*dtype),
                     "dtype: got ",
                     quoted_name(name),
                     ", expected F64, F32, F16, BF16, BOOL, or I or U with 8 to 64 bits");
  return *dtype;
}

Shape shape_field(const Json& entry) {
  const Json& sizes = field(entry, "shape");
  require<DataError>(sizes.is_array(), "shape: expected an array");
  Shape shape;
  shape.reserve(sizes.size());
  for (const Json& size : sizes) shape.push_back(size_field(size, "shape"));
  return shape;
}

TensorView parse_tensor(const std::string& name,
                        const Json& entry,
                        std::span<const std::byte> data) {
  require<DataError>(entry.is_object(), "expected a JSON object");
  const Json& offsets = field(entry, "data_offsets");
  require<DataError>(offsets.is_array() && offsets.size() == 2,
                     "data_offsets: expected [begin, end]");
  const auto begin = static_cast<size_t>(size_field(offsets[0], "data_offsets"));
  const auto end = static_cast<size_t>(size_field(offsets[1], "data_offsets"));
  require<DataError>(begin <= end && end <= data.size(),
                     "data_offsets: got [",
                     begin,
                     ", ",
                     end,
                     "], expected a range within the ",
                     data.size(),
                     " data bytes of the file");
  TensorView tensor{name, dtype_field(entry), shape_field(entry), data.data() + begin, end - begin};
  const std::optional<size_t> expected = byte_count(tensor.dtype, tensor.shape);
  require<DataError>(
      expected.has_value(), "shape ", shape_text(tensor.shape).substr(0, 200), " is too large");
  require<DataError>(*expected == tensor.bytes,
                     "got ",
                     tensor.bytes,
                     " bytes, expected ",
                     *expected,
                     " for ",
                     dtype_info(tensor.dtype).name,
                     " ",
                     shape_text(tensor.shape));
  return tensor;
}

TextMap parse_metadata(const Json& entry) {
  require<DataError>(entry.is_object(), kMetadataKey, ": expected a JSON object");
  TextMap metadata;
  for (const auto& [key, value] : entry.items()) {
    require<DataError>(
        value.is_string(), kMetadataKey, ".", quoted_name(key), ": expected a string");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

void sort_by_offset(std::vector<TensorView>& tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) {
    return std::tie(a.data, a.bytes) < std::tie(b.data, b.bytes);
  });
}

void require_gapless(const std::vector<TensorView>& sorted, std::span<const std::byte> data) {
  const std::byte* end = data.data();
  for (const TensorView& tensor : sorted) {
    require<DataError>(tensor.data == end,
                       "tensor ",
                       quoted_name(tensor.name),
                       " starts at data byte ",
                       tensor.data - data.data(),
                       ", expected ",
                       end - data.data(),
                       " (tensors may neither overlap nor leave holes)");
    end = tensor.data + tensor.bytes;
  }
  require<DataError>(end == data.data() + data.size(),
                     "got ",
                     data.size(),
                     " data bytes, expected ",
                     end - data.data(),
                     " as the header says");
}

}  // namespace

SafetensorsContent parse_safetensors(std::span<const std::byte> bytes) {
  const std::string_view text = header_text(bytes);
  const Json header = parse_header(text);
  const std::span<const std::byte> data = bytes.subspan(kPrefixBytes + text.size());
  SafetensorsContent content;
  std::vector<TensorView> tensors;
  for (const auto& item : header.items()) {
    if (item.key() == kMetadataKey) {
      content.metadata = parse_metadata(item.value());
      continue;
    }
    with_context(concat("tensor ", quoted_name(item.key())),
                 [&] { tensors.push_back(parse_tensor(item.key(), item.value(), data)); });
  }
  sort_by_offset(tensors);
  require_gapless(tensors, data);
  for (TensorView& tensor : tensors) content.tensors.add(std::move(tensor));
  return content;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  SafetensorsContent content =
      with_context(path.string(), [&] { return parse_safetensors(file_.bytes()); });
  static_cast<TensorTable&>(*this) = std::move(content.tensors);
  metadata_ = std::move(content.metadata);
}

namespace {

const std::string& shard_name(const Json& value) {
  require<DataError>(value.is_string(), "weight_map: expected file names");
  const std::string& name = value.get_ref<const std::string&>();
  const bool is_plain = !name.empty() && name != "." && name != ".." &&
                        name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
  require<DataError>(is_plain,
                     "weight_map: got ",
                     quoted_name(name),
                     ", expected the name of a file in the same folder");
  return name;
}

using Shards = std::map<std::string, std::vector<std::string>>;  // file name -> tensor names

Shards read_index(const std::filesystem::path& path) {
  const Json index = read_json_file(path);
  return with_context(path.string(), [&] {
    require<DataError>(
        index.is_object() && index.contains("weight_map") && index.at("weight_map").is_object(),
        "expected an object with \"weight_map\"");
    Shards shards;
    for (const auto& [tensor, file] : index.at("weight_map").items()) {
      shards[shard_name(file)].push_back(tensor);
    }
    return shards;
  });
}

}  // namespace

SafetensorsFolder::SafetensorsFolder(const std::filesystem::path& folder) {
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  if (std::filesystem::exists(single)) {
    paths_.push_back(single);
    files_.emplace_back(single);
    static_cast<TensorTable&>(*this) = files_.back();
    return;
  }
  require<IoError>(std::filesystem::exists(index),
                   folder.string(),
                   ": got neither model.safetensors nor model.safetensors.index.json");
  add_shards(folder, index);
}

void SafetensorsFolder::add_shards(const std::filesystem::path& folder,
                                   const std::filesystem::path& index) {
  for (const auto& shard : read_index(index)) {
    paths_.push_back(folder / shard.first);
    files_.emplace_back(paths_.back());
    with_context(paths_.back().string(), [&] { files_.back().require_names(shard.second); });
    for (const std::string& name : shard.second) add(files_.back().get(name));
  }
}

}  // namespace rebound
