// Gives work on a GPU priority over measuring. Measuring runs in slices while there is no work, and
// ends a slice as soon as work waits.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace sinter::engine {

class WorkGate {
 public:
  using Clock = std::chrono::steady_clock;

  // Waits for the end of the current slice. Work of several threads may run at the same time.
  void BeginWork() {
    std::unique_lock lock(mutex_);
    ++work_;
    changed_.wait(lock, [&] { return !slice_; });
  }
  void EndWork() noexcept {
    std::lock_guard lock(mutex_);
    --work_;
    last_work_ = Clock::now();
  }

  // Begins a slice unless work or another slice is in progress, or work ended less than `quiet`
  // ago. Returns whether the slice began.
  bool BeginSlice(Clock::duration quiet) {
    std::lock_guard lock(mutex_);
    if (slice_ || work_ > 0 || Clock::now() - last_work_ < quiet) return false;
    slice_ = true;
    return true;
  }
  void EndSlice() {
    {
      std::lock_guard lock(mutex_);
      slice_ = false;
    }
    changed_.notify_all();
  }
  // Returns whether work waits for the end of the slice.
  bool WorkWaits() const {
    std::lock_guard lock(mutex_);
    return work_ > 0;
  }

  // Counts as work during its lifetime.
  class Scope {
   public:
    explicit Scope(WorkGate& gate) : gate_(gate) { gate_.BeginWork(); }
    ~Scope() { gate_.EndWork(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    WorkGate& gate_;
  };

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int work_ = 0;
  bool slice_ = false;
  Clock::time_point last_work_{};
};

}  // namespace sinter::engine
