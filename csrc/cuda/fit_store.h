// What the kernels of fit_landmarks keep in global memory between their steps: of every face, of every group.
#pragma once

#include "../common/fit_point.h"
#include "fit_algebra.h"

namespace twodasl::cuda {

struct OnGpu {};  // see common/fit_point.h

inline constexpr int kFitChunk = 8;  // points whose rows are filled together
inline constexpr int kFitRows = 3 * kFitChunk;

// A face at some unknowns; there are two of each face, the fit's and the trial.
template <class P>
struct StateView {
  double* pose;      // (7)
  double* cost;
  FitPlace* place;
  P* coefficients;   // (width): 1 in the right side's column, 0 in the pose's
  P *arm, *error;    // (3, L)
  P* size;           // (L)
  int32_t* chosen;   // (L)
};

template <class P>
struct FitStore {
  FitLayout layout;
  int64_t points, faces, groups;
  bool in_shared;    // a face's matrix and rows are in a block's shared memory
  bool backward;

  P* packed;         // (R, 3, width); see cpu/kernels/fit_landmarks.h
  double *pose, *cost;
  FitPlace* place;
  P *coefficients, *arm, *error, *size;
  int32_t* chosen;
  P *weight;         // (B, L): 1 / sigma, 0 where a point is not seen
  P *before, *along; // (B, L, 3): the points before the pose; in the backward, how the dual moves them
  P *step, *diagonal, *inverse, *pull;  // (B, width)
  P* matrix;         // (B, unknowns, width): the local unknowns' factor, then a face's part of what is shared
  P* rows;           // (B, 2 rows, width), where they are not in shared memory
  P* inverted;       // (B, unknowns, width)
  double* gains;     // (B, 2): of the local unknowns, see expected_fall()
  double* curvature; // (B, L, 12): a point's pull and bend
  double* twist;     // (B, 4, width)
  int32_t* good;     // (B)
  P *shared, *shared_inverse, *shared_diagonal;  // (G, shared, width), (G, width) twice
  double *damping, *total, *shared_gains;        // (G), (G), (G, 2)
  int32_t *now, *steps, *settled, *finished, *solved;  // (G)

