// Memory for large results: blocks that are kept for reuse, within limits, and owned by one caller at a time.
#include "../../csrc/cpu/memory.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace twodasl::test {

namespace {

constexpr size_t kMegabyte = size_t(1) << 20;

// Starts and ends with nothing kept.
class Memory : public testing::Test {
 protected:
  void SetUp() override {
    void* const block = cpu::acquire(cpu::kSmallestBlock);
    if (block == nullptr) GTEST_SKIP() << "this system gives no blocks";
    cpu::release(block, cpu::kSmallestBlock);
    cpu::release_idle();
  }
  void TearDown() override {
    cpu::release_idle();
    EXPECT_EQ(cpu::idle_bytes(), 0u);
  }
};

bool is_mapped(void* block) {
  unsigned char resident = 0;
  return mincore(block, 1, &resident) == 0 || errno != ENOMEM;
}

TEST_F(Memory, IsAllThereAndLargeBlocksAreAligned) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (const size_t bytes : {cpu::kSmallestBlock, cpu::kSmallestBlock + 1, 2 * kMegabyte - 1, 2 * kMegabyte,
                             2 * kMegabyte + 1, 5 * kMegabyte + 12345, 16 * kMegabyte}) {
    SCOPED_TRACE(testing::Message() << bytes << " bytes");
    auto* const block = static_cast<unsigned char*>(cpu::acquire(bytes));
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % (bytes >= 2 * kMegabyte ? 2 * kMegabyte : page), 0u);
    for (size_t i = 0; i < bytes; i += page) block[i] = 1;
    block[bytes - 1] = 1;
    EXPECT_EQ(cpu::idle_bytes(), 0u);
    cpu::release(block, bytes);
    EXPECT_GE(cpu::idle_bytes(), bytes);
    EXPECT_LT(cpu::idle_bytes(), bytes + 2 * kMegabyte);
    cpu::release_idle();
    EXPECT_EQ(cpu::idle_bytes(), 0u);
    EXPECT_FALSE(is_mapped(block));
  }
}

TEST_F(Memory, IsReusedForTheSameSizeAlone) {
  void* const block = cpu::acquire(3 * kMegabyte);
  std::memset(block, 1, 3 * kMegabyte);
  cpu::release(block, 3 * kMegabyte);
  const size_t kept = cpu::idle_bytes();
  void* const other = cpu::acquire(kMegabyte);
  EXPECT_NE(other, block);
  EXPECT_EQ(cpu::idle_bytes(), kept);  // little enough to stay while more is requested
  void* const again = cpu::acquire(3 * kMegabyte);
  EXPECT_EQ(again, block);
  EXPECT_EQ(cpu::idle_bytes(), 0u);
  std::memset(again, 2, 3 * kMegabyte);
  void* const second = cpu::acquire(3 * kMegabyte);
  EXPECT_NE(second, again);
  cpu::release(again, 3 * kMegabyte);
  cpu::release(second, 3 * kMegabyte);
  cpu::release(other, kMegabyte);
  EXPECT_EQ(cpu::idle_bytes(), 2 * kept + kMegabyte);
}

// The peak is that of a program without reuse: large kept blocks are released before more is requested.
TEST_F(Memory, KeepsLittleWhileMoreIsAskedFor) {
  void* const large = cpu::acquire(10 * kMegabyte);
  cpu::release(large, 10 * kMegabyte);
  EXPECT_EQ(cpu::idle_bytes(), 10 * kMegabyte);
  void* const other = cpu::acquire(12 * kMegabyte);
  EXPECT_EQ(cpu::idle_bytes(), 0u);
  cpu::release(other, 12 * kMegabyte);
}

TEST_F(Memory, KeepsALimitedSum) {
  std::vector<void*> blocks;
  for (int i = 0; i < 6; ++i) blocks.push_back(cpu::acquire(64 * kMegabyte));
  for (void* const block : blocks) cpu::release(block, 64 * kMegabyte);
  EXPECT_EQ(cpu::idle_bytes(), 256 * kMegabyte);
  EXPECT_FALSE(is_mapped(blocks.back()));
}

