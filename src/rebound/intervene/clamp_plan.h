// A defence over several sites: at most one clamp a site, all live at once.
#pragma once

#include <memory>
#include <vector>

#include "rebound/intervene/clamp.h"
#include "rebound/model/config.h"

namespace rebound {

class ClampPlan {
 public:
  // Throws ConfigError for no clamp, two at one site (resid_post of a layer is resid_pre of the next),
  // a layer the model does not have, and another width than d_model.
  ClampPlan(std::vector<std::shared_ptr<const Clamp>> clamps, const ModelConfig& model);

  // In the order in which a forward pass reaches them.
  const std::vector<std::shared_ptr<const Clamp>>& clamps() const { return clamps_; }
  size_t size() const { return clamps_.size(); }
  // All clamps as edits. The plan must outlive the hooks.
  Hooks hooks() const;
  Json to_json() const;

 private:
  std::vector<std::shared_ptr<const Clamp>> clamps_;
};

}  // namespace rebound
