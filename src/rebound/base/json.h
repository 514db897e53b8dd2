// Reading JSON strictly: comments allowed, duplicate-free keys, and every key must be asked for.
//
//   ObjectReader spec(json, "audit.json");
//   const double lr = spec.get<double>("lr", 0.1);   // wrong type -> ConfigError naming the key
//   spec.finish();                                   // unknown key -> ConfigError with the known
//   ones
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "rebound/base/error.h"

namespace rebound {

using Json = nlohmann::json;

// Parses text that may hold // and /* */ comments. `where` names the source in errors.
Json parse_json(const std::string& text, const std::string& where);
Json read_json_file(const std::filesystem::path& path);
// One JSON object per non-empty line.
std::vector<Json> read_jsonl_file(const std::filesystem::path& path);

class ObjectReader {
 public:
  ObjectReader(const Json& json, std::string where);

  bool has(const std::string& key) const { return json_.contains(key) && !json_.at(key).is_null(); }
  bool contains(const std::string& key) const { return json_.contains(key); }  // null counts
  const Json& at(const std::string& key);  // required, any type

  template <class T>
  T get(const std::string& key) {
    const Json& value = at(key);
    try {
      return checked<T>(value);
    } catch (const std::exception& e) {
      throw ConfigError(concat(
          where_, ".", key, ": got ", value.dump().substr(0, 80), ", expected ", type_name<T>()));
    }
  }
  template <class T>
  T get(const std::string& key, T fallback) {
    asked_.insert(key);
    return has(key) ? get<T>(key) : fallback;
  }

  void finish() const;
  std::vector<std::string> unknown_keys() const;  // that nobody asked for so far
  const std::string& where() const { return where_; }

 private:
  template <class T>
  static T checked(const Json& value) {
    if constexpr (std::is_same_v<T, bool>) {
      if (!value.is_boolean()) throw ConfigError("type");
    } else if constexpr (std::is_integral_v<T>) {
      if (!value.is_number_integer()) throw ConfigError("type");
    } else if constexpr (std::is_floating_point_v<T>) {
      if (!value.is_number()) throw ConfigError("type");
    }
    return value.get<T>();
  }
  template <class T>
  static std::string type_name() {
    if constexpr (std::is_same_v<T, bool>) return "true or false";
    if constexpr (std::is_integral_v<T>) return "an integer";
    if constexpr (std::is_floating_point_v<T>) return "a number";
    if constexpr (std::is_same_v<T, std::string>) return "a string";
    return "another type";
  }

  const Json& json_;
  std::string where_;
  std::set<std::string> asked_;
};

}  // namespace rebound
