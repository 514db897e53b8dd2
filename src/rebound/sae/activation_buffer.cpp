#include "rebound/sae/activation_buffer.h"

#include <ATen/ATen.h>

#include <cstring>
#include <numeric>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/base/rng.h"
#include "rebound/base/shape.h"

namespace rebound {
namespace {

constexpr uint64_t kOrderStream = 2;
constexpr int64_t kRowGrain = 64;

int64_t row_bytes(int64_t d) { return d * static_cast<int64_t>(sizeof(uint16_t)); }

}  // namespace

ActivationWriter::ActivationWriter(std::filesystem::path path, int64_t d, int64_t rows)
    : path_(std::move(path)), d_(d), rows_(rows) {
  std::error_code failure;
  if (rows > 0) {
    std::filesystem::resize_file(path_, static_cast<uintmax_t>(rows * row_bytes(d)), failure);
    require<IoError>(!failure, path_.string(), ": cannot resize: ", failure.message());
  }
  out_.open(path_,
            rows > 0 ? std::ios::binary | std::ios::app : std::ios::binary | std::ios::trunc);
  require<IoError>(out_.good(), path_.string(), ": cannot open for writing");
}

void ActivationWriter::append(const at::Tensor& x) {
  check_shape("activations", x, {{"tokens"}, {"d", d_}});
  const at::Tensor stored = x.to(at::kBFloat16).cpu().contiguous();
  out_.write(static_cast<const char*>(stored.data_ptr()),
             static_cast<std::streamsize>(stored.nbytes()));
  require<IoError>(out_.good(), path_.string(), ": cannot write (disk full?)");
  rows_ += x.size(0);
}

void ActivationWriter::flush() {
  out_.flush();
  require<IoError>(out_.good(), path_.string(), ": cannot write (disk full?)");
}

ActivationBuffer::ActivationBuffer(const std::filesystem::path& path, int64_t d, int64_t rows)
    : file_(path), d_(d), rows_(rows) {
  require<DataError>(static_cast<int64_t>(file_.bytes().size()) >= rows * row_bytes(d),
                     path.string(),
                     ": got ",
                     file_.bytes().size(),
                     " bytes, expected ",
                     rows * row_bytes(d));
}

at::Tensor ActivationBuffer::gather(const int64_t* index, int64_t n) const {
  at::Tensor out = at::empty({n, d_}, at::kBFloat16);
  auto* to = static_cast<std::byte*>(out.data_ptr());
  const auto bytes = static_cast<size_t>(row_bytes(d_));
  run_ranges(n, kRowGrain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      TORCH_INTERNAL_ASSERT(index[i] >= 0 && index[i] < rows_);
      std::memcpy(to + static_cast<size_t>(i) * bytes,
                  file_.bytes().data() + static_cast<size_t>(index[i]) * bytes,
                  bytes);
    }
  });
  return out.to(at::kFloat);
}

at::Tensor ActivationBuffer::first(int64_t n) const {
  std::vector<int64_t> index(static_cast<size_t>(std::min(n, rows_)));
  std::iota(index.begin(), index.end(), 0);
  return gather(index.data(), static_cast<int64_t>(index.size()));
}

std::vector<int64_t> shuffled_rows(int64_t rows, uint64_t seed, int64_t pass) {
  std::vector<int64_t> order(static_cast<size_t>(rows));
  std::iota(order.begin(), order.end(), 0);
  Rng rng({seed, kOrderStream, static_cast<uint64_t>(pass)});
  rng.shuffle(order);
  return order;
}

}  // namespace rebound
