// The cache of the hub as a layout: names, places, environment. No network.
#include "rebound/io/hub_cache.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "support/failures.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

const std::string kCachedCommit(40, 'c');
const std::string kLargeEtag(64, '5');

using Variables = std::map<std::string, std::string>;

HubSettings settings_of(const Variables& variables) {
  return hub_settings([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(HubSettingsTest, TheCacheIsWherePythonLooksForIt) {
  EXPECT_EQ(settings_of({{"HOME", "/h"}}).cache, "/h/.cache/huggingface/hub");
  EXPECT_EQ(settings_of({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}).cache, "/x/huggingface/hub");
  EXPECT_EQ(settings_of({{"HF_HOME", "/hf"}, {"XDG_CACHE_HOME", "/x"}}).cache, "/hf/hub");
  EXPECT_EQ(settings_of({{"HF_HOME", "/hf"}, {"HF_HUB_CACHE", "/c"}}).cache, "/c");
  EXPECT_EQ(settings_of({{"HOME", "/h"}, {"HF_HOME", "~/hf"}}).cache, "/h/hf/hub");
  EXPECT_EQ(settings_of({{"HF_HOME", ""}, {"HOME", "/h"}}).cache, "/h/.cache/huggingface/hub");
}

TEST(HubSettingsTest, EndpointTokenAndSwitchesHaveTheirDefaults) {
  const HubSettings none = settings_of({});
  EXPECT_EQ(none.endpoint, "https://huggingface.co");
  EXPECT_EQ(none.token, "");
  EXPECT_FALSE(none.is_offline);
  const HubSettings set = settings_of({{"HF_ENDPOINT", "http://mirror:8080/hf/"},
                                       {"HF_TOKEN", " hf_abc\n"},
                                       {"HF_HUB_OFFLINE", "true"},
                                       {"HF_HUB_DOWNLOAD_TIMEOUT", "7"}});
  EXPECT_EQ(set.endpoint, "http://mirror:8080/hf");
  EXPECT_EQ(set.token, "hf_abc");
  EXPECT_TRUE(set.is_offline);
  EXPECT_EQ(set.timeout_seconds, 7u);
  EXPECT_FALSE(settings_of({{"HF_HUB_OFFLINE", "0"}}).is_offline);
}

TEST(HubSettingsTest, TheTokenFileCountsUnlessItIsSwitchedOff) {
  const fs::path home = fresh_folder("hub_token");
  write_file_atomically(home / "token", "hf_file\n");
  const Variables variables = {{"HF_HOME", home.string()}};
  EXPECT_EQ(settings_of(variables).token, "hf_file");
  Variables off = variables;
  off["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1";
  EXPECT_EQ(settings_of(off).token, "");
  Variables elsewhere = variables;
  elsewhere["HF_TOKEN_PATH"] = (home / "none").string();
  EXPECT_EQ(settings_of(elsewhere).token, "");
}

TEST(HubSettingsTest, NonsenseIsRefusedByName) {
  for (const Variables& variables : {Variables{{"HF_ENDPOINT", "huggingface.co"}},
                                     Variables{{"HF_TOKEN", "two words"}},
                                     Variables{{"HF_HUB_DOWNLOAD_TIMEOUT", "soon"}},
                                     Variables{{"HF_HUB_DOWNLOAD_TIMEOUT", "99999"}}}) {
    const std::string& name = variables.begin()->first;
    try {
      settings_of(variables);
      ADD_FAILURE() << name << " was taken";
    } catch (const ConfigError& e) {
      EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << e.what();
    }
  }
}

TEST(HubNameTest, PartsAreRead) {
  const auto name = parse_hub_name("google/gemma-scope-2b-pt-res@v1.0:layer_12/width_16k");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->repo, "google/gemma-scope-2b-pt-res");
  EXPECT_EQ(name->revision, "v1.0");
  EXPECT_EQ(name->path, "layer_12/width_16k");
  EXPECT_EQ(parse_hub_name("gpt2")->repo, "gpt2");
  EXPECT_EQ(parse_hub_name("a/b")->revision, "main");
  EXPECT_EQ(parse_hub_name("a/b@refs/pr/1")->revision, "refs/pr/1");
}

TEST(HubNameTest, PathsAndTricksAreNoNames) {
  for (const char* text : {"",
                           "/a/b",
                           "./a",
                           "../a",
                           "a/..",
                           "a/b/c",
                           "a//b",
                           "a/b@",
                           "a/b@../c",
                           "a/b:",
                           "a/b:../c",
                           "a/b:/etc",
                           "a b/c",
                           "a--b/c",
                           "a/b@-x",
                           "~/a",
                           "a/b\n",
                           "a/.b",
                           "-a/b"}) {
    EXPECT_FALSE(parse_hub_name(text).has_value()) << text;
  }
}

TEST(HubNameTest, SafePathsStayBelowTheirFolder) {
  for (const char* path : {"config.json", "a/b c/d#.npz", "..a/b..", "a/...", "\xC3\xA9"}) {
    EXPECT_TRUE(is_safe_repo_path(path)) << path;
  }
  for (const char* path :
       {"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", "./a", "a\\b", "a\nb"}) {
    EXPECT_FALSE(is_safe_repo_path(path)) << path;
  }
  EXPECT_FALSE(is_safe_repo_path(std::string("a\0b", 3)));
  EXPECT_FALSE(is_safe_repo_path(std::string(256, 'a')));
}

TEST(HubRepoTest, PlacesAreHuggingFaces) {
  const HubRepo repo("/c", "org/na-me");
  EXPECT_EQ(repo.folder(), "/c/models--org--na-me");
  EXPECT_EQ(repo.snapshot(kCachedCommit), "/c/models--org--na-me/snapshots/" + kCachedCommit);
  EXPECT_EQ(repo.blob("e"), "/c/models--org--na-me/blobs/e");
  EXPECT_EQ(repo.incomplete("e"), "/c/models--org--na-me/blobs/e.incomplete");
  EXPECT_EQ(repo.lock("e"), "/c/.locks/models--org--na-me/e.lock");
  EXPECT_EQ(HubRepo("/c", "gpt2").folder(), "/c/models--gpt2");
}

TEST(HubRepoTest, LinksAreRelativeAndMayBeMadeAgain) {
  const HubRepo repo(fresh_folder("hub_links"), "a/b");
  fs::create_directories(repo.folder() / "blobs");
  write_file_atomically(repo.blob(kLargeEtag), "weights");
  for (int time = 0; time < 2; ++time) {
    repo.link(kCachedCommit, "x/y/w.safetensors", kLargeEtag);
    const fs::path pointer = repo.snapshot(kCachedCommit) / "x/y/w.safetensors";
    EXPECT_EQ(fs::read_symlink(pointer), fs::path("../../../../blobs") / kLargeEtag);
    EXPECT_EQ(read_text_file(pointer), "weights");
  }
  repo.link(
      kCachedCommit, "x/y/w.safetensors", std::string(64, '6'));  // a new blob under an old name
  EXPECT_EQ(fs::read_symlink(repo.snapshot(kCachedCommit) / "x/y/w.safetensors").filename(),
            std::string(64, '6'));
  EXPECT_EQ(std::distance(fs::directory_iterator(repo.snapshot(kCachedCommit) / "x/y"), {}), 1);
}

TEST(HubRepoTest, ReferencesLeadToSnapshotsThatAreThere) {
  const HubRepo repo(fresh_folder("hub_refs"), "a/b");
  EXPECT_EQ(repo.commit_of("main"), std::nullopt);
  repo.write_ref("refs/pr/2", kCachedCommit);
  EXPECT_EQ(repo.commit_of("refs/pr/2"), std::nullopt);  // no snapshot yet
  fs::create_directories(repo.snapshot(kCachedCommit));
  EXPECT_EQ(repo.commit_of("refs/pr/2"), kCachedCommit);
  EXPECT_EQ(repo.commit_of(kCachedCommit), kCachedCommit);
  EXPECT_EQ(read_text_file(repo.folder() / "refs/refs/pr/2"), kCachedCommit);
  write_file_atomically(repo.folder() / "refs/evil", "../../..");
  EXPECT_EQ(repo.commit_of("evil"), std::nullopt);
}

// `printf hello | git hash-object --stdin`, `printf hello | sha256sum`.
TEST(HubHashTest, EtagsAreGitsAndSha256) {
  const fs::path file = fresh_folder("hub_hash") / "file";
  write_file_atomically(file, "hello");
  EXPECT_EQ(hash_like(kCachedCommit, file), "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0");
  EXPECT_EQ(hash_like(kLargeEtag, file),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  write_file_atomically(file, "");
  EXPECT_EQ(hash_like(kCachedCommit, file), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

TEST(HubModelTest, ASnapshotIsItsFolderOrItsOneGguf) {
  const fs::path folder = fresh_folder("hub_gguf");
  EXPECT_EQ(model_in_snapshot(folder), folder);
  write_file_atomically(folder / "a.gguf", "");
  EXPECT_EQ(model_in_snapshot(folder), folder / "a.gguf");
  write_file_atomically(folder / "b.gguf", "");
  EXPECT_THROW(model_in_snapshot(folder), ConfigError);
  write_file_atomically(folder / "model.safetensors", "");
  EXPECT_EQ(model_in_snapshot(folder), folder);
}

TEST(HubModelTest, ASnapshotIsCalledByItsRepository) {
  EXPECT_EQ(name_of_path("/c/models--org--na-me/snapshots/" + kCachedCommit), "na-me");
  EXPECT_EQ(name_of_path("/c/models--gpt2/snapshots/" + kCachedCommit + "/"), "gpt2");
  EXPECT_EQ(name_of_path("models/gemma-2-2b/"), "gemma-2-2b");
  EXPECT_EQ(name_of_path("models/a.gguf"), "a.gguf");
}

}  // namespace
}  // namespace rebound
