#define TWODASL_LEVEL avx512_exact
#include "../simd/avx512.h"
#include "level-inl.h"

namespace twodasl::cpu {

const NeighborLevel& neighbors_avx512() {
  static constexpr NeighborLevel level = TWODASL_LEVEL::make_neighbor_level();
  return level;
}

}  // namespace twodasl::cpu
