#define TWODASL_LEVEL avx512
#include "../simd/avx512.h"
#include "level-inl.h"

namespace twodasl::cpu {

const Level& level_avx512() {
  static constexpr Level level = TWODASL_LEVEL::make_level("avx512");
  return level;
}

}  // namespace twodasl::cpu
