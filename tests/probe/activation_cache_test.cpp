#include "rebound/probe/activation_cache.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "support/failures.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

constexpr int64_t kWidth = 24, kTexts = 20, kTokens = 10;
constexpr int64_t kTextBytes = kTokens * kWidth * 4;

at::Tensor values_of(int64_t text) {
  Rng rng({9, static_cast<uint64_t>(text)});
  return random_tensor(rng, {kTokens, kWidth});
}

size_t entries_in(const std::filesystem::path& folder) {
  size_t n = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    n += entry.is_regular_file() ? 1 : 0;
  }
  return n;
}

// Last text first, to see that order does not matter.
void fill(ActivationCache& cache) {
  for (int64_t text = kTexts - 1; text >= 0; --text) cache.put(text, values_of(text));
}

void expect_whole(const ActivationCache& cache) {
  for (int64_t text = 0; text < kTexts; ++text) {
    EXPECT_TRUE(at::equal(cache.tokens(text), values_of(text))) << text;
  }
}

TEST(ActivationCacheTest, WhatFitsStaysInMemory) {
  const auto folder = fresh_folder("cache");
  ActivationCache cache(kTexts, kWidth, {.memory_bytes = kTexts * kTextBytes, .folder = folder});
  fill(cache);
  EXPECT_EQ(cache.bytes_on_disk(), 0);
  EXPECT_EQ(entries_in(folder), 0u);
  EXPECT_EQ(cache.token_count(), kTexts * kTokens);
  expect_whole(cache);
}

TEST(ActivationCacheTest, BeyondItsLimitItSpillsAndReadsBackTheSameBits) {
  const auto folder = fresh_folder("cache");
  {
    ActivationCache cache(
        kTexts,
        kWidth,
        {.memory_bytes = 5 * kTextBytes + 1, .chunk_bytes = 4 * kTextBytes, .folder = folder});
    fill(cache);
    EXPECT_EQ(cache.bytes_in_memory(), 5 * kTextBytes);
    EXPECT_EQ(cache.bytes_on_disk(), 12 * kTextBytes);  // three chunks; three texts wait
    EXPECT_EQ(entries_in(folder), 3u);
    expect_whole(cache);
  }
  EXPECT_EQ(entries_in(folder), 0u);
}

TEST(ActivationCacheTest, NoMemoryAtAllStillWorks) {
  ActivationCache cache(
      kTexts, kWidth, {.memory_bytes = 0, .chunk_bytes = 1, .folder = fresh_folder("cache")});
  fill(cache);
  EXPECT_EQ(cache.bytes_in_memory(), 0);
  EXPECT_EQ(cache.bytes_on_disk(), kTexts * kTextBytes);
  expect_whole(cache);
}

TEST(ActivationCacheTest, LaterWritesToATensorDoNotReachTheCache) {
  ActivationCache cache(1, kWidth);
  at::Tensor values = values_of(0);
  cache.put(0, values);
  values.zero_();
  EXPECT_TRUE(at::equal(cache.tokens(0), values_of(0)));
}

TEST(ActivationCacheTest, AFolderThatCannotBeMadeIsAnIoError) {
  ActivationCache cache(
      1, kWidth, {.memory_bytes = 0, .chunk_bytes = 1, .folder = "/proc/no-such-folder"});
  const std::string message = message_of<IoError>([&] { cache.put(0, values_of(0)); });
  EXPECT_NE(message.find("cannot make a folder for activations"), std::string::npos) << message;
}

TEST(ActivationCacheTest, AnotherWidthIsRefused) {
  ActivationCache cache(1, kWidth + 1);
  EXPECT_NE(message_of<DataError>([&] { cache.put(0, values_of(0)); }).find("d_model=25"),
            std::string::npos);
}

}  // namespace
}  // namespace rebound
