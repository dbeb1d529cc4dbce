#define TWODASL_LEVEL baseline_exact
#include "../simd/vector.h"
#include "level-inl.h"

namespace twodasl::cpu {

const NeighborLevel& neighbors_baseline() {
  static constexpr NeighborLevel level = TWODASL_LEVEL::make_neighbor_level();
  return level;
}

}  // namespace twodasl::cpu
