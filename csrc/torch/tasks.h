// Tasks on torch's threads, and scratch memory for the duration of a call.
#pragma once

#include <algorithm>
#include <atomic>
#include <vector>

#include "allocate.h"
#include "interruption.h"

namespace twodasl::ops {

// Threads take tasks one by one, so that a delayed thread leaves the rest to the others. No result depends on which
// thread runs a task. There is one thread for every `worth` tasks: all threads must finish, so for little work a single
// one is as fast on an idle machine, and far faster on a busy one, where the others have to wait for a core.
// If the call is interrupted or a task throws, no further task starts and `each` throws.
template <class Run>
void each(int64_t tasks, const Run& run, int64_t worth = 1) {
  const int64_t threads = std::min<int64_t>(torch::stable::get_num_threads(), tasks / worth);
  std::atomic<int64_t> next{0};
  Interruption interruption;
  const auto work = [&](int64_t, int64_t) {
    try {
      for (int64_t task; (task = next.fetch_add(1)) < tasks;) {
        run(task);
        if (interruption.asked()) next = tasks;
      }
    } catch (...) {
      next = tasks;
      throw;
    }
  };
  if (threads <= 1) {
    work(0, 1);
  } else {
    torch::stable::parallel_for(0, threads, 1, work);
  }
  interruption.check();
}

inline int64_t chunks(int64_t count, int64_t size) { return (count + size - 1) / size; }

// The lowest task that failed; `tasks` if none did.
class FirstWrong {
 public:
  explicit FirstWrong(int64_t tasks) : tasks_(tasks), first_(tasks) {}
  void add(int64_t task) {
    for (int64_t seen = first_; task < seen && !first_.compare_exchange_weak(seen, task);) {
    }
  }
  bool none() const { return first_ == tasks_; }
  int64_t get() const { return first_; }

 private:
  const int64_t tasks_;
  std::atomic<int64_t> first_;
};

class Scratch {
 public:
  explicit Scratch(size_t bytes) : bytes_(bytes), data_(bytes >= cpu::kSmallestBlock ? cpu::acquire(bytes) : nullptr) {
    if (data_ == nullptr) small_.resize(bytes / sizeof(uint64_t) + 1);
  }
  ~Scratch() {
    if (data_ != nullptr) cpu::release(data_, bytes_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  uint64_t* keys() { return data_ != nullptr ? static_cast<uint64_t*>(data_) : small_.data(); }

 private:
  size_t bytes_;
  void* data_;
  std::vector<uint64_t> small_;
};

}  // namespace twodasl::ops
