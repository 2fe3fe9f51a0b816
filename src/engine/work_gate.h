// Lets work on a GPU go before measuring on it: measuring runs in slices while nothing else does,
// and ends a slice as soon as work waits.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace sinter::engine {

class WorkGate {
 public:
  using Clock = std::chrono::steady_clock;

  // Waits for the end of a slice under way. Work of several threads goes on at the same time.
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

  // Begins a slice unless there is work, or there was some less than `quiet` ago; returns whether
  // it did. One thread at a time.
  bool BeginSlice(Clock::duration quiet) {
    std::lock_guard lock(mutex_);
    if (work_ > 0 || Clock::now() - last_work_ < quiet) return false;
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

  // Work for as long as it lives.
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
