// The table of the searches of one level.
#pragma once

#include "closest-inl.h"
#include "many-inl.h"
#include "search-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

constexpr NeighborLevel make_neighbor_level() {
  return {{&nearest<float>, &nearest_many<float>, &closest<float>}, {&nearest<double>, &nearest_many<double>, &closest<double>}};
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
