#include "rebound/sae/sparse_code.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/base/shape.h"
#include "rebound/sae/vector_math.h"

namespace rebound {
namespace {

constexpr int64_t kTokenGrain = 16;
constexpr int64_t kBlock = 64;

// Positive bfloat16 values order like their bits read as int16; negative ones are below all.
using Key = int16_t;
struct Candidate {
  int32_t latent;
  Key key;
};
using Candidates = std::vector<std::vector<Candidate>>;  // per token

float value_of(Key key) {
  return std::bit_cast<float>(static_cast<uint32_t>(static_cast<uint16_t>(key)) << 16);
}

Key key_of(float value) {
  return value > 0 ? static_cast<Key>(std::bit_cast<uint32_t>(value) >> 16) : Key{0};
}

const Key* keys_of(const at::Tensor& pre) {
  TORCH_INTERNAL_ASSERT(pre.scalar_type() == at::kBFloat16 && pre.is_contiguous());
  return reinterpret_cast<const Key*>(pre.data_ptr());
}

void collect_row(const Key* row, int64_t d_sae, Key limit, std::vector<Candidate>& out) {
  out.clear();
  for (int64_t start = 0; start < d_sae; start += kBlock) {
    const int64_t n = std::min(kBlock, d_sae - start);
    if (count_above(row + start, limit, n) == 0) continue;
    for (int64_t i = start; i < start + n; ++i) {
      if (row[i] > limit) out.push_back({static_cast<int32_t>(i), row[i]});
    }
  }
}

void keep_top(std::vector<Candidate>& row, int64_t k) {
  if (static_cast<int64_t>(row.size()) <= k) return;
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.key != b.key ? a.key > b.key : a.latent < b.latent;
  };
  std::nth_element(row.begin(), row.begin() + k, row.end(), before);
  row.resize(static_cast<size_t>(k));
  std::sort(row.begin(), row.end(), [](const Candidate& a, const Candidate& b) {
    return a.latent < b.latent;
  });
}

// Entries with key >= limit.
SparseCode packed(const Candidates& rows, Key limit) {
  SparseCode code;
  const auto tokens = static_cast<int64_t>(rows.size());
  code.begin.assign(rows.size() + 1, 0);
  run_ranges(tokens, kTokenGrain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      code.begin[t + 1] = std::count_if(
          rows[t].begin(), rows[t].end(), [&](const Candidate& c) { return c.key >= limit; });
    }
  });
  for (int64_t t = 0; t < tokens; ++t) code.begin[t + 1] += code.begin[t];
  code.latent.resize(static_cast<size_t>(code.begin.back()));
  code.value.resize(code.latent.size());
  run_ranges(tokens, kTokenGrain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      int64_t at = code.begin[t];
      for (const Candidate& c : rows[t]) {
        if (c.key < limit) continue;
        code.latent[at] = c.latent;
        code.value[at++] = value_of(c.key);
      }
    }
  });
  return code;
}

Candidates collect(const at::Tensor& pre, Key limit) {
  const Key* keys = keys_of(pre);
  const int64_t d_sae = pre.size(1);
  Candidates rows(static_cast<size_t>(pre.size(0)));
  run_ranges(pre.size(0), kTokenGrain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) collect_row(keys + t * d_sae, d_sae, limit, rows[t]);
  });
  return rows;
}

int64_t total(const Candidates& rows) {
  int64_t count = 0;
  for (const auto& row : rows) count += static_cast<int64_t>(row.size());
  return count;
}

// The largest key such that at least `wanted` candidates reach it.
Key cut_of(const Candidates& rows, int64_t wanted) {
  std::vector<int64_t> histogram(1 << 15, 0);
  for (const auto& row : rows) {
    for (const Candidate& c : row) ++histogram[static_cast<size_t>(c.key)];
  }
  int64_t seen = 0;
  for (int64_t key = (1 << 15) - 1; key > 0; --key) {
    seen += histogram[static_cast<size_t>(key)];
    if (seen >= wanted) return static_cast<Key>(key);
  }
  return 1;
}

}  // namespace

SparseCode select_batch_top_k(const at::Tensor& pre, int64_t k, float& floor) {
  const int64_t wanted = pre.size(0) * k;
  Candidates rows = collect(pre, key_of(floor));
  while (total(rows) < wanted && floor > 0) {
    floor = floor > 1e-3f ? floor * 0.5f : 0.0f;
    rows = collect(pre, key_of(floor));
  }
  const Key cut = cut_of(rows, wanted);
  floor = value_of(cut) * 0.8f;
  return packed(rows, cut);
}

