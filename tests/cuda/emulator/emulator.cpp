// Fibres, barriers and warps of the emulator.
#include "emulator.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

#if defined(__x86_64__)
// Saves the registers that a call must keep, changes stacks, restores: ucontext would ask the system each time.
extern "C" void twodasl_emulator_switch(void** from, void* to);
asm(R"(
.text
.globl twodasl_emulator_switch
.hidden twodasl_emulator_switch
.type twodasl_emulator_switch, @function
twodasl_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size twodasl_emulator_switch, .-twodasl_emulator_switch
)");
#endif

namespace twodasl::emulator {

namespace {

constexpr size_t kStack = 256 * 1024;
constexpr int kLanes = 32;

enum class State { ready, at_barrier, at_warp, done };

struct Fibre {
  unsigned char* stack = nullptr;
#if defined(__x86_64__)
  void* context = nullptr;
#else
  ucontext_t context;
#endif
  void* fake_stack = nullptr;  // AddressSanitizer's
  State state = State::ready;
  uint3 index{};
  const void* site = nullptr;  // which barrier
  Operation operation{};
  unsigned mask = 0;
  uint64_t value = 0;
  uint64_t seen[kLanes] = {};  // what the lanes of the last warp operation brought
};

struct Machine {
  std::vector<Fibre> fibres;
  size_t count = 0;  // of the block
  size_t current = 0;
#if defined(__x86_64__)
  void* scheduler = nullptr;
#else
  ucontext_t scheduler;
#endif
  const void* scheduler_stack = nullptr;
  size_t scheduler_size = 0;
  void* scheduler_fake = nullptr;
  Entry entry = nullptr;
  const void* arguments = nullptr;
  std::map<const void*, void*> shared;
  void* dynamic_shared = nullptr;
  std::string error;
  std::mt19937 random;
  int order = 0;
};
Machine machine;

void arrive() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(machine.fibres[machine.current].fake_stack, &machine.scheduler_stack,
                                  &machine.scheduler_size);
#endif
}

// Back to the scheduler; returns when the fibre's turn comes again.
void leave(bool for_good) {
  Fibre& fibre = machine.fibres[machine.current];
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fibre.fake_stack, machine.scheduler_stack,
                                 machine.scheduler_size);
#else
  static_cast<void>(for_good);
#endif
#if defined(__x86_64__)
  twodasl_emulator_switch(&fibre.context, machine.scheduler);
#else
  swapcontext(&fibre.context, &machine.scheduler);
#endif
  arrive();
}

void fibre_main() {
  arrive();
  machine.entry(machine.arguments);
  machine.fibres[machine.current].state = State::done;
  leave(true);
  std::abort();
}

void prepare(Fibre& fibre) {
  if (fibre.stack == nullptr) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* memory = mmap(nullptr, kStack + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    mprotect(memory, page, PROT_NONE);  // a stack that overflows stops here
    fibre.stack = static_cast<unsigned char*>(memory) + page;
  }
  fibre.state = State::ready;
  fibre.fake_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(fibre.stack, kStack);  // the last thread's frames
#endif
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(fibre.stack + kStack);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&fibre_main);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  fibre.context = top;
#else
  getcontext(&fibre.context);
  fibre.context.uc_stack.ss_sp = fibre.stack;
  fibre.context.uc_stack.ss_size = kStack;
  fibre.context.uc_link = nullptr;
  makecontext(&fibre.context, &fibre_main, 0);
#endif
}

void resume(size_t number) {
  Fibre& fibre = machine.fibres[number];
  machine.current = number;
  threadIdx = fibre.index;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&machine.scheduler_fake, fibre.stack, kStack);
#endif
#if defined(__x86_64__)
  twodasl_emulator_switch(&machine.scheduler, fibre.context);
#else
  swapcontext(&machine.scheduler, &fibre.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(machine.scheduler_fake, nullptr, nullptr);
#endif
}

std::string where(size_t number) {
  const uint3& t = machine.fibres[number].index;
  return "thread (" + std::to_string(t.x) + ", " + std::to_string(t.y) + ", " + std::to_string(t.z) + ") of block (" +
         std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + ")";
}

void arrange(std::vector<size_t>& numbers) {
  std::iota(numbers.begin(), numbers.end(), size_t(0));
  if (machine.order == 1) std::reverse(numbers.begin(), numbers.end());
  if (machine.order > 1) std::shuffle(numbers.begin(), numbers.end(), machine.random);
}

// Lets the lanes go whose operation is complete. False when a warp can never go on.
bool release_warps() {
  bool any = false;
  for (size_t first = 0; first < machine.count; first += kLanes) {
    for (size_t i = first; i < std::min(first + kLanes, machine.count); ++i) {
      const Fibre leader = machine.fibres[i];
      if (leader.state != State::at_warp) continue;
      bool complete = true;
      for (int lane = 0; lane < kLanes && complete; ++lane) {
        if ((leader.mask >> lane & 1u) == 0) continue;
        const size_t other = first + static_cast<size_t>(lane);
        complete = other < machine.count && machine.fibres[other].state == State::at_warp &&
                   machine.fibres[other].mask == leader.mask && machine.fibres[other].operation == leader.operation;
      }
      if (!complete) continue;
      uint64_t values[kLanes] = {};
      for (int lane = 0; lane < kLanes; ++lane) {
        if ((leader.mask >> lane & 1u) != 0) values[lane] = machine.fibres[first + static_cast<size_t>(lane)].value;
      }
      for (int lane = 0; lane < kLanes; ++lane) {
        if ((leader.mask >> lane & 1u) == 0) continue;
        Fibre& fibre = machine.fibres[first + static_cast<size_t>(lane)];
        std::copy(values, values + kLanes, fibre.seen);
        fibre.state = State::ready;
      }
      any = true;
    }
  }
  return any;
}

