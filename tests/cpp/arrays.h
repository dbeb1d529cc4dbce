// Arrays placed so that an access outside of them is detected, and the splitting of tasks over threads.
#pragma once

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <thread>
#include <type_traits>
#include <vector>

extern "C" __attribute__((weak)) void __tsan_init();

namespace twodasl::test {

enum class Place {
  exact,    // a heap block of exactly this size, which AddressSanitizer guards; a null pointer when empty
  shifted,  // one element past a 64-byte boundary, with a known pattern before and after
  fenced,   // ends at a page that cannot be touched: this stops masked loads and gathers too, in every build
};
inline constexpr Place kPlaces[] = {Place::exact, Place::shifted, Place::fenced};

inline const char* name(Place place) {
  return place == Place::exact ? "exact" : place == Place::shifted ? "shifted" : "fenced";
}

// `count` elements, bytes all ones at first: NaN in every floating-point format, -1 in integers.
template <class T>
class Array {
 public:
  Array(Place place, int64_t count) : place_(place), count_(count) {
    const size_t bytes = sizeof(T) * static_cast<size_t>(count);
    if (place == Place::exact) {
      begin_ = count > 0 ? static_cast<unsigned char*>(::operator new(bytes)) : nullptr;
      base_ = begin_;
      capacity_ = bytes;
    } else if (place == Place::shifted) {
      capacity_ = kAlign + sizeof(T) + bytes + kAlign;
      base_ = static_cast<unsigned char*>(::operator new(capacity_, std::align_val_t(kAlign)));
      begin_ = base_ + kAlign + sizeof(T);
    } else {
      const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
      capacity_ = (bytes + page - 1) / page * page;
      mapped_ = capacity_ + page;
      void* pages = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (pages == MAP_FAILED) throw std::bad_alloc();
      base_ = static_cast<unsigned char*>(pages);
      mprotect(base_ + capacity_, page, PROT_NONE);
      begin_ = base_ + capacity_ - bytes;
    }
    if (capacity_ > 0) std::memset(base_, kPattern, capacity_);
    if (bytes > 0) std::memset(begin_, 0xff, bytes);
  }
  ~Array() {
    if (place_ == Place::exact) {
      ::operator delete(base_);
    } else if (place_ == Place::shifted) {
      ::operator delete(base_, std::align_val_t(kAlign));
    } else {
      munmap(base_, mapped_);
    }
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() { return reinterpret_cast<T*>(begin_); }
  const T* data() const { return reinterpret_cast<const T*>(begin_); }
  int64_t size() const { return count_; }
  T& operator[](int64_t i) { return data()[i]; }
  const T& operator[](int64_t i) const { return data()[i]; }
  T* begin() { return data(); }
  T* end() { return data() + count_; }

  std::vector<unsigned char> bits() const { return {begin_, begin_ + sizeof(T) * static_cast<size_t>(count_)}; }

  // Whether everything around the elements still holds the pattern.
  bool untouched_around() const {
    const unsigned char* last = begin_ + sizeof(T) * static_cast<size_t>(count_);
    const auto same = [](unsigned char byte) { return byte == kPattern; };
    return std::all_of(static_cast<const unsigned char*>(base_), static_cast<const unsigned char*>(begin_), same) &&
           std::all_of(last, static_cast<const unsigned char*>(base_) + capacity_, same);
  }

 private:
  static constexpr size_t kAlign = 64;
  static constexpr unsigned char kPattern = 0xa5;
  Place place_;
  int64_t count_;
  unsigned char* base_ = nullptr;   // where the pattern starts
  unsigned char* begin_ = nullptr;  // where the elements start
  size_t capacity_ = 0;             // bytes of pattern and elements
  size_t mapped_ = 0;
};

// Whether the program runs under ThreadSanitizer. One thread for every task shows it each race; places and other
// splits would repeat, slowly, what the other programs check.
inline bool looks_for_races() { return &__tsan_init != nullptr; }

// How a range of tasks is divided among threads. What a kernel writes must not depend on it, nor on where it writes.
inline constexpr int kOneTaskEach = 0;
inline std::vector<int> splits(Place place) {
  if (looks_for_races()) return place == Place::exact ? std::vector<int>{1, kOneTaskEach} : std::vector<int>{};
  return place == Place::exact ? std::vector<int>{1, 2, 3, 7, kOneTaskEach} : std::vector<int>{1};
}

template <class Run>
void split(int64_t tasks, int threads, const Run& run) {
  std::vector<std::thread> started;
  if (threads == kOneTaskEach) {
    // Neighboring tasks on different threads.
    constexpr int64_t kThreads = 8;
    for (int64_t first = 0; first < std::min(tasks, kThreads); ++first) {
      started.emplace_back([=, &run] {
        for (int64_t task = first; task < tasks; task += kThreads) run(task, task + 1);
      });
    }
  } else {
    for (int64_t i = 0; i < threads; ++i) {
      started.emplace_back([=, &run] { run(tasks * i / threads, tasks * (i + 1) / threads); });
    }
  }
  for (std::thread& thread : started) thread.join();
}

}  // namespace twodasl::test