SparseCode select_top_k(const at::Tensor& pre, int64_t k, float& floor) {
  const Key* keys = keys_of(pre);
  const int64_t d_sae = pre.size(1);
  const Key limit = key_of(floor);
  Candidates rows(static_cast<size_t>(pre.size(0)));
  std::vector<Key> smallest(rows.size(), 0);
  run_ranges(pre.size(0), kTokenGrain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      collect_row(keys + t * d_sae, d_sae, limit, rows[t]);
      if (static_cast<int64_t>(rows[t].size()) < k && limit > 0) {
        collect_row(keys + t * d_sae, d_sae, 0, rows[t]);
      }
      keep_top(rows[t], k);
      Key low = rows[t].empty() ? Key{0} : rows[t].front().key;
      for (const Candidate& c : rows[t]) low = std::min(low, c.key);
      smallest[t] = low;
    }
  });
  // A tenth of the tokens cut below the guess.
  const auto tenth = smallest.begin() + static_cast<int64_t>(smallest.size() / 10);
  std::nth_element(smallest.begin(), tenth, smallest.end());
  floor = value_of(*tenth) * 0.9f;
  return packed(rows, 1);
}

SparseCode select_top_k_among(const at::Tensor& pre,
                              const std::vector<int32_t>& latents,
                              int64_t k,
                              int64_t tokens) {
  const Key* keys = keys_of(pre);
  const int64_t d_sae = pre.size(1);
  Candidates rows(static_cast<size_t>(tokens));
  run_ranges(tokens, kTokenGrain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      for (const int32_t j : latents) {
        const Key key = keys[t * d_sae + j];
        if (key > 0) rows[t].push_back({j, key});
      }
      keep_top(rows[t], k);
    }
  });
  return packed(rows, 1);
}

LatentIndex index_by_latent(const SparseCode& code, int64_t d_sae) {
  LatentIndex index;
  index.begin.assign(static_cast<size_t>(d_sae) + 1, 0);
  for (const int32_t j : code.latent) ++index.begin[j + 1];
  for (int64_t j = 0; j < d_sae; ++j) index.begin[j + 1] += index.begin[j];
  index.token.resize(code.latent.size());
  index.entry.resize(code.latent.size());
  std::vector<int64_t> next(index.begin.begin(), index.begin.end() - 1);
  for (int64_t t = 0; t < code.tokens(); ++t) {
    for (int64_t i = code.begin[t]; i < code.begin[t + 1]; ++i) {
      const int64_t at = next[code.latent[i]]++;
      index.token[at] = static_cast<int32_t>(t);
      index.entry[at] = i;
    }
  }
  return index;
}

at::Tensor residual(const SparseCode& code, const at::Tensor& W_dec, const at::Tensor& target) {
  const int64_t d = W_dec.size(1);
  check_shape("residual target", target, {{"tokens"}, {"d", d}});
  at::Tensor e = -target.slice(0, 0, code.tokens());
  const float* rows = W_dec.data_ptr<float>();
  float* out = e.data_ptr<float>();
  run_ranges(code.tokens(), kTokenGrain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      for (int64_t i = code.begin[t]; i < code.begin[t + 1]; ++i) {
        add_scaled(out + t * d, rows + code.latent[i] * d, code.value[i], d);
      }
    }
  });
  return e;
}

std::vector<float> code_gradient(const SparseCode& code,
                                 const at::Tensor& e,
                                 const at::Tensor& W_dec,
                                 float scale) {
  const int64_t d = W_dec.size(1);
  const float* rows = W_dec.data_ptr<float>();
  const float* errors = e.data_ptr<float>();
  std::vector<float> df(code.latent.size());
  run_ranges(code.tokens(), kTokenGrain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      for (int64_t i = code.begin[t]; i < code.begin[t + 1]; ++i) {
        df[i] = scale * dot(errors + t * d, rows + code.latent[i] * d, d);
      }
    }
  });
  return df;
}

SparseTerm make_term(
    SparseCode code, const at::Tensor& W_dec, const at::Tensor& target, at::Tensor x, float scale) {
  SparseTerm term;
  term.e = residual(code, W_dec, target);
  term.df = code_gradient(code, term.e, W_dec, scale);
  term.index = index_by_latent(code, W_dec.size(0));
  term.code = std::move(code);
  term.x = std::move(x);
  term.scale = scale;
  return term;
}

void add_latent_gradient(const SparseTerm& term, int64_t j, int64_t d, LatentGradient& out) {
  const float* e = term.e.data_ptr<float>();
  const float* x = term.x.data_ptr<float>();
  for (int64_t i = term.index.begin[j]; i < term.index.begin[j + 1]; ++i) {
    const int64_t t = term.index.token[i];
    const int64_t entry = term.index.entry[i];
    const float df = term.df[entry];
    add_scaled(out.W_dec, e + t * d, term.scale * term.code.value[entry], d);
    add_scaled(out.W_enc, x + t * d, df, d);
    out.b_enc += df;
  }
}

}  // namespace rebound
