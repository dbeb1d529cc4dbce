// How a long call ends early: the program that loads the library may set a function that requests it, for instance
// after a signal. Kernels are unaware of it; it is called between pieces of their work.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "stable.h"

namespace twodasl::ops {

// Called in the thread that made a long call: whether the call should end. Null if it is not set.
extern std::atomic<int (*)()> interruption_hook;

class Interruption {
 public:
  // In any of a call's threads, between pieces of work.
  bool asked() {
    if (asked_.load(std::memory_order_relaxed)) return true;
    if (std::this_thread::get_id() != caller_) return false;
    const auto now = Clock::now();
    if (now < next_) return false;
    next_ = now + kEvery;
    int (*const hook)() = interruption_hook;
    if (hook != nullptr && hook() != 0) asked_ = true;
    return asked_;
  }
  // At a call's end, in the thread that made it.
  void check() const { STD_TORCH_CHECK(!asked_, "twodasl: interrupted"); }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kEvery{100};

  const std::thread::id caller_ = std::this_thread::get_id();
  Clock::time_point next_ = Clock::now() + kEvery;  // the caller's alone
  std::atomic<bool> asked_{false};
};

}  // namespace twodasl::ops
