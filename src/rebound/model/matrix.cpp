#include "rebound/model/matrix.h"

#include <torch/torch.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/io/dequantize.h"
#include "rebound/model/weight_product.h"

namespace rebound {
namespace {

// Float32 values of stored rows in work at once: what the second-level cache holds.
constexpr int64_t kWidenedAtOnce = int64_t{1} << 18;

using RowParts = std::vector<StoredRows>;

// Calls body(first row of the matrix, its widened rows [count, columns]).
template <class Body>
void for_each_block(const RowParts& parts, const Body& body) {
  int64_t first = 0;
  for (const StoredRows& part : parts) {
    const int64_t columns = part.columns();
    const int64_t most = std::max<int64_t>(kWidenedAtOnce / std::max<int64_t>(columns, 1), 1);
    const at::Tensor room = at::empty({std::min(most, part.rows()), columns}, at::kFloat);
    float* out = room.data_ptr<float>();
    for (int64_t row = 0; row < part.rows(); row += most) {
      const int64_t count = std::min(most, part.rows() - row);
      part.widen(row, count, out);
      body(first + row, room.narrow(0, 0, count));
    }
    first += part.rows();
  }
}

// a [m, columns] times W^T, or a [m, rows] times W with `is_transposed` false.
at::Tensor multiply_stored(const at::Tensor& a, const RowParts& parts, bool is_transposed) {
  int64_t rows = 0;
  for (const StoredRows& part : parts) rows += part.rows();
  const int64_t width = is_transposed ? rows : parts.front().columns();
  at::Tensor out = is_transposed ? at::empty({a.size(0), width}, a.options())
                                 : at::zeros({a.size(0), width}, a.options());
  for_each_block(parts, [&](int64_t first, const at::Tensor& block) {
    const at::Tensor here = block.to(a.device());
    if (is_transposed) {
      out.narrow(1, first, block.size(0)).copy_(weight_product(a, here));
    } else {
      out.addmm_(a.narrow(1, first, block.size(0)), here);
    }
  });
  return out;
}

class StoredProduct : public torch::autograd::Function<StoredProduct> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context,
                            const at::Tensor& a,
                            const RowParts& parts,
                            bool is_transposed) {
    std::vector<at::Tensor> bytes;
    std::vector<int64_t> types;
    for (const StoredRows& part : parts) {
      bytes.push_back(part.bytes);
      types.push_back(static_cast<int64_t>(part.type));
    }
    context->saved_data["bytes"] = bytes;
    context->saved_data["types"] = types;
    context->saved_data["is_transposed"] = is_transposed;
    return multiply_stored(a, parts, is_transposed);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const std::vector<at::Tensor> bytes = context->saved_data["bytes"].toTensorVector();
    const std::vector<int64_t> types = context->saved_data["types"].toIntVector();
    RowParts parts;
    for (size_t i = 0; i < bytes.size(); ++i) {
      parts.push_back({static_cast<DType>(types[i]), bytes[i]});
    }
    const bool is_transposed = context->saved_data["is_transposed"].toBool();
    return {StoredProduct::apply(gradients[0], parts, !is_transposed), {}, {}};
  }
};

StoredRows as_float16(const at::Tensor& dense) {
  const at::Tensor half = dense.cpu().to(at::kHalf).contiguous();
  return {DType::kF16, half.view(at::kByte)};
}

StoredRows as_stored(const at::Tensor& dense) {
  return {DType::kF32, dense.to(at::kFloat).contiguous().cpu().view(at::kByte)};
}

at::Tensor widened_rows(const RowParts& parts) {
  int64_t rows = 0;
  for (const StoredRows& part : parts) rows += part.rows();
  at::Tensor out = at::empty({rows, parts.front().columns()}, at::kFloat);
  for_each_block(parts, [&](int64_t first, const at::Tensor& block) {
    out.narrow(0, first, block.size(0)).copy_(block);
  });
  return out;
}

}  // namespace

int64_t StoredRows::columns() const {
  const DTypeInfo& info = dtype_info(type);
  return bytes.size(1) / info.block_bytes * info.block_elements;
}

void StoredRows::widen(int64_t first, int64_t count, float* out) const {
  if (type == DType::kF16 || type == DType::kBF16) {  // LibTorch has instructions for these
    auto* from = static_cast<std::byte*>(bytes.data_ptr()) + first * bytes.size(1);
    const at::ScalarType dtype = type == DType::kF16 ? at::kHalf : at::kBFloat16;
    at::from_blob(out, {count, columns()}, at::kFloat)
        .copy_(at::from_blob(from, {count, columns()}, dtype));
    return;
  }
  const TensorView view{.name = "stored rows",
                        .dtype = type,
                        .shape = {rows(), columns()},
                        .data = static_cast<const std::byte*>(bytes.data_ptr()),
                        .bytes = bytes.nbytes()};
  rows_to_float32(view, first, count, out);
}

