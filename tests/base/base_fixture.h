// What the tests of this folder share.
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

// A new empty folder under the build folder.
inline std::filesystem::path fresh_folder(const std::string& name) {
  const auto path = std::filesystem::path(REBOUND_BINARY_DIR) / "test-output" / "base" / name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

}  // namespace rebound
