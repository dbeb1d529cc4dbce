#include "isa.h"
#include "kernels.h"

namespace twodasl::cpu {

namespace {

const Level& choose() {
  // The order of compiled_levels().
  const Level* const levels[] = {
      &level_baseline(),
#if defined(TWODASL_WITH_AVX2)
      &level_avx2(),
#endif
#if defined(TWODASL_WITH_AVX512)
      &level_avx512(),
#endif
  };
  return *levels[chosen_level()];
}

}  // namespace

const Level& active_level() {
  static const Level& level = choose();
  return level;
}

}  // namespace twodasl::cpu
