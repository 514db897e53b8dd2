#include "rebound/behaviour/project_path.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "rebound/base/error.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

TEST(ProjectPathTest, LooksInReboundHomeLast) {
  const fs::path home = fs::path(::testing::TempDir()) / "rebound_home";
  fs::create_directories(home / "data/only_at_home");
  setenv("REBOUND_HOME", home.c_str(), 1);
  EXPECT_EQ(find_project_path("data/only_at_home"), home / "data/only_at_home");
  unsetenv("REBOUND_HOME");
  EXPECT_THROW(find_project_path("data/only_at_home"), IoError);
  fs::remove_all(home);
}

TEST(ProjectPathTest, CurrentFolderComesFirst) {
  const fs::path before = fs::current_path();
  const fs::path folder = fs::path(::testing::TempDir()) / "rebound_current";
  fs::create_directories(folder / "data/ioi");
  fs::current_path(folder);
  EXPECT_EQ(find_project_path("data/ioi"), "data/ioi");
  fs::current_path(before);
  fs::remove_all(folder);
}

TEST(ProjectPathTest, ErrorNamesWhatWasLookedFor) {
  try {
    find_project_path("data/no_such_thing");
    FAIL() << "expected an IoError";
  } catch (const IoError& e) {
    EXPECT_NE(std::string(e.what()).find("data/no_such_thing"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("REBOUND_HOME"), std::string::npos);
  }
}

TEST(ProjectPathTest, ErrorNamesAFolderOnce) {
  setenv("REBOUND_HOME", fs::current_path().c_str(), 1);
  try {
    find_project_path("data/no_such_thing");
    FAIL() << "expected an IoError";
  } catch (const IoError& e) {
    EXPECT_EQ(std::string(e.what()).find((fs::current_path() / "data/no_such_thing").string()), std::string::npos) << e.what();
  }
  unsetenv("REBOUND_HOME");
}

}  // namespace
}  // namespace rebound
