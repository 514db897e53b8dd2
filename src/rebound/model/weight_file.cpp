#include "rebound/model/weight_file.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cmath>
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
  float* out = tensor.data_ptr<float>();
  at::parallel_for(
      0, tensor.numel() / columns, (1 << 18) / columns + 1, [&](int64_t first, int64_t end) {
        rows_to_float32(view, first, end - first, out + first * columns);
      });
  return tensor;
}

// A sum is finite only if every element is. That of squares is the faster one, and may overflow.
bool is_finite(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.view(-1);
  return std::isfinite(at::dot(flat, flat).item<float>()) ||
         std::isfinite(tensor.sum(at::kDouble).item<double>());
}

}  // namespace

WeightFile::WeightFile(const TensorTable& tensors, FileFormat format, const Architecture& row)
    : tensors_(tensors), format_(format), row_(row) {}

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

at::Tensor WeightFile::read(const TensorView& view, const std::vector<int64_t>& shape) const {
  require<DataError>(view.shape == shape,
                     view.name,
                     ": got shape ",
                     shape_text(view.shape),
                     ", expected ",
                     shape_text(shape));
  read_.insert(view.name);
  const at::Tensor tensor = widened(view, shape);
  require<DataError>(
      is_finite(tensor), view.name, ": got NaN or infinite weights, expected finite numbers");
  return tensor;
}

at::Tensor WeightFile::matrix(const WeightName& weight,
                              int64_t layer,
                              int64_t out,
                              int64_t in) const {
  const TensorView& view = find(pattern_of(weight), layer);
  const bool is_transposed = row_.stores_transposed && !is_gguf();
  return is_transposed ? read(view, {in, out}).t().contiguous() : read(view, {out, in});
}

// Rows of each head from (pair, half) order back to (half, pair).
at::Tensor WeightFile::rotary_matrix(
    const WeightName& weight, int64_t layer, int64_t n_heads, int64_t d_head, int64_t in) const {
  const at::Tensor tensor = matrix(weight, layer, n_heads * d_head, in);
  if (!is_gguf() || !row_.gguf_interleaves_qk) return tensor;
  return tensor.view({n_heads, d_head / 2, 2, in}).transpose(1, 2).reshape_as(tensor);
}

at::Tensor WeightFile::table(const WeightName& weight, int64_t rows, int64_t columns) const {
  return read(find(pattern_of(weight), 0), {rows, columns});
}

at::Tensor WeightFile::gain(const WeightName& weight, int64_t layer, int64_t size) const {
  const at::Tensor gain = read(find(pattern_of(weight), layer), {size});
  return row_.gain_is_plus_one && !is_gguf() ? gain + 1 : gain;
}

at::Tensor WeightFile::bias(const WeightName& weight, int64_t layer, int64_t size) const {
  return read(find(bias_of(pattern_of(weight)), layer), {size});
}

void WeightFile::require_all_read(bool is_head_tied) const {
  constexpr std::array<std::string_view, 6> kNeedless = {".attn.bias",
                                                         ".attn.masked_bias",
                                                         ".attention.bias",
                                                         ".attention.masked_bias",
                                                         ".rotary_emb.inv_freq",
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
