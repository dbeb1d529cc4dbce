#define TWODASL_LEVEL avx2_exact
#include "../simd/avx2.h"
#include "level-inl.h"

namespace twodasl::cpu {

const NeighborLevel& neighbors_avx2() {
  static constexpr NeighborLevel level = TWODASL_LEVEL::make_neighbor_level();
  return level;
}

}  // namespace twodasl::cpu
