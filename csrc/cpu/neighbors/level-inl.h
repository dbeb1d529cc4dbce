// The table of the searches of one level.
#pragma once

#include "closest-inl.h"
#include "search-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

constexpr NeighborLevel make_neighbor_level() {
  return {{&nearest<float>, &closest<float>}, {&nearest<double>, &closest<double>}};
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
