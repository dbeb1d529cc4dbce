// Switches stacks, and informs AddressSanitizer.
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Saves the registers that a call must keep, changes stacks, restores: ucontext would make a system call each time.
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

// The context that resumed the running fiber: one at a time, as one thread of the machine runs them all.
#if defined(__x86_64__)
void* outside = nullptr;
#else
ucontext_t outside;
#endif
#if defined(__SANITIZE_ADDRESS__)
const void* outside_stack = nullptr;
size_t outside_size = 0;
void* outside_fake = nullptr;
#endif

}  // namespace

void Fiber::prepare(void (*main)()) {
  if (stack_ == nullptr) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* memory =
        mmap(nullptr, kStack + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    mprotect(memory, page, PROT_NONE);  // a stack that overflows stops here
    stack_ = static_cast<unsigned char*>(memory) + page;
  }
#if defined(__SANITIZE_ADDRESS__)
  if (left_behind_) __asan_unpoison_memory_region(stack_, kStack);
#endif
  left_behind_ = false;
  fake_stack_ = nullptr;
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(stack_ + kStack);
  *--top = nullptr;  // main's return address: backtraces end here
  *--top = reinterpret_cast<void*>(main);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context_ = top;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kStack;
  context_.uc_link = nullptr;
  makecontext(&context_, main, 0);
#endif
}

void Fiber::resume() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&outside_fake, stack_, kStack);
#endif
#if defined(__x86_64__)
  twodasl_emulator_switch(&outside, context_);
#else
  swapcontext(&outside, &context_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(outside_fake, nullptr, nullptr);
#endif
}

void Fiber::pause(bool for_good) {
  left_behind_ = !for_good;  // at the end only main's own frame is there, which lies where the next one will
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack_, outside_stack, outside_size);
#else
  static_cast<void>(for_good);
#endif
#if defined(__x86_64__)
  twodasl_emulator_switch(&context_, outside);
#else
  swapcontext(&context_, &outside);
#endif
  left_behind_ = false;
  arrive();
}

void Fiber::arrive() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &outside_stack, &outside_size);
#endif
}

}  // namespace twodasl::emulator
