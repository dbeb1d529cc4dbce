// A thread that runs until it yields: a stack of its own and the point to continue from.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace twodasl::emulator {

class Fiber {
 public:
  // Starts over with `main`, which never returns: it ends with pause(true). Keeps the stack of an earlier run.
  void prepare(void (*main)());

  // Runs it until it pauses. Call it from outside of every fiber.
  void resume();

  // Back to who resumed it; returns when it is resumed again. From within only; `for_good` at its end.
  void pause(bool for_good);

  // Within `main`, first of all.
  void arrive();

 private:
  unsigned char* stack_ = nullptr;  // never freed: the next launch uses it again
  bool left_behind_ = false;        // it paused and was not resumed: its frames are still marked as in use
#if defined(__x86_64__)
  void* context_ = nullptr;
#else
  ucontext_t context_;
#endif
  void* fake_stack_ = nullptr;  // AddressSanitizer's
};

}  // namespace twodasl::emulator
