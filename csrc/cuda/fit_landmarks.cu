// fit_landmarks: Gauss-Newton on Huber's weights with Levenberg's damping, see cpu/kernels/fit_landmarks-inl.h. The state of
// a fit lives in global memory between its steps; only a face's matrix is in shared memory, where it fits.
#include "fit_landmarks.h"

#include "fit_system.h"

namespace twodasl::cuda {

namespace {

// No motion, and the prior's mean: of what a group shares the mean of its faces'.
template <class T>
__device__ __forceinline__ void begin_face(const FitParams<T>& params, const FitStore<T>& store, int64_t face,
                                           int64_t group, double* sums) {
  const FitProblem<T>& problem = params.problem;
  const FitLayout& layout = store.layout;
  const int64_t first = problem.first_face(group), last = problem.last_face(group);
  read_weights(problem, store, face);
  for (int which = 0; which < 2; ++which) {
    const StateView<T> state = store.state(face, which);
    for (int64_t j = threadIdx.x; j < layout.width(); j += kFitThreads) {
      state.coefficients[j] = j == layout.right() ? T(1) : T(0);
    }
    for (int64_t i = threadIdx.x; i < store.points; i += kFitThreads) {
      state.chosen[i] = fit_row(params.candidates[i * params.candidates_count], problem.rows_count);
    }
    if (threadIdx.x < kFitPose) state.pose[threadIdx.x] = 0.0;
  }
  __syncthreads();
  for (int64_t k = threadIdx.x; k < layout.modes; k += kFitThreads) {
    T value = problem.prior_mean.of(face)[k];
    if (k < layout.shared) {
      double sum = 0.0;
      for (int64_t f = first; f < last; ++f) sum += static_cast<double>(problem.prior_mean.of(f)[k]);
      value = static_cast<T>(sum / static_cast<double>(last - first));
    }
    store.state(face, 0).coefficients[layout.column(k)] = value;
  }
  __syncthreads();
  evaluate_face(params, store, face, 0, sums);
}

// One thread.
template <class T>
__device__ __forceinline__ void begin_group(const FitParams<T>& params, const FitStore<T>& store, int64_t group) {
  double total = 0.0;
  for (int64_t f = params.problem.first_face(group); f < params.problem.last_face(group); ++f) total += store.cost[2 * f];
  store.total[group] = total;
  store.damping[group] = kFirstDamping;
  store.now[group] = store.steps[group] = store.settled[group] = 0;
  store.solved[group] = 1;
  store.finished[group] = !fit_finite(total) || params.iterations <= 0;
}

// Whether the trial becomes the fit, whether it has converged, and the next damping. One thread.
template <class T>
__device__ __forceinline__ void judge(const FitParams<T>& params, const FitStore<T>& store, int64_t group) {
  const double cost = store.total[group], damping = store.damping[group];
  const int now = store.now[group];
  bool good = store.solved[group] != 0;
  double next = 0.0, fall = 0.0, length = 0.0;
  if (store.layout.shared > 0) fall = store.shared_gains[2 * group], length = store.shared_gains[2 * group + 1];
  for (int64_t f = params.problem.first_face(group); f < params.problem.last_face(group); ++f) {
    good = good && store.good[f] != 0;
    next += good ? store.cost[2 * f + 1 - now] : 0.0;
    fall += good ? store.gains[2 * f] : 0.0;
    length += good ? store.gains[2 * f + 1] : 0.0;
  }
  fall += damping * length;
  const double noise = 256.0 * fit_epsilon<T>() * (1.0 + cost);
  const bool better = good && fit_finite(next) && (next <= cost || (fall <= noise && next <= cost + noise));
  const bool settled = good && damping <= kSettledDamping && fall <= params.tolerance * (1.0 + cost);
  const double scaled = better ? damping / 10.0 : damping * 10.0;
  store.damping[group] = scaled < kLeastDamping ? kLeastDamping : scaled > kMostDamping ? kMostDamping : scaled;
  if (better) {
    store.now[group] = 1 - now;
    store.total[group] = next < cost ? next : cost;
  }
  store.steps[group] += 1;
  store.settled[group] = settled;
  store.finished[group] = settled || store.steps[group] >= params.iterations;
}

template <class T>
__device__ __forceinline__ void assemble(const FitParams<T>& params, const FitStore<T>& store, int64_t face,
                                         int64_t group, double damping, T* block) {
  T* const matrix = store.matrix_of(face, block);
  normal_equations(params.problem, store, face, store.state(face, store.now[group]), matrix,
                   store.rows_of(face, block));
  eliminate_face(store, face, damping, matrix);
}

template <class T>
__device__ __forceinline__ void try_step(const FitParams<T>& params, const FitStore<T>& store, int64_t face,
                                         int64_t group, double* sums) {
  const FitLayout& layout = store.layout;
  const int now = store.now[group];
  const StateView<T> from = store.state(face, now), to = store.state(face, 1 - now);
  const T* step = store.step + face * layout.width();
  for (int64_t k = threadIdx.x; k < layout.modes; k += kFitThreads) {
    const int64_t i = layout.column(k);
    to.coefficients[i] = from.coefficients[i] + step[i];
  }
  if (threadIdx.x < kFitPose) {
    to.pose[threadIdx.x] = from.pose[threadIdx.x] + static_cast<double>(step[layout.own() + threadIdx.x]);
  }
  __syncthreads();
  evaluate_face(params, store, face, 1 - now, sums);
}

// The result, and deviations from the factor of the undamped system in `matrix`.
template <class T>
__device__ __forceinline__ void write_face(const FitParams<T>& params, const FitStore<T>& store, int64_t face,
                                           int64_t group, const T* matrix) {
  const FitProblem<T>& problem = params.problem;
  const FitLayout& layout = store.layout;
  const StateView<T> at = store.state(face, store.now[group]);
  const int64_t modes = layout.modes, width = layout.width(), unknowns = layout.unknowns(), local = layout.local();
  const int64_t d = problem.dimensions();
  bool good = store.solved[group] != 0;
  for (int64_t f = problem.first_face(group); f < problem.last_face(group); ++f) good = good && store.good[f] != 0;
  T* const variance = store.step + face * width;
  const T *diagonal = store.diagonal + face * width, *shared_diagonal = store.shared_diagonal + group * width;
  if (good) {
    inverse_diagonal<T>(matrix, store.shared + group * layout.shared * width, static_cast<int>(local),
                        static_cast<int>(unknowns), static_cast<int>(width), store.inverse + face * width,
                        store.shared_inverse + group * width, store.inverted + face * unknowns * width, variance);
  }
  for (int64_t j = threadIdx.x; j < unknowns; j += kFitThreads) {  // an unknown: the pose, then the coefficients
    const int64_t i = j < kFitPose ? layout.own() + j : layout.column(j - kFitPose);
    const bool held = j < kFitPose && problem.held(face, static_cast<int>(j));
    const bool known = (i < local ? diagonal[i] : shared_diagonal[i]) > T(0);
    params.deviations[face * unknowns + j] =
        held ? T(0) : good && known ? fit_root(variance[i]) : std::numeric_limits<T>::infinity();
    const T value = j < kFitPose ? static_cast<T>(at.pose[j < kFitPose ? j : 0]) : at.coefficients[i];
    params.unknowns[face * unknowns + j] = value;
    if (j >= kFitPose) params.parameters[face * (12 + modes) + 12 + j - kFitPose] = value;
  }
  if (threadIdx.x < 3) {
    const int r = static_cast<int>(threadIdx.x);
    T* const row = params.parameters + face * (12 + modes) + 4 * r;
    double shift = at.place->origin[r];
    for (int c = 0; c < 3; ++c) {
      row[c] = static_cast<T>(at.place->matrix[3 * r + c]);
      shift -= at.place->matrix[3 * r + c] * static_cast<double>(problem.center[c]);
    }
    row[3] = static_cast<T>(shift);
  }
  for (int64_t i = threadIdx.x; i < store.points; i += kFitThreads) {
    for (int64_t c = 0; c < d; ++c) {
      params.residuals[(face * store.points + i) * d + c] = at.error[c * store.points + i];
    }
    params.chosen[face * store.points + i] = at.chosen[i];
  }
  if (threadIdx.x != 0) return;
  params.cost[face] = static_cast<T>(layout.shared > 0 ? *at.cost : store.total[group]);
  params.steps[face] = store.steps[group];
  params.converged[face] = store.settled[group] != 0;
}

// A face for itself, from begin to end.
template <class T>
__global__ void __launch_bounds__(kFitThreads) fit_kernel(FitParams<T> params, FitStore<T> store) {
  TWODASL_SHARED(double, sums, kFitWarps);
  T* const block = dynamic_shared<T>();
  const int64_t face = blockIdx.x;
  begin_face(params, store, face, face, &sums[0]);
  if (threadIdx.x == 0) begin_group(params, store, face);
  __syncthreads();
  const T* const matrix = store.matrix_of(face, block);
  for (;;) {  // one call of assemble(), which is most of the code
    const bool last = !open(store, face);
    assemble(params, store, face, face, last ? fit_little<T>() : store.damping[face], block);
    if (last) break;
    if (store.good[face] != 0) {
      solve_face<T>(store, face, face, matrix, &sums[0]);
      try_step(params, store, face, face, &sums[0]);
    }
    __syncthreads();
    if (threadIdx.x == 0) judge(params, store, face);
    __syncthreads();
  }
  write_face(params, store, face, face, matrix);
}

// ---- groups: the steps of fit_kernel, each a launch ------------------------------------------------------------
template <class T>
__global__ void __launch_bounds__(kFitThreads) begin_faces_kernel(FitParams<T> params, FitStore<T> store) {
  TWODASL_SHARED(double, sums, kFitWarps);
  const int64_t face = blockIdx.x;
  begin_face(params, store, face, group_of(params.problem, face), &sums[0]);
}

constexpr int kGroupThreads = 32;

template <class T>
__global__ void __launch_bounds__(kGroupThreads) begin_groups_kernel(FitParams<T> params, FitStore<T> store) {
  if (threadIdx.x == 0) begin_group(params, store, int64_t(blockIdx.x));
}

template <class T>
__global__ void __launch_bounds__(kGroupThreads) judge_kernel(FitParams<T> params, FitStore<T> store) {
  if (threadIdx.x == 0 && open(store, int64_t(blockIdx.x))) judge(params, store, int64_t(blockIdx.x));
}

// `last`: of the undamped system at the end.
template <class T>
__global__ void __launch_bounds__(kFitThreads) assemble_kernel(FitParams<T> params, FitStore<T> store, bool last) {
  const int64_t face = blockIdx.x, group = group_of(params.problem, face);
  if (!last && !open(store, group)) return;
  assemble(params, store, face, group, last ? fit_little<T>() : store.damping[group], dynamic_shared<T>());
}

template <class T>
__global__ void __launch_bounds__(kFitThreads) shared_kernel(FitParams<T> params, FitStore<T> store, bool last) {
  const int64_t group = blockIdx.x;
  if (params.problem.first_face(group) == params.problem.last_face(group) || (!last && !open(store, group))) return;
  solve_shared(params.problem, store, group, last ? fit_little<T>() : store.damping[group]);
}

template <class T>
__global__ void __launch_bounds__(kFitThreads) step_kernel(FitParams<T> params, FitStore<T> store) {
  TWODASL_SHARED(double, sums, kFitWarps);
  const int64_t face = blockIdx.x, group = group_of(params.problem, face);
  if (!open(store, group) || store.solved[group] == 0) return;
  const T* const matrix = store.matrix + face * store.layout.unknowns() * store.layout.width();
  solve_face<T>(store, face, params.problem.first_face(group), matrix, &sums[0]);
  try_step(params, store, face, group, &sums[0]);
}

template <class T>
__global__ void __launch_bounds__(kFitThreads) write_kernel(FitParams<T> params, FitStore<T> store) {
  const int64_t face = blockIdx.x;
  const T* const matrix = store.matrix + face * store.layout.unknowns() * store.layout.width();
  write_face(params, store, face, group_of(params.problem, face), matrix);
}

template <class T>
Error launch_groups(const FitParams<T>& params, const FitStore<T>& store, void* stream) {
  const unsigned faces = static_cast<unsigned>(store.faces), groups = static_cast<unsigned>(store.groups);
  const size_t shared = fit_block_bytes(store);
  Error error = launch(&begin_faces_kernel<T>, faces, kFitThreads, 0, stream, params, store);
  if (error == nullptr) error = launch(&begin_groups_kernel<T>, groups, kGroupThreads, 0, stream, params, store);
  for (int64_t i = 0; error == nullptr && i <= params.iterations; ++i) {
    const bool last = i == params.iterations;
    error = launch(&assemble_kernel<T>, faces, kFitThreads, shared, stream, params, store, last);
    if (error == nullptr) error = launch(&shared_kernel<T>, groups, kFitThreads, 0, stream, params, store, last);
    if (last || error != nullptr) break;
    error = launch(&step_kernel<T>, faces, kFitThreads, 0, stream, params, store);
    if (error == nullptr) error = launch(&judge_kernel<T>, groups, kGroupThreads, 0, stream, params, store);
  }
  if (error == nullptr) error = launch(&write_kernel<T>, faces, kFitThreads, 0, stream, params, store);
  return error;
}

}  // namespace

template <class T>
size_t fit_scratch(const FitParams<T>& params) {
  size_t bytes = 0;
  fit_store<T, T>(params.problem, false, nullptr, &bytes);
  return bytes;
}

template <class T>
Error launch_fit_landmarks(const FitParams<T>& params, void* scratch, void* stream) {
  if (params.problem.batch == 0) return nullptr;
  const FitStore<T> store = fit_store<T, T>(params.problem, false, scratch, nullptr);
  const Error error = launch_fit_pack(params.problem, store.packed, stream);
  if (error != nullptr) return error;
  if (store.layout.shared > 0) return launch_groups(params, store, stream);
  const unsigned faces = static_cast<unsigned>(store.faces);
  return launch(&fit_kernel<T>, faces, kFitThreads, fit_block_bytes(store), stream, params, store);
}

template size_t fit_scratch(const FitParams<float>&);
template size_t fit_scratch(const FitParams<double>&);
template Error launch_fit_landmarks(const FitParams<float>&, void*, void*);
template Error launch_fit_landmarks(const FitParams<double>&, void*, void*);

}  // namespace twodasl::cuda
