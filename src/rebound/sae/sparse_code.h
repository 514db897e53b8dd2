// Sparse codes of a batch and the kernels of training behind the top-k: everything that touches
// only active latents.
//
//   e_t  = sum_j f_tj W_dec[j] - x_t                 residual, [tokens, d]
//   df_tj = c e_t . W_dec[j]                         gradient of c/2 sum |e|^2 in the active codes
//   dW_dec[j] = c sum_t f_tj e_t
//   dW_enc[j] = sum_t df_tj x_t,  db_enc[j] = sum_t df_tj
//
// W_enc is held transposed, [d_sae, d], so that a latent is one row in both matrices. Results do
// not depend on the number of threads: a token, or a latent, is summed by one thread in order.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace rebound {

// Row t holds the entries begin[t] .. begin[t+1].
struct SparseCode {
  std::vector<int64_t> begin{0};
  std::vector<int32_t> latent;
  std::vector<float> value;  // > 0

  int64_t tokens() const { return static_cast<int64_t>(begin.size()) - 1; }
  int64_t entries() const { return static_cast<int64_t>(latent.size()); }
};

// The same entries by latent: latent j has begin[j] .. begin[j+1], tokens ascending.
struct LatentIndex {
  std::vector<int64_t> begin;
  std::vector<int32_t> token;
  std::vector<int64_t> entry;  // into SparseCode
};

// All take `pre` [tokens, d_sae], contiguous, bfloat16, and keep positive values only. `floor` is
// a guess below the cut that saves work; it is corrected when wrong and updated for the next call.
//
// The tokens * k largest values of the batch, more only where equal bfloat16 values tie at the cut.
SparseCode select_batch_top_k(const at::Tensor& pre, int64_t k, float& floor);
// The k largest of each token.
SparseCode select_top_k(const at::Tensor& pre, int64_t k, float& floor);
// The k largest of each token among `latents`; the first `tokens` rows only.
SparseCode select_top_k_among(const at::Tensor& pre,
                              const std::vector<int32_t>& latents,
                              int64_t k,
                              int64_t tokens);

LatentIndex index_by_latent(const SparseCode& code, int64_t d_sae);

// e [tokens, d] float32; `target` has at least that many rows.
at::Tensor residual(const SparseCode& code, const at::Tensor& W_dec, const at::Tensor& target);

// df per entry, times `scale` (c above).
std::vector<float> code_gradient(const SparseCode& code,
                                 const at::Tensor& e,
                                 const at::Tensor& W_dec,
                                 float scale);

// Active latents of a batch with all that their weight gradients need.
struct SparseTerm {
  SparseCode code;
  LatentIndex index;
  std::vector<float> df;
  at::Tensor e;  // [tokens, d]
  at::Tensor x;  // [tokens or more, d] what the encoder saw
  float scale;   // c
};
SparseTerm make_term(
    SparseCode code, const at::Tensor& W_dec, const at::Tensor& target, at::Tensor x, float scale);

struct LatentGradient {
  float* W_dec;  // [d]
  float* W_enc;  // [d]
  float b_enc = 0;
};

// Adds latent j's share to `out`.
void add_latent_gradient(const SparseTerm& term, int64_t j, int64_t d, LatentGradient& out);

}  // namespace rebound
