// Every kernel, compiled once for the level that TWODASL_LEVEL names. All of it lives in that level's own
// namespace: a template shared between levels would be merged by the linker, and the copy that stays could
// hold instructions that the processor lacks.
#pragma once

#include "kernels.h"
#include "../kernels/vertices-inl.h"
#include "../kernels/vertices_backward-inl.h"
#include "../kernels/basis_backward-inl.h"
#include "../kernels/importance_weights-inl.h"
#include "../kernels/distance-inl.h"
#include "../kernels/icp-inl.h"
#include "../kernels/fit_landmarks-inl.h"
#include "../kernels/fit_backward-inl.h"
#include "../kernels/skin-inl.h"
#include "../kernels/skin_weights-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

template <class T>
constexpr Kernels<T> make_kernels() {
  return {{&vertices_forward<T, T>, &vertices_backward<T, T>},
          &vertices_backward_basis<T>,
          &importance_factor<T>,
          &importance_weights<T>,
          &vertex_distance_cost<T>,
          &vertex_distance_cost_backward<T>,
          &icp_accumulate<T>,
          &fit_landmarks<T>,
          &fit_landmarks_backward<T>,
          &skin_forward<T>,
          &skin_backward<T>,
          &skin_backward_weights<T>};
}

constexpr Level make_level(const char* name) {
  return {name,
          make_kernels<float>(),
          make_kernels<double>(),
          {&vertices_forward<float, BFloat16>, &vertices_backward<float, BFloat16>},
          {&vertices_forward<float, Float16>, &vertices_backward<float, Float16>}};
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
