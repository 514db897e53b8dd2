// The tiny SAEs of published formats in tests/sae/golden/formats
// (tools/golden/make_sae_formats.py).
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/io/safetensors.h"
#include "rebound/sae/load_sae.h"
#include "rebound/sae/sae_source.h"
#include "sae/sae_fixture.h"

namespace rebound {

inline std::filesystem::path formats_folder() {
  return std::filesystem::path(REBOUND_SOURCE_DIR) / "tests" / "sae" / "golden" / "formats";
}

inline std::vector<std::string> format_cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(formats_folder())) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct FormatCase {
  explicit FormatCase(const std::string& name)
      : folder(formats_folder() / name), expected(read_json_file(folder / "expected.json")) {}

  std::filesystem::path path() const { return folder / expected.at("path").get<std::string>(); }
  LoadSaeOptions options() const {
    LoadSaeOptions options;
    const Json given = expected.value("options", Json::object());
    if (given.contains("norm_scaling_factor")) {
      options.norm_scaling_factor = given.at("norm_scaling_factor").get<double>();
    }
    options.transposed_skip = given.value("transposed_skip", false);
    options.hook = given.value("hook", "");
    return options;
  }
  Sae load() const { return load_sae(path(), options()); }
  at::Tensor golden(const char* name) const {
    const SafetensorsFile file(folder / "golden.safetensors");
    return widened(file.get(name));
  }

  std::filesystem::path folder;
  Json expected;
};

// A writable copy of a case's files; returns where path() lies in it.
inline std::filesystem::path copy_of(const std::string& name, const std::string& as) {
  const std::filesystem::path folder = fresh_folder(as);
  const FormatCase golden(name);
  std::filesystem::copy(golden.folder, folder, std::filesystem::copy_options::recursive);
  return folder / golden.expected.at("path").get<std::string>();
}

}  // namespace rebound
