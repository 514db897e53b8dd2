#include "rebound/model/weight_file.h"

#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>

#include "rebound/base/error.h"
#include "rebound/io/dequantize.h"

namespace rebound {
namespace {

std::string in_layer(std::string pattern, int64_t layer) {
  const size_t hole = pattern.find("{}");
  return hole == std::string::npos ? pattern : pattern.replace(hole, 2, std::to_string(layer));
}

std::string bias_of(std::string pattern) {
  const size_t at = pattern.rfind("weight");
  return at == std::string::npos ? pattern : pattern.replace(at, 6, "bias");
}

at::Tensor widened(const TensorView& view, const std::vector<int64_t>& shape) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  const int64_t columns = shape.empty() ? 1 : std::max<int64_t>(shape.back(), 1);
  rows_to_float32(view, 0, tensor.numel() / columns, tensor.data_ptr<float>());
  return tensor;
}

void require_finite(bool is_finite, const TensorView& view) {
  require<DataError>(
      is_finite, view.name, ": got NaN or infinite weights, expected finite numbers");
}

// Calls body(first row, rows [count, columns] float32); each is checked. On one thread: two load no
// faster than a run needs, and what their allocators keep makes the peak vary by 150 MB.
template <class Body>
void for_widened_rows(const TensorView& view, int64_t columns, const Body& body) {
  constexpr int64_t kAtOnce = int64_t{1} << 18;
  const int64_t most = std::max<int64_t>(kAtOnce / std::max<int64_t>(columns, 1), 1);
  const int64_t rows = columns > 0 ? view.elements() / columns : 0;
  const at::NoGradGuard no_grad;
  const at::Tensor room = at::empty({std::min(most, rows), columns}, at::kFloat);
  for (int64_t row = 0; row < rows; row += most) {
    const int64_t count = std::min(most, rows - row);
    rows_to_float32(view, row, count, room.data_ptr<float>());
    const at::Tensor block = room.narrow(0, 0, count);
    require_finite(std::isfinite(block.abs().max().item<float>()), view);
    body(row, block);
  }
}

at::Tensor rounded(const TensorView& view, int64_t rows, int64_t columns, at::ScalarType dtype) {
  at::Tensor out = at::empty({rows, columns}, dtype);
  for_widened_rows(view, columns, [&](int64_t first, const at::Tensor& block) {
    constexpr float kLargestHalf = 65504;
    require<DataError>(dtype != at::kHalf || block.abs().max().item<float>() <= kLargestHalf,
                       view.name,
                       ": got a weight above ",
                       kLargestHalf,
                       ", which float16 does not hold; give --dtype bfloat16 or float32");
    out.narrow(0, first, block.size(0)).copy_(block);
  });
  return out;
}

bool is_kept(const TensorView& view) {
  return is_quantized(view.dtype) || view.dtype == DType::kF16 || view.dtype == DType::kBF16;
}

// A sum is finite only if every element is. That of squares is the faster one, and may overflow.
bool is_finite(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.view(-1);
  return std::isfinite(at::dot(flat, flat).item<float>()) ||
         std::isfinite(tensor.sum(at::kDouble).item<double>());
}

}  // namespace

WeightFile::WeightFile(const TensorTable& tensors,
                       FileFormat format,
                       const Architecture& row,
                       const WeightForm& form,
                       std::shared_ptr<const void> mapping)
    : tensors_(tensors), format_(format), row_(row), form_(form), mapping_(std::move(mapping)) {}

const char* WeightFile::pattern_of(const WeightName& weight) const {
  if (is_gguf()) return weight.gguf;
  const bool is_older = *weight.older_hugging_face && !find_or_null(weight.hugging_face, 0);
  return is_older ? weight.older_hugging_face : weight.hugging_face;
}

const TensorView* WeightFile::find_or_null(const std::string& pattern, int64_t layer) const {
  if (pattern.empty()) return nullptr;
  const std::string name = in_layer(pattern, layer);
  if (const TensorView* view = tensors_.find(name)) return view;
  const std::string prefix = row_.hugging_face_prefix;
  const bool has_prefix = !is_gguf() && !prefix.empty() && name.rfind(prefix, 0) == 0;
  return has_prefix ? tensors_.find(name.substr(prefix.size())) : nullptr;
}

const TensorView& WeightFile::find(const std::string& pattern, int64_t layer) const {
  const TensorView* view = find_or_null(pattern, layer);
  return view ? *view : tensors_.get(in_layer(pattern, layer));
}

