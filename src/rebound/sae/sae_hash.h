// The identity of an SAE on disk, for the record of a run.
#pragma once

#include <filesystem>
#include <string>

namespace rebound {

// sha256, 64 hex digits. Of a file: its bytes; of a folder with sae_weights.safetensors: that
// file's; of any other folder: of lines "NAME SHA256\n" over its files of weights (.safetensors,
// .npz, .pt, .pth, .bin), sorted by name. Throws IoError where there is none.
std::string sae_sha256(const std::filesystem::path& path);

}  // namespace rebound