Matrix::Matrix(std::vector<StoredRows> parts) : parts_(std::move(parts)) {
  for (const StoredRows& part : parts_) {
    require<DataError>(part.columns() == parts_.front().columns(),
                       "matrix: got rows of ",
                       part.columns(),
                       " columns below rows of ",
                       parts_.front().columns(),
                       ", expected the same");
  }
}

Matrix Matrix::stacked(const std::vector<Matrix>& matrices) {
  const bool is_dense =
      std::none_of(matrices.begin(), matrices.end(), [](const Matrix& m) { return m.is_stored(); });
  if (is_dense) {
    std::vector<at::Tensor> tensors;
    for (const Matrix& matrix : matrices) tensors.push_back(matrix.dense());
    return at::cat(tensors);
  }
  std::vector<StoredRows> parts;
  for (const Matrix& matrix : matrices) {
    if (matrix.is_stored())
      parts.insert(parts.end(), matrix.parts_.begin(), matrix.parts_.end());
    else
      parts.push_back(as_stored(matrix.dense()));
  }
  return Matrix(std::move(parts));
}

int64_t Matrix::size(int64_t axis) const {
  if (!is_stored()) return dense_.size(axis);
  if (axis == 1) return parts_.front().columns();
  int64_t rows = 0;
  for (const StoredRows& part : parts_) rows += part.rows();
  return rows;
}

int64_t Matrix::bytes() const {
  int64_t total = dense_.defined() ? static_cast<int64_t>(dense_.nbytes()) : 0;
  for (const StoredRows& part : parts_) total += part.bytes.numel();
  return total;
}

std::set<std::string> Matrix::forms() const {
  if (!is_stored()) return {dense_.scalar_type() == at::kBFloat16 ? "bfloat16" : "float32"};
  std::set<std::string> names;
  for (const StoredRows& part : parts_) {
    const bool is_half = part.type == DType::kF16;
    names.insert(is_half ? "float16" : std::string(dtype_info(part.type).name));
  }
  return names;
}

const at::Tensor& Matrix::dense() const {
  require<ConfigError>(!is_stored(),
                       "weights: got rows as stored (",
                       *forms().begin(),
                       "), expected dense ones for this: give --dtype float32 or bfloat16");
  return dense_;
}

at::Tensor& Matrix::dense() {
  std::as_const(*this).dense();
  return dense_;
}

Matrix Matrix::to(at::ScalarType dtype) const {
  if (dtype != at::kHalf) return is_stored() ? widened_rows(parts_).to(dtype) : dense_.to(dtype);
  return Matrix({as_float16(is_stored() ? widened_rows(parts_) : dense_)});
}

Matrix Matrix::to(at::Device device) const {
  return is_stored() || !dense_.defined() ? *this : Matrix(dense_.to(device));
}

Matrix Matrix::select_rows(const at::Tensor& index) const {
  if (!is_stored()) return dense_.index_select(0, index);
  require<DataError>(parts_.size() == 1, "matrix: got rows of several types, expected one");
  return Matrix({{parts_.front().type, parts_.front().bytes.index_select(0, index)}});
}

at::Tensor Matrix::rows(const at::Tensor& index) const {
  if (!is_stored()) return at::embedding(dense_, index).to(at::kFloat);
  const at::Tensor wanted = index.cpu().contiguous();
  std::vector<int64_t> sizes(wanted.sizes().begin(), wanted.sizes().end());
  sizes.push_back(size(1));
  at::Tensor out = at::empty(sizes, at::kFloat);
  const int64_t* ids = wanted.data_ptr<int64_t>();
  float* values = out.data_ptr<float>();
  const int64_t columns = size(1);
  for (int64_t i = 0; i < wanted.numel(); ++i) {
    int64_t row = ids[i];
    require<DataError>(
        row >= 0 && row < size(0), "matrix row: got ", row, ", expected 0..", size(0) - 1);
    auto part = parts_.begin();
    while (row >= part->rows()) row -= (part++)->rows();
    part->widen(row, 1, values + i * columns);
  }
  return out.to(index.device());
}

at::Tensor Matrix::product(const at::Tensor& x) const {
  if (!is_stored()) return weight_product(x, dense_);
  const bool has_gradient = x.requires_grad() && at::GradMode::is_enabled();
  return has_gradient ? StoredProduct::apply(x, parts_, true) : multiply_stored(x, parts_, true);
}

}  // namespace rebound
