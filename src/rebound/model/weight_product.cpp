#include "rebound/model/weight_product.h"

#include <torch/torch.h>

#ifdef REBOUND_HAS_DNNL
#include <dnnl.hpp>
#endif

#include "rebound/model/one_row_product.h"

namespace rebound {
namespace {

at::Tensor plain_product(const at::Tensor& x, const at::Tensor& weight) {
  return at::mm(x.to(weight.scalar_type()), weight.t()).to(at::kFloat);
}

bool is_one_row(const at::Tensor& x, const at::Tensor& weight) {
  static const bool is_there = has_one_row_product();
  const bool wants_gradient =
      at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  const bool is_known = weight.scalar_type() == at::kBFloat16 || weight.scalar_type() == at::kFloat;
  return is_there && x.size(0) == 1 && is_known && weight.is_cpu() && x.is_cpu() &&
         weight.is_contiguous() && !wants_gradient;
}

#ifdef REBOUND_HAS_DNNL

bool is_fast(const at::Tensor& x, const at::Tensor& weight) {
  static const bool has_bfloat16 = dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core;
  const bool is_known =
      weight.scalar_type() == at::kFloat || (weight.scalar_type() == at::kBFloat16 && has_bfloat16);
  return is_known && weight.is_cpu() && x.is_cpu() && weight.is_contiguous() &&
         !weight.requires_grad() && x.numel() > 0;
}

dnnl::memory memory_of(const at::Tensor& x,
                       dnnl::memory::format_tag tag,
                       int64_t rows,
                       int64_t columns) {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const auto type =
      x.scalar_type() == at::kFloat ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
  return {dnnl::memory::desc({rows, columns}, type, tag), engine, x.data_ptr()};
}

// a [m, k] times W^T (or W, with `is_transposed` false) in W's dtype; float32.
at::Tensor multiply(const at::Tensor& a, const at::Tensor& weight, bool is_transposed) {
  using Tag = dnnl::memory::format_tag;
  const at::Tensor left = a.to(weight.scalar_type()).contiguous();
  const int64_t n = weight.size(is_transposed ? 0 : 1), k = weight.size(is_transposed ? 1 : 0);
  at::Tensor out = at::empty({a.size(0), n}, a.options().dtype(at::kFloat));
  dnnl::memory x = memory_of(left, Tag::ab, a.size(0), k),
               y = memory_of(out, Tag::ab, a.size(0), n),
               w = memory_of(weight, is_transposed ? Tag::ba : Tag::ab, k, n);
  const dnnl::matmul::primitive_desc recipe(
      dnnl::matmul::desc(x.get_desc(), w.get_desc(), y.get_desc()), x.get_engine());
  dnnl::stream stream(x.get_engine());
  dnnl::matmul(recipe).execute(stream,
                               {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}});
  stream.wait();
  return out;
}

class Product : public torch::autograd::Function<Product> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context,
                            const at::Tensor& a,
                            const at::Tensor& weight,
                            bool is_transposed) {
    context->saved_data["is_transposed"] = is_transposed;
    context->save_for_backward({weight});
    return multiply(a, weight, is_transposed);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const bool is_transposed = context->saved_data["is_transposed"].toBool();
    return {
        Product::apply(gradients[0], context->get_saved_variables()[0], !is_transposed), {}, {}};
  }
};

#endif

}  // namespace

at::Tensor weight_product(const at::Tensor& x, const at::Tensor& weight) {
  if (is_one_row(x, weight)) return one_row_product(x, weight);
#ifdef REBOUND_HAS_DNNL
  if (is_fast(x, weight)) {
    return x.requires_grad() && at::GradMode::is_enabled() ? Product::apply(x, weight, true)
                                                           : multiply(x, weight, true);
  }
#endif
  return plain_product(x, weight);
}

const char* weight_product_library() {
#ifdef REBOUND_HAS_DNNL
  static const std::string name = [] {
    const dnnl_version_t* version = dnnl_version();
    return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
           std::to_string(version->patch);
  }();
  return name.c_str();
#else
  return "LibTorch";
#endif
}

}  // namespace rebound
