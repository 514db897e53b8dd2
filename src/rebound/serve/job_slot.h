// One seat for work with the model: whoever finds it taken is told to come back, nothing queues.
#pragma once

#include <atomic>
#include <memory>

namespace rebound {

class JobSlot {
 public:
  // Gives the seat back when the last copy goes.
  using Seat = std::shared_ptr<void>;

  JobSlot();
  Seat take();  // null: taken
  bool is_taken() const { return *is_taken_; }

 private:
  std::shared_ptr<std::atomic<bool>> is_taken_;  // a seat may outlive the slot
};

}  // namespace rebound
