#include <ATen/ATen.h>

#include <algorithm>

#include "rebound/model/transformer.h"

namespace rebound {
namespace {

// `columns` appended to `all` [batch, n_kv_heads, room, d_head] behind the `used` ones.
void append_columns(at::Tensor& all, int64_t used, const at::Tensor& columns) {
  const int64_t needed = used + columns.size(2);
  if (needed > all.size(2)) {
    constexpr int64_t kLeastRoom = 32;
    const int64_t room = std::max(needed, used + used / 2 + kLeastRoom) - used;
    at::Tensor spare = all.new_empty({all.size(0), all.size(1), room, all.size(3)});
    all = at::cat({all.narrow(2, 0, used), spare}, 2);
  }
  all.narrow(2, used, columns.size(2)).copy_(columns);
}

}  // namespace

KvBuffer::KvBuffer(KvCache cache) : cache_(std::move(cache)) {
  for (const at::Tensor& keys : cache_.keys) used_.push_back(keys.size(2));
}

std::pair<at::Tensor, at::Tensor> KvBuffer::append(int64_t layer,
                                                   const at::Tensor& keys,
                                                   const at::Tensor& values) {
  const auto i = static_cast<size_t>(layer);
  append_columns(cache_.keys[i], used_[i], keys);
  append_columns(cache_.values[i], used_[i], values);
  used_[i] += keys.size(2);
  return {cache_.keys[i].narrow(2, 0, used_[i]), cache_.values[i].narrow(2, 0, used_[i])};
}

void KvBuffer::select(const at::Tensor& index) {
  for (at::Tensor& keys : cache_.keys) keys = keys.index_select(0, index);
  for (at::Tensor& values : cache_.values) values = values.index_select(0, index);
}

}  // namespace rebound
