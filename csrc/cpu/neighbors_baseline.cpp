#define TWODASL_LEVEL baseline_exact
#include "simd_vector.h"
#include "neighbors_body.h"

namespace twodasl::cpu {

const NeighborLevel& neighbors_baseline() {
  static constexpr NeighborLevel level = TWODASL_LEVEL::make_neighbor_level();
  return level;
}

}  // namespace twodasl::cpu
