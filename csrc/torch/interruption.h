// How a long call ends early: whoever loads the library may give a function that says so, for instance because a signal
// has come. Kernels know nothing of it; it is asked between pieces of their work.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "stable.h"

namespace twodasl::ops {

// Asked in the thread that made a call, if it takes long: whether the call is to end. Null where nobody has given one.
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
