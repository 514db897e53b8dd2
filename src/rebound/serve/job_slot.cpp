#include "rebound/serve/job_slot.h"

namespace rebound {

JobSlot::JobSlot() : is_taken_(std::make_shared<std::atomic<bool>>(false)) {}

JobSlot::Seat JobSlot::take() {
  if (is_taken_->exchange(true)) return nullptr;
  const auto flag = is_taken_;
  return Seat(flag.get(), [flag](void*) { *flag = false; });
}

}  // namespace rebound
