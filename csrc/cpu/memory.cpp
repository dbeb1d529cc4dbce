#include "memory.h"

#include <cstdint>
#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace twodasl::cpu {

#if defined(__linux__)

namespace {

constexpr size_t kHuge = size_t(2) << 20;
constexpr size_t kPage = 64 * 1024;
constexpr int kSlots = 8;
constexpr size_t kMostIdle = size_t(256) << 20;  // kept in all
constexpr size_t kSpare = size_t(8) << 20;       // kept while more is requested from the system
constexpr size_t kWarm = size_t(32) << 20;       // kept as it is, as much as the C library keeps

struct Block {
  void* data;
  size_t bytes;
  uint64_t given_back;  // in which release, counted from 1
  bool offered;         // the system may take its pages
};

// Never destroyed: tensors may outlive every static object.
struct Pool {
  std::mutex mutex;
  Block idle[kSlots] = {};
  size_t bytes = 0;
  uint64_t releases = 0;
};
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

size_t rounded(size_t bytes) {
  const size_t unit = bytes >= kHuge ? kHuge : kPage;
  return (bytes + unit - 1) / unit * unit;
}

void* map(size_t bytes) {
  const size_t spare = bytes >= kHuge ? kHuge : 0;
  void* const raw = mmap(nullptr, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  if (spare == 0) return raw;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(raw), data = (begin + kHuge - 1) & ~(kHuge - 1);
  if (data > begin) munmap(raw, data - begin);
  const uintptr_t end = data + bytes, mapped = begin + bytes + spare;
  if (mapped > end) munmap(reinterpret_cast<void*>(end), mapped - end);
  prefer_huge_pages(reinterpret_cast<void*>(data), bytes);
  return reinterpret_cast<void*>(data);
}

// The caller holds the mutex.
void drop_all(Pool& p) {
  for (Block& block : p.idle) {
    if (block.data != nullptr) munmap(block.data, block.bytes);
    block = {};
  }
  p.bytes = 0;
}

// Offers the system the pages of all but the blocks given back last. It costs a flush of every core's translations, and
// a block's pages are marked anew when it is reused: a tenth of a millisecond on a virtual machine.
void offer_older([[maybe_unused]] Pool& p) {
#if defined(MADV_FREE)
  for (;;) {
    size_t warm = 0;
    Block* oldest = nullptr;
    for (Block& block : p.idle) {
      if (block.data == nullptr || block.offered) continue;
      warm += block.bytes;
      if (oldest == nullptr || block.given_back < oldest->given_back) oldest = &block;
    }
    if (warm <= kWarm) return;
    madvise(oldest->data, oldest->bytes, MADV_FREE);
    oldest->offered = true;
  }
#endif
}

}  // namespace

void* acquire(size_t bytes) {
  const size_t size = rounded(bytes);
  Pool& p = pool();
  // A process forked while another thread held the mutex finds it locked forever: never wait.
  const std::unique_lock<std::mutex> lock(p.mutex, std::try_to_lock);
  if (lock.owns_lock()) {
    Block* latest = nullptr;
    for (Block& block : p.idle) {
      if (block.data == nullptr || block.bytes != size) continue;
      if (latest == nullptr || block.given_back > latest->given_back) latest = &block;
    }
    if (latest != nullptr) {
      void* const data = latest->data;
      *latest = {};
      p.bytes -= size;
      return data;
    }
    // Drop what is kept before allocating more, so that peak memory is that of a program without reuse.
    if (p.bytes > kSpare) drop_all(p);
  }
  return map(size);
}

void release(void* data, size_t bytes) {
  const size_t size = rounded(bytes);
  Pool& p = pool();
  const std::unique_lock<std::mutex> lock(p.mutex, std::try_to_lock);
  if (lock.owns_lock() && p.bytes + size <= kMostIdle) {
    for (Block& block : p.idle) {
      if (block.data != nullptr) continue;
      block = {data, size, ++p.releases, false};
      p.bytes += size;
      offer_older(p);
      return;
    }
  }
  munmap(data, size);
}

void release_idle() {
  Pool& p = pool();
  const std::unique_lock<std::mutex> lock(p.mutex, std::try_to_lock);
  if (lock.owns_lock()) drop_all(p);
}

size_t idle_bytes() {
  Pool& p = pool();
  const std::unique_lock<std::mutex> lock(p.mutex, std::try_to_lock);
  return lock.owns_lock() ? p.bytes : 0;
}

void prefer_huge_pages(void* data, size_t bytes) {
#if defined(MADV_HUGEPAGE)
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kHuge - 1) & ~(kHuge - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(kHuge - 1);
  // Whole pages inside the block only. A kernel that declines leaves things as they were.
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)data;
  (void)bytes;
#endif
}

#else

void* acquire(size_t) { return nullptr; }
void release(void*, size_t) {}
void release_idle() {}
size_t idle_bytes() { return 0; }
void prefer_huge_pages(void*, size_t) {}

#endif

}  // namespace twodasl::cpu
