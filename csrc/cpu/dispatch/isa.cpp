#include "isa.h"

#include <cstdlib>
#include <cstring>

namespace twodasl::cpu {

namespace {

#if defined(__aarch64__)
constexpr const char* kLevels[] = {"neon"};
#else
constexpr const char* kLevels[] = {
    "baseline",
#if defined(TWODASL_WITH_AVX2)
    "avx2",
#endif
#if defined(TWODASL_WITH_AVX512)
    "avx512",
#endif
};
#endif
constexpr int kCount = sizeof(kLevels) / sizeof(kLevels[0]);

bool runs(const char* level) {
#if defined(__x86_64__) || defined(__i386__)
  // These also check the operating system: registers that it does not save are not reported.
  if (std::strcmp(level, "avx512") == 0) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("fma");
  }
  if (std::strcmp(level, "avx2") == 0) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  }
#endif
  (void)level;
  return true;
}

}  // namespace

const char* const* compiled_levels(int* count) {
  *count = kCount;
  return kLevels;
}

int best_level() {
  int best = 0;
  for (int i = 1; i < kCount; ++i) {
    if (runs(kLevels[i])) best = i;
  }
  return best;
}

int chosen_level() {
  const int best = best_level();
  const char* wanted = std::getenv("TWODASL_ISA");
  if (wanted == nullptr) return best;
  for (int i = 0; i < best; ++i) {
    if (std::strcmp(wanted, kLevels[i]) == 0) return i;
  }
  return best;
}

}  // namespace twodasl::cpu
