// The table of kernels of one instruction-set level, and the choice between the levels that were compiled.
#pragma once

#include "../../common/fit_params.h"
#include "../../common/icp_params.h"
#include "../../common/params.h"
#include "../../common/skin_params.h"

namespace twodasl::cpu {

template <class T, class S>
struct BasisKernels {
  // Tasks [begin, end) of partition(...).tasks().
  void (*forward)(const VerticesParams<T, S>&, int64_t begin, int64_t end);
  void (*backward)(const VerticesBackwardParams<T, S>&, int64_t begin, int64_t end);
};

template <class T>
struct Kernels {
  BasisKernels<T, T> basis;
  // Vertex blocks [begin, end).
  void (*backward_basis)(const BasisBackwardParams<T>&, int64_t begin, int64_t end);
  // Modes [begin, end), then faces [begin, end).
  void (*importance_factor)(const ImportanceWeightsParams<T>&, int64_t begin, int64_t end);
  void (*importance_weights)(const ImportanceWeightsParams<T>&, int64_t begin, int64_t end);
  void (*vertex_distance_cost)(const VertexDistanceParams<T>&, int64_t begin, int64_t end);
  void (*vertex_distance_cost_backward)(const VertexDistanceBackwardParams<T>&, int64_t begin, int64_t end);
  // Parts [begin, end) of batch * icp_parts(N); see icp.h.
  void (*icp_accumulate)(const IcpUpdateParams<T>&, int64_t begin, int64_t end);
  // Groups of faces [begin, end), in memory of their own; see kernels/fit_landmarks.h.
  void (*fit_landmarks)(const FitParams<T>&, void* scratch, int64_t begin, int64_t end);
  void (*fit_landmarks_backward)(const FitBackwardParams<T>&, void* scratch, int64_t begin, int64_t end);
  // Tasks [begin, end) of skin_partition(...).tasks(), in memory of their own; for the weights vertex blocks. See
  // kernels/skin.h.
  void (*skin)(const SkinParams<T>&, void* scratch, int64_t begin, int64_t end);
  void (*skin_backward)(const SkinBackwardParams<T>&, void* scratch, int64_t begin, int64_t end);
  void (*skin_backward_weights)(const SkinWeightsParams<T>&, void* scratch, int64_t begin, int64_t end);
};

struct Level {
  const char* name;
  Kernels<float> f32;
  Kernels<double> f64;
  BasisKernels<float, BFloat16> bf16;
  BasisKernels<float, Float16> f16;
};

const Level& level_baseline();
#if defined(TWODASL_WITH_AVX2)
const Level& level_avx2();
#endif
#if defined(TWODASL_WITH_AVX512)
const Level& level_avx512();
#endif

// The level in use: the best that this processor runs, or a lower one named by TWODASL_ISA.
const Level& active_level();

}  // namespace twodasl::cpu
