// What identifies an SAE on disk.
#include "rebound/sae/sae_hash.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "support/failures.h"

namespace rebound {
namespace {

TEST(SaeHashTest, IsThatOfTheWeightsWhereTheyAreOneFile) {
  const auto folder = fresh_folder("sae_hash");
  write_file_atomically(folder / "sae_weights.safetensors", "abc");
  write_file_atomically(folder / "other.pt", "x");
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(sae_sha256(folder), abc);
  EXPECT_EQ(sae_sha256(folder / "sae_weights.safetensors"), abc);
}

TEST(SaeHashTest, OfOtherFoldersEveryFileOfWeightsCounts) {
  const auto folder = fresh_folder("sae_hash");
  write_file_atomically(folder / "ae.pt", "abc");
  write_file_atomically(folder / "config.json", "{}");
  const std::string one = sae_sha256(folder);
  EXPECT_EQ(one, sha256_of_text("ae.pt " + sha256_of_text("abc") + "\n"));
  write_file_atomically(folder / "config.json", "[]");
  EXPECT_EQ(sae_sha256(folder), one);
  write_file_atomically(folder / "b.npz", "abc");
  EXPECT_NE(sae_sha256(folder), one);
}

TEST(SaeHashTest, NoWeightsAreAnError) {
  EXPECT_THROW(sae_sha256(fresh_folder("sae_hash")), IoError);
  EXPECT_THROW(sae_sha256(fresh_folder("sae_hash") / "none"), IoError);
}

}  // namespace
}  // namespace rebound
