#include "../dispatch/isa.h"
#include "neighbors.h"

namespace twodasl::cpu {

const NeighborLevel& active_neighbors() {
  // The order of compiled_levels().
  static const NeighborLevel* const levels[] = {
      &neighbors_baseline(),
#if defined(TWODASL_WITH_AVX2)
      &neighbors_avx2(),
#endif
#if defined(TWODASL_WITH_AVX512)
      &neighbors_avx512(),
#endif
  };
  static const int chosen = chosen_level();
  return *levels[chosen];
}

}  // namespace twodasl::cpu
