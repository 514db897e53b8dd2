// What the audit's tests share: a folder of one test, small toy audits, summaries compared.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "rebound/audit/spec.h"
#include "rebound/base/error.h"

namespace rebound {

class RunFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string test = testing::UnitTest::GetInstance()->current_test_info()->name();
    root_ = std::filesystem::temp_directory_path() / concat("rebound_run_", ::getpid(), "_", test);
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::filesystem::path folder(const char* name = "run") const { return root_ / name; }

 private:
  std::filesystem::path root_;
};

// Two rows at a budget of 8 and no controls.
inline AuditSpec toy_spec(const std::string& kind) {
  return read_spec({{"behaviour", {{"kind", kind}}},
                    {"rows",
                     {{{"constraint", "encoder_decoder"}, {"budget", 8}, {"steps", 30}},
                      {{"constraint", "none"}, {"budget", 8}, {"steps", 10}}}},
                    {"controls", false}},
                   "toy");
}

// Empty when equal: numbers to 1e-5 relative, times and memory aside; else where they differ.
inline std::string difference_of(const Json& a,
                                 const Json& b,
                                 const std::string& where = "summary") {
  if (a.is_number() && b.is_number()) {
    const double x = a.get<double>(), y = b.get<double>();
    const double scale = std::max(std::abs(x), std::abs(y));
    return std::abs(x - y) <= 1e-5 * scale + 1e-9 ? "" : concat(where, ": ", x, " and ", y);
  }
  if (a.type() != b.type() || a.size() != b.size())
    return concat(where, ": ", a.dump(), " and ", b.dump());
  if (!a.is_structured()) return a == b ? "" : concat(where, ": ", a.dump(), " and ", b.dump());
  if (a.is_array()) {
    for (size_t i = 0; i < a.size(); ++i) {
      const std::string inner = difference_of(a[i], b[i], concat(where, "[", i, "]"));
      if (!inner.empty()) return inner;
    }
    return "";
  }
  for (const auto& [key, value] : a.items()) {
    if (!b.contains(key)) return concat(where, ".", key, ": only in one");
    if (key.find("seconds") != std::string::npos || key == "peak_memory_bytes") continue;
    const std::string inner = difference_of(value, b.at(key), where + "." + key);
    if (!inner.empty()) return inner;
  }
  return "";
}

}  // namespace rebound
