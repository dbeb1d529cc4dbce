// Every kernel, compiled once for the level that TWODASL_LEVEL names. All of it lives in that level's own
// namespace: a template shared between levels would be merged by the linker, and the copy that stays could
// hold instructions that the processor lacks.
#pragma once

#include "kernels.h"
#include "vertices_body.h"
#include "vertices_backward_body.h"
#include "basis_backward_body.h"
#include "importance_weights_body.h"
#include "distance_body.h"
#include "icp_body.h"

namespace twodasl::cpu::TWODASL_LEVEL {

template <class T>
constexpr Kernels<T> make_kernels() {
  return {{&vertices_forward<T, T>, &vertices_backward<T, T>},
          &vertices_backward_basis<T>,
          &importance_factor<T>,
          &importance_weights<T>,
          &vertex_distance_cost<T>,
          &vertex_distance_cost_backward<T>,
          &icp_accumulate<T>};
}

constexpr Level make_level(const char* name) {
  return {name,
          make_kernels<float>(),
          make_kernels<double>(),
          {&vertices_forward<float, BFloat16>, &vertices_backward<float, BFloat16>},
          {&vertices_forward<float, Float16>, &vertices_backward<float, Float16>}};
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