bool release_block() {
  const void* site = nullptr;
  size_t first = 0;
  for (size_t i = 0; i < machine.count; ++i) {
    const Fibre& fibre = machine.fibres[i];
    if (fibre.state == State::done) continue;
    if (fibre.state != State::at_barrier) return false;
    if (site == nullptr) {
      site = fibre.site;
      first = i;
    } else if (site != fibre.site) {
      machine.error = "emulator: " + where(first) + " and " + where(i) + " wait at different barriers";
      return false;
    }
  }
  if (site == nullptr) return false;
  for (size_t i = 0; i < machine.count; ++i) {
    if (machine.fibres[i].state == State::at_barrier) machine.fibres[i].state = State::ready;
  }
  return true;
}

void run_block() {
  for (size_t i = 0; i < machine.count; ++i) {
    Fibre& fibre = machine.fibres[i];
    prepare(fibre);
    fibre.index = {static_cast<unsigned>(i) % blockDim.x, static_cast<unsigned>(i) / blockDim.x % blockDim.y,
                   static_cast<unsigned>(i) / (blockDim.x * blockDim.y)};
  }
  std::vector<size_t> numbers(machine.count);
  for (;;) {
    arrange(numbers);
    bool moved = false, left = false;
    for (const size_t number : numbers) {
      if (machine.fibres[number].state == State::ready) {
        resume(number);
        moved = true;
        if (!machine.error.empty()) return;
      }
      left = left || machine.fibres[number].state != State::done;
    }
    if (!left) return;
    moved = release_warps() || moved;
    moved = release_block() || moved;
    if (!machine.error.empty()) return;
    if (moved) continue;
    for (size_t i = 0; i < machine.count; ++i) {
      if (machine.fibres[i].state != State::at_warp) continue;
      machine.error = "emulator: " + where(i) + " waits for lanes of its warp that do not come";
      return;
    }
    machine.error = "emulator: the threads of a block wait for each other";
    return;
  }
}

// Exactly so many bytes, all ones: NaN in every floating-point format, -1 in integers.
void* filled(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 16, bytes) != 0) std::abort();
  return std::memset(memory, 0xff, bytes);
}

void free_shared() {
  for (const auto& entry : machine.shared) std::free(entry.second);
  machine.shared.clear();
  std::free(machine.dynamic_shared);
  machine.dynamic_shared = nullptr;
}

}  // namespace

void wait_for_block() {
  Fibre& fibre = machine.fibres[machine.current];
  fibre.site = __builtin_return_address(0);
  fibre.state = State::at_barrier;
  leave(false);
}

const uint64_t* wait_for_warp(Operation operation, unsigned mask, uint64_t value) {
  Fibre& fibre = machine.fibres[machine.current];
  if ((mask >> lane() & 1u) == 0) fail("a thread takes part in an operation of its warp whose mask leaves it out");
  fibre.operation = operation;
  fibre.mask = mask;
  fibre.value = value;
  fibre.state = State::at_warp;
  leave(false);
  return fibre.seen;
}

int lane() { return static_cast<int>(machine.current % kLanes); }

void* shared_block(const void* key, size_t bytes) {
  void*& memory = machine.shared[key];
  if (memory == nullptr) memory = filled(bytes);
  return memory;
}

void* dynamic_shared_block() { return machine.dynamic_shared; }

void fail(const char* message) {
  machine.error = "emulator: " + where(machine.current) + ": " + message;
  leave(false);
  std::abort();
}

const char* run(Entry entry, const void* arguments, dim3 grid, dim3 block, size_t shared) {
  static std::string last;
  const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z, threads = uint64_t(block.x) * block.y * block.z;
  if (blocks == 0) return nullptr;
  if (threads == 0 || threads > 1024) return "emulator: a block has 1 to 1024 threads";
  if (grid.x > 0x7fffffffu || grid.y > 65535u || grid.z > 65535u) return "emulator: the grid is too large";
  if (block.z > 64u) return "emulator: a block is at most 64 deep";
  if (shared > cuda::shared_limit()) return "emulator: more shared memory than a block may have";
  const char* order = std::getenv("TWODASL_EMULATOR_ORDER");
  machine.order = order != nullptr ? std::atoi(order) : 0;
  machine.random.seed(static_cast<unsigned>(machine.order));
  if (machine.fibres.size() < threads) machine.fibres.resize(threads);
  machine.count = threads;
  machine.entry = entry;
  machine.arguments = arguments;
  machine.error.clear();
  gridDim = grid;
  blockDim = block;
  std::vector<size_t> numbers(blocks);
  arrange(numbers);
  for (const size_t number : numbers) {
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
