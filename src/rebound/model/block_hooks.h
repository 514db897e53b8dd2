// Reading and editing the values of a block where its code reaches a site.
#pragma once

#include "rebound/model/transformer.h"

namespace rebound {

inline bool is_captured(const Transformer::BlockHooks& hooks, const Site& site) {
  return hooks.hooks && hooks.captured && hooks.hooks->capture.count(site);
}

inline void capture(const Transformer::BlockHooks& hooks,
                    const Site& site,
                    const at::Tensor& value) {
  if (is_captured(hooks, site)) (*hooks.captured)[site] = value;
}

inline at::Tensor edit_and_capture(const Transformer::BlockHooks& hooks,
                                   const Site& site,
                                   const at::Tensor& value,
                                   const Rows& rows) {
  if (!hooks.hooks) return value;
  const auto edit = hooks.hooks->edits.find(site);
  const at::Tensor edited = edit == hooks.hooks->edits.end() ? value : edit->second(value, rows);
  capture(hooks, site, edited);
  return edited;
}

// Rows `keep` [batch, kept] of x [batch, rows, ...], flattened behind the rows.
inline at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& keep) {
  return x.gather(1, keep.unsqueeze(-1).expand({-1, -1, x.size(-1)}));
}

}  // namespace rebound
