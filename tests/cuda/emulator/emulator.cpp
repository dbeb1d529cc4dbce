// Grids, blocks, warps: the schedule, and the errors of a launch that cannot continue.
#include "emulator.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "fiber.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// The number of grids that have run: a test run without any has tested nothing.
extern "C" __attribute__((visibility("default"))) unsigned long long twodasl_emulator_launches;
unsigned long long twodasl_emulator_launches = 0;
// The last one's blocks in x and y, and the threads of a block: which tiles a launch chose.
extern "C" __attribute__((visibility("default"))) unsigned twodasl_emulator_grid[3];
unsigned twodasl_emulator_grid[3] = {};

namespace twodasl::emulator {

namespace {

constexpr size_t kLanes = 32;
constexpr size_t kStaticShared = 48 * 1024;

enum class State { ready, at_barrier, at_warp, done };

struct Thread {
  Fiber fiber;
  State state = State::done;
  uint3 index{};
  Site site;  // of what it waits at
  Operation operation{};
  unsigned mask = 0;
  uint64_t value = 0;
  uint64_t seen[kLanes] = {};  // what the lanes of the last warp operation brought
};

struct Machine {
  std::vector<Thread> threads;
  size_t count = 0;  // of the block
  size_t current = 0;
  Entry entry = nullptr;
  const void* arguments = nullptr;
  std::map<const void*, void*> shared;
  size_t static_bytes = 0;
  size_t dynamic_bytes = 0;
  void* dynamic_shared = nullptr;
  int votes = 0, voters = 0;  // of the last barrier
  std::string error;
  std::mt19937 random;
  int order = 0;
};
Machine machine;

void thread_main() {
  Thread& thread = machine.threads[machine.current];
  thread.fiber.arrive();
  machine.entry(machine.arguments);
  thread.state = State::done;
  thread.fiber.pause(true);
  std::abort();
}

void wait(State state, const Site& site) {
  Thread& thread = machine.threads[machine.current];
  thread.site = site;
  thread.state = state;
  thread.fiber.pause(false);
}

std::string where(size_t number) {
  const uint3& t = machine.threads[number].index;
  return "thread (" + std::to_string(t.x) + ", " + std::to_string(t.y) + ", " + std::to_string(t.z) + ") of block (" +
         std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + ")";
}

std::string place(const Site& site) { return std::string(site.file) + ":" + std::to_string(site.line); }

bool same(const Site& a, const Site& b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

std::vector<size_t> arranged(size_t count) {
  std::vector<size_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), size_t(0));
  if (machine.order == 1) std::reverse(numbers.begin(), numbers.end());
  if (machine.order > 1) std::shuffle(numbers.begin(), numbers.end(), machine.random);
  return numbers;
}

// Whether every lane of the leader's mask has reached the same operation.
bool complete(size_t first, const Thread& leader) {
  for (size_t lane = 0; lane < kLanes; ++lane) {
    if ((leader.mask >> lane & 1u) == 0) continue;
    const size_t number = first + lane;
    if (number >= machine.count) return false;
    const Thread& other = machine.threads[number];
    if (other.state != State::at_warp || other.mask != leader.mask || other.operation != leader.operation ||
        !same(other.site, leader.site)) {
      return false;
    }
  }
  return true;
}

// Resumes the lanes of a warp whose operation is complete.
bool release_warp(size_t first) {
  bool any = false;
  for (size_t i = first; i < std::min(first + kLanes, machine.count); ++i) {
    const Thread& leader = machine.threads[i];
    if (leader.state != State::at_warp || !complete(first, leader)) continue;
    const unsigned mask = leader.mask;
    uint64_t values[kLanes] = {};
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if ((mask >> lane & 1u) != 0) values[lane] = machine.threads[first + lane].value;
    }
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if ((mask >> lane & 1u) == 0) continue;
      std::copy(values, values + kLanes, machine.threads[first + lane].seen);
      machine.threads[first + lane].state = State::ready;
    }
    any = true;
  }
  return any;
}

// Runs a warp as far as it comes without the others, or, in a shuffled order, a part of the way. Whether it moved.
bool run_warp(size_t first) {
  const size_t lanes = std::min(kLanes, machine.count - first);
  bool moved = false;
  for (;;) {
    bool ran = false;
    for (const size_t lane : arranged(lanes)) {
      if (machine.threads[first + lane].state != State::ready) continue;
      machine.current = first + lane;
      threadIdx = machine.threads[first + lane].index;
      machine.threads[first + lane].fiber.resume();
      ran = true;
      if (!machine.error.empty()) return true;
    }
    moved = moved || ran;
    if (!release_warp(first)) return moved;
    if (machine.order > 1 && machine.random() % 4 == 0) return true;
  }
}

// Lets the block's threads go if all that live wait at one barrier.
bool release_block() {
  const Thread* leader = nullptr;
  size_t leads = 0;
  machine.votes = machine.voters = 0;
  for (size_t i = 0; i < machine.count; ++i) {
    const Thread& thread = machine.threads[i];
    if (thread.state == State::done) continue;
    if (thread.state != State::at_barrier) return false;
    if (leader == nullptr) {
      leader = &thread;
      leads = i;
    } else if (!same(leader->site, thread.site)) {
      machine.error = "emulator: " + where(leads) + " and " + where(i) + " wait at different barriers, " +
                      place(leader->site) + " and " + place(thread.site);
      return false;
    }
    machine.votes += thread.value != 0 ? 1 : 0;
    ++machine.voters;
  }
  for (size_t i = 0; i < machine.count; ++i) {
    if (machine.threads[i].state == State::at_barrier) machine.threads[i].state = State::ready;
  }
  return leader != nullptr;
}

