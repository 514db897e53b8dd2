// Files that are whole or not there: text in, bytes out through a temporary name and a rename.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace rebound {

// Throws IoError when the file cannot be read.
std::string read_text_file(const std::filesystem::path& path);

// Writes beside `path`, flushes to disk, renames. On any failure the old file stays and the
// temporary one is removed. Throws IoError.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

// The same for writers that stream: `write` gets the temporary path.
void replace_file_atomically(const std::filesystem::path& path,
                             const std::function<void(const std::filesystem::path&)>& write);

// Lower-case hex SHA-256 of a file's bytes.
std::string sha256_of_file(const std::filesystem::path& path);
std::string sha256_of_text(std::string_view text);

}  // namespace rebound
