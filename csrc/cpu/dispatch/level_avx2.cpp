#define TWODASL_LEVEL avx2
#include "../simd/avx2.h"
#include "level-inl.h"

namespace twodasl::cpu {

const Level& level_avx2() {
  static constexpr Level level = TWODASL_LEVEL::make_level("avx2");
  return level;
}

}  // namespace twodasl::cpu
