#include <array>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/io/byte_cursor.h"
#include "rebound/io/gguf.h"

namespace rebound {
namespace {

constexpr std::array<std::string_view, 13> kTypeNames = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

std::string type_text(const GgufValue& value) {
  const std::string_view name = kTypeNames[static_cast<size_t>(value.type)];
  return value.is_array ? concat(name, "[", value.count, "]") : std::string(name);
}

[[noreturn]] void throw_wrong_type(std::string_view key,
                                   const GgufValue& value,
                                   std::string_view expected) {
  throw DataError(concat(key, ": got ", type_text(value), ", expected ", expected));
}

bool is_integer(GgufType type) {
  return type != GgufType::kF32 && type != GgufType::kF64 && type != GgufType::kBool &&
         type != GgufType::kString && type != GgufType::kArray;
}
bool is_float(GgufType type) { return type == GgufType::kF32 || type == GgufType::kF64; }

// Calls use(element) with the element in its own type.
template <class Use>
void read_number(ByteCursor& cursor, GgufType type, Use&& use) {
  switch (type) {
    case GgufType::kU8:
      return use(cursor.read<uint8_t>());
    case GgufType::kI8:
      return use(cursor.read<int8_t>());
    case GgufType::kU16:
      return use(cursor.read<uint16_t>());
    case GgufType::kI16:
      return use(cursor.read<int16_t>());
    case GgufType::kU32:
      return use(cursor.read<uint32_t>());
    case GgufType::kI32:
      return use(cursor.read<int32_t>());
    case GgufType::kU64:
      return use(cursor.read<uint64_t>());
    case GgufType::kI64:
      return use(cursor.read<int64_t>());
    case GgufType::kF32:
      return use(cursor.read<float>());
    case GgufType::kF64:
      return use(cursor.read<double>());
    default:
      return;
  }
}

int64_t as_int64(std::string_view key, GgufType type, ByteCursor& cursor) {
  int64_t result = 0;
  read_number(cursor, type, [&](auto element) {
    if constexpr (std::is_same_v<decltype(element), uint64_t>) {
      require<DataError>(element <= INT64_MAX, key, ": got ", element, ", expected less than 2^63");
    }
    if constexpr (std::is_integral_v<decltype(element)>) result = static_cast<int64_t>(element);
  });
  return result;
}

double as_double(GgufType type, ByteCursor& cursor) {
  double result = 0;
  read_number(cursor, type, [&](auto element) { result = static_cast<double>(element); });
  return result;
}

bool as_bool(ByteCursor& cursor) { return cursor.read<uint8_t>() != 0; }

template <class T, class Read>
std::vector<T> read_array(const GgufValue& value, Read&& read) {
  ByteCursor cursor(value.bytes);
  std::vector<T> elements;
  elements.reserve(value.count);
  for (uint64_t i = 0; i < value.count; ++i) elements.push_back(read(cursor));
  return elements;
}

}  // namespace

void GgufMetadata::add(std::string key, GgufValue value) {
  const bool is_new = values_.emplace(key, value).second;
  require<DataError>(is_new, "key ", quoted_name(key), " is there twice");
  keys_.push_back(std::move(key));
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

std::optional<uint64_t> GgufMetadata::integer(std::string_view key) const {
  constexpr std::string_view kExpected = "an integer >= 0";
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || !is_integer(value->type)) throw_wrong_type(key, *value, kExpected);
  ByteCursor cursor(value->bytes);
  if (value->type == GgufType::kU64) return cursor.read<uint64_t>();
  const int64_t number = as_int64(key, value->type, cursor);
  require<DataError>(number >= 0, key, ": got ", number, ", expected ", kExpected);
  return static_cast<uint64_t>(number);
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const bool is_number = is_integer(value->type) || is_float(value->type);
  if (value->is_array || !is_number) throw_wrong_type(key, *value, "a number");
  ByteCursor cursor(value->bytes);
  return as_double(value->type, cursor);
}

std::optional<bool> GgufMetadata::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type != GgufType::kBool) throw_wrong_type(key, *value, "a bool");
  ByteCursor cursor(value->bytes);
  return as_bool(cursor);
}

std::optional<std::string> GgufMetadata::string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type != GgufType::kString) {
    throw_wrong_type(key, *value, "a string");
  }
  return std::string(ByteCursor(value->bytes).read_text());
}

std::optional<std::vector<int64_t>> GgufMetadata::integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array || !is_integer(value->type)) {
    throw_wrong_type(key, *value, "an array of integers");
  }
  return read_array<int64_t>(
      *value, [&](ByteCursor& cursor) { return as_int64(key, value->type, cursor); });
}

std::optional<std::vector<double>> GgufMetadata::floats(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const bool is_number = is_integer(value->type) || is_float(value->type);
  if (!value->is_array || !is_number) throw_wrong_type(key, *value, "an array of numbers");
  return read_array<double>(*value,
                            [&](ByteCursor& cursor) { return as_double(value->type, cursor); });
}

std::optional<std::vector<bool>> GgufMetadata::booleans(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array || value->type != GgufType::kBool) {
    throw_wrong_type(key, *value, "an array of bools");
  }
  return read_array<bool>(*value, as_bool);
}

std::optional<std::vector<std::string>> GgufMetadata::strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array || value->type != GgufType::kString) {
    throw_wrong_type(key, *value, "an array of strings");
  }
  return read_array<std::string>(
      *value, [](ByteCursor& cursor) { return std::string(cursor.read_text()); });
}

std::string GgufMetadata::describe(std::string_view key) const {
  const GgufValue* value = find(key);
  require<DataError>(value != nullptr, "missing key ", quoted_name(key));
  if (value->is_array) return type_text(*value);
  if (value->type == GgufType::kString) return quoted_name(*string(key));
  if (value->type == GgufType::kBool) return *boolean(key) ? "true" : "false";
  std::string text;
  ByteCursor cursor(value->bytes);
  read_number(cursor, value->type, [&](auto element) { text = concat(+element); });
  return text;
}

}  // namespace rebound
