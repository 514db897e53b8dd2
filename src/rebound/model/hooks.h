// Reading and editing activations during a run.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <set>

#include "rebound/model/site.h"

namespace rebound {

// Which rows of a batch a value covers. A full run has all positions, a segment only some.
struct Rows {
  at::Tensor position;  // [batch, rows] int64: position in the sequence
  at::Tensor is_real;   // [batch, rows] bool: false for padding
  at::Tensor length;    // [batch, 1] int64: tokens of the example; the answer is at length - 1
};

// Replaces the value at a residual site; `value` is [batch, rows, d_model]. Must be differentiable
// when gradients are wanted and must not write into `value`.
using SiteEdit = std::function<at::Tensor(const at::Tensor& value, const Rows& rows)>;

struct Hooks {
  std::map<Site, SiteEdit> edits;
  std::set<Site> capture;
};

using Activations = std::map<Site, at::Tensor>;

}  // namespace rebound