void explain_standstill() {
  for (size_t i = 0; i < machine.count; ++i) {
    const Thread& thread = machine.threads[i];
    if (thread.state != State::at_warp) continue;
    machine.error = "emulator: " + where(i) + " waits at " + place(thread.site) + " for lanes of its warp that do not come";
    return;
  }
  machine.error = "emulator: the threads of a block wait for each other";
}

void run_block() {
  for (size_t i = 0; i < machine.count; ++i) {
    Thread& thread = machine.threads[i];
    thread.fiber.prepare(&thread_main);
    thread.state = State::ready;
    thread.index = {static_cast<unsigned>(i) % blockDim.x, static_cast<unsigned>(i) / blockDim.x % blockDim.y,
                    static_cast<unsigned>(i) / (blockDim.x * blockDim.y)};
  }
  const size_t warps = (machine.count + kLanes - 1) / kLanes;
  for (;;) {
    bool moved = false;
    for (const size_t warp : arranged(warps)) {
      moved = run_warp(warp * kLanes) || moved;
      if (!machine.error.empty()) return;
    }
    if (moved) continue;
    bool left = false;
    for (size_t i = 0; i < machine.count; ++i) left = left || machine.threads[i].state != State::done;
    if (!left) return;
    if (release_block()) continue;
    if (machine.error.empty()) explain_standstill();
    return;
  }
}

// Exactly this many bytes, all ones: NaN in every floating-point format, -1 in integers.
void* filled(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 16, bytes) != 0) std::abort();
  return std::memset(memory, 0xff, bytes);
}

void free_shared() {
  for (const auto& entry : machine.shared) std::free(entry.second);
  machine.shared.clear();
  machine.static_bytes = 0;
  std::free(machine.dynamic_shared);
  machine.dynamic_shared = nullptr;
}

const char* refusal(dim3 grid, uint64_t threads, dim3 block, size_t shared) {
  if (threads == 0 || threads > 1024) return "emulator: a block has 1 to 1024 threads";
  if (grid.x > 0x7fffffffu || grid.y > 65535u || grid.z > 65535u) return "emulator: the grid is too large";
  if (block.z > 64u) return "emulator: a block is at most 64 deep";
  if (shared > cuda::shared_limit()) return "emulator: more shared memory than a block may have";
  return nullptr;
}

}  // namespace

Votes wait_for_block(const Site& site, bool vote) {
  machine.threads[machine.current].value = vote ? 1 : 0;
  wait(State::at_barrier, site);
  return {machine.votes, machine.voters};
}

const uint64_t* wait_for_warp(Operation operation, unsigned mask, uint64_t value, const Site& site) {
  Thread& thread = machine.threads[machine.current];
  if ((mask >> lane() & 1u) == 0) fail("a thread takes part in an operation of its warp whose mask leaves it out");
  thread.operation = operation;
  thread.mask = mask;
  thread.value = value;
  wait(State::at_warp, site);
  return thread.seen;
}

int lane() { return static_cast<int>(machine.current % kLanes); }

void* shared_block(const void* key, size_t bytes) {
  void*& memory = machine.shared[key];
  if (memory == nullptr) {
    memory = filled(bytes);
    machine.static_bytes += bytes;
    if (machine.static_bytes > kStaticShared) fail("more than 48 KB of shared arrays of fixed size");
    if (machine.static_bytes + machine.dynamic_bytes > cuda::shared_limit()) {
      fail("the shared arrays of fixed and of given size are together more than a block may have");
    }
  }
  return memory;
}

void* dynamic_shared_block() { return machine.dynamic_shared; }

void fail(const char* message) {
  machine.error = "emulator: " + where(machine.current) + ": " + message;
  machine.threads[machine.current].fiber.pause(false);
  std::abort();
}

const char* run(Entry entry, const void* arguments, dim3 grid, dim3 block, size_t shared) {
  // One launch at a time: torch may call from several threads.
  static std::mutex mutex;
  thread_local std::string last;
  const std::lock_guard<std::mutex> lock(mutex);
  const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z, threads = uint64_t(block.x) * block.y * block.z;
  if (blocks == 0) return nullptr;
  if (const char* refused = refusal(grid, threads, block, shared)) return refused;
  const char* order = std::getenv("TWODASL_EMULATOR_ORDER");
  machine.order = order != nullptr ? std::atoi(order) : 0;
  machine.random.seed(static_cast<unsigned>(machine.order));
  if (machine.threads.size() < threads) machine.threads.resize(threads);
  machine.count = threads;
  machine.entry = entry;
  machine.arguments = arguments;
  machine.error.clear();
  gridDim = grid;
  blockDim = block;
  machine.dynamic_bytes = shared;
  ++twodasl_emulator_launches;
  twodasl_emulator_grid[0] = grid.x, twodasl_emulator_grid[1] = grid.y;
  twodasl_emulator_grid[2] = block.x * block.y * block.z;
  for (const size_t number : arranged(blocks)) {
    blockIdx = {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
                static_cast<unsigned>(number / (uint64_t(grid.x) * grid.y))};
    if (shared > 0) machine.dynamic_shared = filled(shared);
    run_block();
    free_shared();
    if (!machine.error.empty()) break;
  }
  last = machine.error;
  return last.empty() ? nullptr : last.c_str();
}

}  // namespace twodasl::emulator