  __device__ StateView<P> state(int64_t face, int which) const {
    const int64_t at = 2 * face + which, width = layout.width();
    return {pose + kFitPose * at, cost + at,           place + at,         coefficients + width * at,
            arm + 3 * points * at, error + 3 * points * at, size + points * at, chosen + points * at};
  }
  __device__ P* matrix_of(int64_t face, P* in_block) const {
    return in_shared ? in_block : matrix + face * layout.unknowns() * layout.width();
  }
  __device__ P* rows_of(int64_t face, P* in_block) const {
    return in_shared ? in_block + layout.unknowns() * layout.width() : rows + face * 2 * kFitRows * layout.width();
  }
};

// Hands out 16-byte aligned pieces; from a null pointer it only counts.
struct FitPieces {
  unsigned char* base;
  size_t used = 0;
  template <class N>
  void take(N*& piece, int64_t count) {
    piece = base == nullptr ? nullptr : reinterpret_cast<N*>(base + used);
    used += (static_cast<size_t>(count) * sizeof(N) + 15) / 16 * 16;
  }
};

template <class T, class P>
FitStore<P> fit_store(const FitProblem<T>& problem, bool backward, void* scratch, size_t* bytes) {
  FitStore<P> s{};
  const FitLayout layout = problem.layout();
  const int64_t b = problem.batch, l = problem.points_count, w = layout.width(), n = layout.unknowns();
  const bool grouped = layout.shared > 0;
  s.layout = layout, s.points = l, s.faces = b, s.groups = problem.groups, s.backward = backward;
  const size_t block = static_cast<size_t>((n + 2 * kFitRows) * w) * sizeof(P);
  s.in_shared = block <= shared_limit() - 2048;  // beside what the kernels declare
  FitPieces pieces{static_cast<unsigned char*>(scratch)};
  pieces.take(s.packed, 3 * problem.rows_count * w);
  pieces.take(s.pose, 2 * kFitPose * b), pieces.take(s.cost, 2 * b), pieces.take(s.place, 2 * b);
  pieces.take(s.coefficients, 2 * w * b), pieces.take(s.arm, 6 * l * b), pieces.take(s.error, 6 * l * b);
  pieces.take(s.size, 2 * l * b), pieces.take(s.chosen, 2 * l * b), pieces.take(s.weight, l * b);
  pieces.take(s.before, 3 * l * b), pieces.take(s.along, backward ? 3 * l * b : 0);
  pieces.take(s.step, w * b), pieces.take(s.diagonal, w * b), pieces.take(s.inverse, w * b), pieces.take(s.pull, w * b);
  pieces.take(s.matrix, grouped || !s.in_shared ? n * w * b : 0);
  pieces.take(s.rows, s.in_shared ? 0 : 2 * kFitRows * w * b);
  pieces.take(s.inverted, backward ? 0 : n * w * b);
  pieces.take(s.gains, 2 * b), pieces.take(s.good, b);
  pieces.take(s.curvature, backward ? 12 * l * b : 0), pieces.take(s.twist, backward ? 4 * w * b : 0);
  pieces.take(s.shared, layout.shared * w * s.groups);
  pieces.take(s.shared_inverse, w * s.groups), pieces.take(s.shared_diagonal, w * s.groups);
  pieces.take(s.damping, s.groups), pieces.take(s.total, s.groups), pieces.take(s.shared_gains, 2 * s.groups);
  pieces.take(s.now, s.groups), pieces.take(s.steps, s.groups), pieces.take(s.settled, s.groups);
  pieces.take(s.finished, s.groups), pieces.take(s.solved, s.groups);
  if (bytes != nullptr) *bytes = pieces.used;
  return s;
}

template <class P>
size_t fit_block_bytes(const FitStore<P>& store) {
  return store.in_shared ? static_cast<size_t>((store.layout.unknowns() + 2 * kFitRows) * store.layout.width()) * sizeof(P)
                         : 0;
}

// Whether a group still fits.
template <class P>
__device__ __forceinline__ bool open(const FitStore<P>& store, int64_t group) {
  return store.finished[group] == 0;
}

// The last group that begins at a face or before: those without faces are passed over.
template <class T>
__device__ __forceinline__ int64_t group_of(const FitProblem<T>& problem, int64_t face) {
  int64_t low = 0, high = problem.groups;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (problem.offsets[middle] <= face ? low : high) = middle;
  }
  return low;
}

constexpr int kPackThreads = 256;

template <class T, class P>
__global__ void __launch_bounds__(kPackThreads) pack_kernel(FitProblem<T> problem, P* packed) {
  const FitLayout layout = problem.layout();
  const int64_t width = layout.width(), numbers = 3 * problem.rows_count;
  const int64_t at = int64_t(blockIdx.x) * kPackThreads + threadIdx.x;
  if (at >= numbers * width) return;
  const int64_t j = at / width, i = at % width;
  P value = P(0);
  if (i == layout.right()) {
    value = static_cast<P>(problem.mean[j]) - static_cast<P>(problem.center[j % 3]);
  } else if (i < layout.own()) {
    value = static_cast<P>(problem.modes[(i + layout.shared) * numbers + j]);
  } else if (i >= layout.local() && i < layout.unknowns()) {
    value = static_cast<P>(problem.modes[(i - layout.local()) * numbers + j]);
  }
  packed[at] = value;
}

template <class T, class P>
Error launch_fit_pack(const FitProblem<T>& problem, P* packed, void* stream) {
  const int64_t blocks = divide_up(3 * problem.rows_count * problem.layout().width(), kPackThreads);
  return launch(&pack_kernel<T, P>, static_cast<unsigned>(blocks), kPackThreads, 0, stream, problem, packed);
}

}  // namespace twodasl::cuda
