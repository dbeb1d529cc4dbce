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

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  bool real;
};

struct Thread {
  Fiber fiber;
  State state = State::done;
  uint3 index{};
  Site site;  // of what it waits at
  Operation operation{};
  unsigned mask = 0;
  uint64_t value = 0;
  uint64_t seen[kLanes] = {};  // what the lanes of the last warp operation brought
  float a[4], b[2], d[4];      // of a product on tensor cores
  std::vector<std::vector<Copy>> copies{1};  // that are under way: groups, of which the last is open
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

// What becomes of c + sum_k x_k y_k.
float tensor_sum(float c, const float (&x)[8], const float (&y)[8]) {
  double terms[9] = {static_cast<double>(c)};
  double largest = std::fabs(terms[0]);
  for (int k = 0; k < 8; ++k) {
    terms[k + 1] = static_cast<double>(x[k]) * static_cast<double>(y[k]);  // 22 bits: exact
    largest = std::max(largest, std::fabs(terms[k + 1]));
  }
  double sum = 0.0;
  for (const double term : terms) sum += term;
  if (!std::isfinite(sum)) return static_cast<float>(sum);
  if (largest == 0.0) return 0.0f;
  const double unit = from_bits<double>(bits_of(largest) & 0x7ff0000000000000u) * 0x1p-23, scale = 1.0 / unit;
  sum = 0.0;
  for (const double term : terms) sum += std::trunc(term * scale) * unit;  // whole numbers of units: exact
  const float rounded = static_cast<float>(sum);
  return std::fabs(static_cast<double>(rounded)) > std::fabs(sum) ? std::nextafter(rounded, 0.0f) : rounded;
}

// A product on tensor cores, for the warp whose first thread this is.
void multiply_warp(Thread* warp) {
  for (size_t lane = 0; lane < kLanes; ++lane) {
    for (size_t i = 0; i < 4; ++i) {
      const size_t row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      float x[8], y[8];
      for (size_t k = 0; k < 8; ++k) {
        x[k] = warp[row % 8 * 4 + k % 4].a[row / 8 + k / 4 * 2];
        y[k] = warp[column * 4 + k % 4].b[k / 4];
      }
      warp[lane].d[i] = tensor_sum(warp[lane].d[i], x, y);
    }
  }
}

// Resumes the lanes of a warp whose operation is complete.
bool release_warp(size_t first) {
  bool any = false;
  for (size_t i = first; i < std::min(first + kLanes, machine.count); ++i) {
    const Thread& leader = machine.threads[i];
    if (leader.state != State::at_warp || !complete(first, leader)) continue;
    const unsigned mask = leader.mask;
    if (leader.operation == Operation::multiply) multiply_warp(&machine.threads[first]);
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
    thread.copies.assign(1, {});
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

void multiply_add(float (&d)[4], const float (&a)[4], const float (&b)[2], const char* file, int line) {
  Thread& thread = machine.threads[machine.current];
  const auto own = [](float x) {
    if ((bits_of(x) & 0x1fffu) != 0 && !std::isnan(x)) fail("a number for the tensor cores is not of tf32");
    return x;
  };
  std::transform(a, a + 4, thread.a, own);
  std::transform(b, b + 2, thread.b, own);
  std::copy(d, d + 4, thread.d);
  wait_for_warp(Operation::multiply, 0xffffffffu, 0, Site{file, line});
  std::copy(thread.d, thread.d + 4, d);
}

namespace {

void copy_now(const Copy& copy) {
  if (copy.real) {
    std::memcpy(copy.to, copy.from, copy.bytes);
  } else {
    std::memset(copy.to, 0, copy.bytes);
  }
}

}  // namespace

void copy_async(void* to, const void* from, size_t bytes, bool real) {
  const auto misaligned = [&](const void* at) { return reinterpret_cast<uintptr_t>(at) % bytes != 0; };
  if (misaligned(to) || misaligned(from)) fail("a copy beside the program is misaligned");
  const Copy copy{to, from, bytes, real};
  if (machine.order == 1 || (machine.order > 1 && machine.random() % 2 == 0)) {
    copy_now(copy);
  } else {
    machine.threads[machine.current].copies.back().push_back(copy);
  }
}

void commit_copies() { machine.threads[machine.current].copies.emplace_back(); }

void wait_copies(size_t pending) {
  auto& groups = machine.threads[machine.current].copies;
  while (groups.size() > pending + 1) {  // the last is open
    for (const Copy& copy : groups.front()) copy_now(copy);
    groups.erase(groups.begin());
  }
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
