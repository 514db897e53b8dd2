// What tests of several layers share: the message of an expected error, and an empty folder.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>

namespace rebound {

// The message of the error of exactly this kind that `body` throws; fails the test otherwise.
template <class Kind>
std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Kind& e) {
    return e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "another kind of error: " << e.what();
    return "";
  }
  ADD_FAILURE() << "no error";
  return "";
}

// A new empty folder under the build folder, its own for each test suite.
inline std::filesystem::path fresh_folder(const std::string& name) {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::filesystem::path path =
      std::filesystem::path(REBOUND_BINARY_DIR) / "test-output" / test->test_suite_name() / name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

}  // namespace rebound