TEST_F(Memory, KeepsALimitedNumber) {
  std::vector<void*> blocks;
  for (int i = 0; i < 20; ++i) blocks.push_back(cpu::acquire(cpu::kSmallestBlock));
  for (void* const block : blocks) cpu::release(block, cpu::kSmallestBlock);
  EXPECT_GE(cpu::idle_bytes(), cpu::kSmallestBlock);
  EXPECT_LT(cpu::idle_bytes(), 20 * cpu::kSmallestBlock);
  EXPECT_FALSE(is_mapped(blocks.back()));
}

// The one whose pages are likeliest in a cache.
TEST_F(Memory, GivesWhatWasGivenBackLast) {
  void* const first = cpu::acquire(kMegabyte);
  void* const second = cpu::acquire(kMegabyte);
  cpu::release(second, kMegabyte);
  cpu::release(first, kMegabyte);
  EXPECT_EQ(cpu::acquire(kMegabyte), first);
  EXPECT_EQ(cpu::acquire(kMegabyte), second);
  cpu::release(first, kMegabyte);
  cpu::release(second, kMegabyte);
  EXPECT_EQ(cpu::acquire(kMegabyte), second);
  cpu::release(second, kMegabyte);
}

// Of what was offered to the system nothing may be lost that a new owner writes, and of the rest nothing at all is.
TEST_F(Memory, KeepsItsPagesUpToALimit) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  constexpr size_t bytes = 24 * kMegabyte;
  auto* const block = static_cast<unsigned char*>(cpu::acquire(bytes));
  for (size_t i = 0; i < bytes; i += page) block[i] = 7;
  cpu::release(block, bytes);
  EXPECT_EQ(cpu::acquire(bytes), block);
  for (size_t i = 0; i < bytes; i += page) ASSERT_EQ(block[i], 7);
  auto* const other = static_cast<unsigned char*>(cpu::acquire(bytes));
  cpu::release(block, bytes);
  cpu::release(other, bytes);  // together more than what stays: the older one is offered
  EXPECT_EQ(cpu::idle_bytes(), 2 * bytes);
  EXPECT_EQ(cpu::acquire(bytes), other);
  EXPECT_EQ(cpu::acquire(bytes), block);
  for (size_t i = 0; i < bytes; i += page) block[i] = 9;
  for (size_t i = 0; i < bytes; i += page) ASSERT_EQ(block[i], 9);
  cpu::release(block, bytes);
  cpu::release(other, bytes);
}

// Whatever the address and the size, the contents stay.
TEST_F(Memory, AskingForLargePagesChangesNothing) {
  const size_t bytes = 5 * kMegabyte;
  auto* const block = static_cast<unsigned char*>(cpu::acquire(bytes));
  std::memset(block, 7, bytes);
  for (const size_t offset : {size_t(0), size_t(1), size_t(4096), 2 * kMegabyte - 1}) {
    for (const size_t size : {size_t(0), size_t(1), size_t(4096), 2 * kMegabyte, bytes - offset}) {
      if (offset + size <= bytes) cpu::prefer_huge_pages(block + offset, size);
    }
  }
  for (size_t i = 0; i < bytes; ++i) ASSERT_EQ(block[i], 7);
  cpu::release(block, bytes);
}

// Every owner writes its own number into its block and finds it there afterwards; ThreadSanitizer sees the rest.
TEST_F(Memory, ManyThreadsNeverShareABlock) {
  constexpr int kThreads = 8, kRounds = 400;
  constexpr size_t kSizes[] = {cpu::kSmallestBlock, 2 * cpu::kSmallestBlock, 3 * kMegabyte};
  std::atomic<int> shared{0}, failed{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937 random(static_cast<unsigned>(thread));
      for (int round = 0; round < kRounds; ++round) {
        const size_t bytes = kSizes[random() % 3], last = bytes / sizeof(int) - 1;
        void* const data = cpu::acquire(bytes);
        volatile int* const block = static_cast<int*>(data);
        if (data == nullptr) {
          ++failed;
          continue;
        }
        const int number = thread * kRounds + round;
        block[0] = block[last] = number;
        if (random() % 4 == 0) std::this_thread::yield();
        if (block[0] != number || block[last] != number) ++shared;
        cpu::release(data, bytes);
        if (random() % 64 == 0) cpu::release_idle();
        static_cast<void>(cpu::idle_bytes());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shared, 0);
  EXPECT_EQ(failed, 0);
}

}  // namespace

}  // namespace twodasl::test
