#include "rebound/base/file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include "rebound/base/error.h"

namespace rebound {
namespace {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void add(const void* data, size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
  std::string hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_.get(), digest, &size);
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
      constexpr char kHex[] = "0123456789abcdef";
      text += {kHex[digest[i] >> 4], kHex[digest[i] & 15]};
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

void flush_to_disk(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
  require<IoError>(
      !std::filesystem::is_directory(path), path.string(), ": got a folder, expected a file");
  std::ifstream in(path, std::ios::binary);
  require<IoError>(in.good(), path.string(), ": cannot read: ", std::strerror(errno));
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  require<IoError>(!in.bad(), path.string(), ": reading failed: ", std::strerror(errno));
  return text;
}

void replace_file_atomically(const std::filesystem::path& path,
                             const std::function<void(const std::filesystem::path&)>& write) {
  require<IoError>(!std::filesystem::exists(path) || std::filesystem::is_regular_file(path), path.string(),
                   ": got a folder or device, expected a file or a new name");
  std::filesystem::path temporary = path;
  temporary += concat(".tmp", ::getpid());
  try {
    write(temporary);
    flush_to_disk(temporary);
    std::filesystem::rename(temporary, path);
  } catch (const std::exception& e) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw IoError(concat(path.string(), ": cannot write: ", e.what()));
  }
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  replace_file_atomically(path, [&](const std::filesystem::path& temporary) {
    errno = 0;
    std::ofstream out(temporary, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    require<IoError>(!out.fail(), std::strerror(errno));
  });
}

std::string sha256_of_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  require<IoError>(in.good(), path.string(), ": cannot read: ", std::strerror(errno));
  Sha256 hash;
  std::vector<char> block(1 << 20);
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0) {
    hash.add(block.data(), static_cast<size_t>(in.gcount()));
  }
  return hash.hex();
}

std::string sha256_of_text(std::string_view text) {
  Sha256 hash;
  hash.add(text.data(), text.size());
  return hash.hex();
}

}  // namespace rebound
