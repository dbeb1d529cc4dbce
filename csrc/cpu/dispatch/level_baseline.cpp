#define TWODASL_LEVEL baseline
#include "../simd/vector.h"
#include "level-inl.h"

namespace twodasl::cpu {

const Level& level_baseline() {
  static constexpr Level level = TWODASL_LEVEL::make_level("baseline");
  return level;
}

}  // namespace twodasl::cpu