bool WeightFile::has(const WeightName& weight, int64_t layer) const {
  return find_or_null(pattern_of(weight), layer) != nullptr;
}

bool WeightFile::has_bias(const WeightName& weight, int64_t layer) const {
  return find_or_null(bias_of(pattern_of(weight)), layer) != nullptr;
}

void WeightFile::accept(const TensorView& view, const std::vector<int64_t>& shape) const {
  require<DataError>(view.shape == shape,
                     view.name,
                     ": got shape ",
                     shape_text(view.shape),
                     ", expected ",
                     shape_text(shape));
  read_.insert(view.name);
}

at::Tensor WeightFile::read(const TensorView& view, const std::vector<int64_t>& shape) const {
  accept(view, shape);
  const at::Tensor tensor = widened(view, shape);
  require_finite(is_finite(tensor), view);
  return tensor;
}

Matrix WeightFile::read_matrix(const TensorView& view, int64_t rows, int64_t columns) const {
  accept(view, {rows, columns});
  if (form_.keeps_stored && is_kept(view)) {
    for_widened_rows(view, columns, [](int64_t, const at::Tensor&) {});  // for its check
    const auto row_bytes = static_cast<int64_t>(view.bytes) / std::max<int64_t>(rows, 1);
    const at::Tensor bytes = at::from_blob(
        const_cast<std::byte*>(view.data),
        {rows, row_bytes},
        [keep = mapping_](void*) {},
        at::kByte);
    return Matrix({{view.dtype, bytes}});
  }
  if (form_.keeps_stored || form_.dtype == at::kFloat) return read(view, {rows, columns});
  return Matrix(rounded(view, rows, columns, form_.dtype)).to(form_.dtype);
}

Matrix WeightFile::matrix(const WeightName& weight, int64_t layer, int64_t out, int64_t in) const {
  const TensorView& view = find(pattern_of(weight), layer);
  if (!row_.stores_transposed || is_gguf()) return read_matrix(view, out, in);
  const Matrix turned = read(view, {in, out}).t().contiguous();
  return form_.keeps_stored ? turned : turned.to(form_.dtype);
}

// Rows of each head from (pair, half) order back to (half, pair).
Matrix WeightFile::rotary_matrix(
    const WeightName& weight, int64_t layer, int64_t n_heads, int64_t d_head, int64_t in) const {
  const Matrix stored = matrix(weight, layer, n_heads * d_head, in);
  if (!is_gguf() || !row_.gguf_interleaves_qk) return stored;
  const at::Tensor order = at::arange(n_heads * d_head).view({n_heads, d_head / 2, 2});
  return stored.select_rows(order.transpose(1, 2).reshape({-1}));
}

Matrix WeightFile::table(const WeightName& weight, int64_t rows, int64_t columns) const {
  return read_matrix(find(pattern_of(weight), 0), rows, columns);
}

at::Tensor WeightFile::gain(const WeightName& weight, int64_t layer, int64_t size) const {
  const at::Tensor gain = read(find(pattern_of(weight), layer), {size});
  return row_.gain_is_plus_one && !is_gguf() ? gain + 1 : gain;
}

at::Tensor WeightFile::bias(const WeightName& weight, int64_t layer, int64_t size) const {
  return read(find(bias_of(pattern_of(weight)), layer), {size});
}

void WeightFile::require_all_read(bool is_head_tied) const {
  constexpr std::array<std::string_view, 8> kNeedless = {".attn.bias",
                                                         ".attn.masked_bias",
                                                         ".attention.bias",
                                                         ".attention.masked_bias",
                                                         ".rotary_emb.inv_freq",
                                                         "rope_factors_long.weight",
                                                         "rope_factors_short.weight",
                                                         "rope_freqs.weight"};
  for (const TensorView& view : tensors_.tensors()) {
    if (read_.count(view.name)) continue;
    const std::string_view name = view.name;
    const bool is_needless = std::any_of(kNeedless.begin(),
                                         kNeedless.end(),
                                         [&](std::string_view end) { return name.ends_with(end); });
    const bool is_copy =
        is_head_tied && (name == row_.head.hugging_face || name == row_.head.older_hugging_face);
    require<DataError>(is_needless || is_copy,
                       quoted_name(name),
                       ": got a tensor that a model of type ",
                       row_.model_type,
                       " with this configuration does not use, expected none");
  }
}

}  // namespace rebound
