#define TWODASL_LEVEL avx2
#include "simd_avx2.h"
#include "level_body.h"

namespace twodasl::cpu {

const Level& level_avx2() {
  static constexpr Level level = TWODASL_LEVEL::make_level("avx2");
  return level;
}

}  // namespace twodasl::cpu
