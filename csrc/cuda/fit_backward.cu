// Gradients of a fit by the implicit function theorem, in double precision; see cpu/kernels/fit_backward-inl.h. Faces
// without a group take a launch after that of the packing, faces of groups seven.
#include "fit_gradients.h"
#include "fit_landmarks.h"

namespace twodasl::cuda {

namespace {

// The fit's state again, in store.state(face, 0).
template <class T>
__device__ __forceinline__ void place(const Backward<T>& b, int64_t face, double* sums) {
  const FitProblem<T>& problem = b.params.problem;
  const FitStore<double>& store = b.store;
  const FitLayout& layout = store.layout;
  const StateView<double> state = store.state(face, 0);
  const T* unknowns = b.params.unknowns + face * layout.unknowns();
  read_weights(problem, store, face);
  for (int64_t j = threadIdx.x; j < layout.width(); j += kFitThreads) {
    state.coefficients[j] = j == layout.right() ? 1.0 : 0.0;
    store.state(face, 1).coefficients[j] = 0.0;
  }
  for (int64_t i = threadIdx.x; i < store.points; i += kFitThreads) {
    state.chosen[i] = fit_row(b.params.chosen[face * store.points + i], problem.rows_count);
  }
  if (threadIdx.x < kFitPose) state.pose[threadIdx.x] = static_cast<double>(unknowns[threadIdx.x]);
  __syncthreads();
  for (int64_t k = threadIdx.x; k < layout.modes; k += kFitThreads) {
    state.coefficients[layout.column(k)] = static_cast<double>(unknowns[kFitPose + k]);
  }
  FitParams<T> chosen{};
  chosen.problem = problem;
  chosen.candidates_count = 1;  // rows are chosen
  __syncthreads();
  evaluate_face(chosen, store, face, 0, sums);
}

// The parameters' gradient brought to the unknowns, on the right side of a face's system.
template <class T>
__device__ __forceinline__ void set_right(const Backward<T>& b, int64_t face, double* matrix) {
  const FitLayout& layout = b.store.layout;
  const int64_t width = layout.width(), right = layout.right();
  const T *grad = b.params.grad + face * (12 + layout.modes), *center = b.params.problem.center;
  for (int64_t k = threadIdx.x; k < layout.modes; k += kFitThreads) {
    matrix[layout.column(k) * width + right] = static_cast<double>(grad[12 + k]);
  }
  if (threadIdx.x == 0) {
    const FitPlace& place = *b.store.state(face, 0).place;
    double inner[9], axis[3] = {}, pose[kFitPose] = {};
    for (int i = 0; i < 9; ++i) {
      inner[i] = static_cast<double>(grad[i / 3 * 4 + i % 3]) -
                 static_cast<double>(grad[i / 3 * 4 + 3]) * static_cast<double>(center[i % 3]);
      pose[3] += place.matrix[i] * inner[i];
    }
    for (int r = 0; r < 3; ++r) {
      const int p = (r + 1) % 3, q = (r + 2) % 3;
      for (int c = 0; c < 3; ++c) {
        axis[r] += place.matrix[3 * p + c] * inner[3 * q + c] - place.matrix[3 * q + c] * inner[3 * p + c];
      }
      pose[4 + r] = static_cast<double>(grad[4 * r + 3]);
    }
    for (int j = 0; j < 3; ++j) {
      for (int r = 0; r < 3; ++r) pose[j] += place.left[3 * r + j] * axis[r];
    }
    for (int j = 0; j < kFitPose; ++j) {
      matrix[(layout.own() + j) * width + right] = b.params.problem.held(face, j) ? 0.0 : pose[j];
    }
  }
  __syncthreads();
}

// A face's system, whole or, where that is not positive definite, Gauss-Newton's approximation.
template <class T>
__device__ __forceinline__ void assemble(const Backward<T>& b, int64_t face, bool whole, double* spread, double* block) {
  const FitStore<double>& store = b.store;
  double *const matrix = store.matrix_of(face, block), *const rows = store.rows_of(face, block);
  const StateView<double> state = store.state(face, 0);
  if (whole) {
    full_hessian(b.params.problem, store, face, state, spread, matrix, rows);
  } else {
    normal_equations(b.params.problem, store, face, state, matrix, rows);
  }
  set_right(b, face, matrix);
  eliminate_face(store, face, fit_little<double>(), matrix);
}

// A face for itself.
template <class T>
__global__ void __launch_bounds__(kFitThreads) backward_kernel(Backward<T> b) {
  TWODASL_SHARED(double, sums, kFitWarps);
  TWODASL_SHARED(double, totals, 12);
  double* const block = dynamic_shared<double>();
  const int64_t face = blockIdx.x;
  const FitStore<double>& store = b.store;
  place(b, face, &sums[0]);
  if (threadIdx.x == 0) store.solved[face] = 1;
  const double* const matrix = store.matrix_of(face, block);
  for (int attempt = 0; attempt < 2; ++attempt) {
    assemble(b, face, attempt == 0, &totals[0], block);
    if (store.good[face] == 0) continue;
    solve_face<double>(store, face, face, matrix, &sums[0]);
    if (store.good[face] != 0) break;
  }
  write_face(b, face, store.good[face] != 0, &sums[0], &totals[0]);
}

// ---- groups: the steps of backward_kernel, each a launch -------------------------------------------------------
// `attempt` 1 is for groups in which the first failed: finished[group] tells.
template <class T>
__global__ void __launch_bounds__(kFitThreads) assemble_kernel(Backward<T> b, int attempt) {
  TWODASL_SHARED(double, sums, kFitWarps);
  TWODASL_SHARED(double, spread, 9);
  const int64_t face = blockIdx.x, group = group_of(b.params.problem, face);
  if (attempt == 0) {
    place(b, face, &sums[0]);
  } else if (b.store.finished[group] != 0) {
    return;
  }
  assemble(b, face, attempt == 0, &spread[0], dynamic_shared<double>());
}

template <class T>
__global__ void __launch_bounds__(kFitThreads) shared_kernel(Backward<T> b, int attempt) {
  const int64_t group = blockIdx.x;
  const FitProblem<T>& problem = b.params.problem;
  if (problem.first_face(group) == problem.last_face(group)) return;
  if (attempt == 1 && b.store.finished[group] != 0) return;
  solve_shared(problem, b.store, group, fit_little<double>());
}

template <class T>
__global__ void __launch_bounds__(kFitThreads) solve_kernel(Backward<T> b, int attempt) {
  TWODASL_SHARED(double, sums, kFitWarps);
  const int64_t face = blockIdx.x, group = group_of(b.params.problem, face);
  if ((attempt == 1 && b.store.finished[group] != 0) || b.store.solved[group] == 0) return;
  const double* const matrix = b.store.matrix + face * b.store.layout.unknowns() * b.store.layout.width();
  solve_face<double>(b.store, face, b.params.problem.first_face(group), matrix, &sums[0]);
}

constexpr int kGroupThreads = 32;

template <class T>
__global__ void __launch_bounds__(kGroupThreads) judge_kernel(Backward<T> b, int attempt) {
  if (threadIdx.x != 0 || (attempt == 1 && b.store.finished[blockIdx.x] != 0)) return;
  b.store.finished[blockIdx.x] = usable(b, int64_t(blockIdx.x));
}

template <class T>
__global__ void __launch_bounds__(kFitThreads) write_kernel(Backward<T> b) {
  TWODASL_SHARED(double, sums, kFitWarps);
  TWODASL_SHARED(double, totals, 12);
  const int64_t face = blockIdx.x, group = group_of(b.params.problem, face);
  write_face(b, face, b.store.finished[group] != 0, &sums[0], &totals[0]);
}

template <class T>
Error launch_groups(const Backward<T>& b, void* stream) {
  const unsigned faces = static_cast<unsigned>(b.store.faces), groups = static_cast<unsigned>(b.store.groups);
  const size_t shared = fit_block_bytes(b.store);
  Error error = nullptr;
  for (int attempt = 0; attempt < 2 && error == nullptr; ++attempt) {
    error = launch(&assemble_kernel<T>, faces, kFitThreads, shared, stream, b, attempt);
    if (error == nullptr) error = launch(&shared_kernel<T>, groups, kFitThreads, 0, stream, b, attempt);
    if (error == nullptr) error = launch(&solve_kernel<T>, faces, kFitThreads, 0, stream, b, attempt);
    if (error == nullptr) error = launch(&judge_kernel<T>, groups, kGroupThreads, 0, stream, b, attempt);
  }
  if (error == nullptr) error = launch(&write_kernel<T>, faces, kFitThreads, 0, stream, b);
  return error;
}

}  // namespace

template <class T>
size_t fit_backward_scratch(const FitBackwardParams<T>& params) {
  size_t bytes = 0;
  fit_store<T, double>(params.problem, true, nullptr, &bytes);
  return bytes;
}

template <class T>
Error launch_fit_landmarks_backward(const FitBackwardParams<T>& params, void* scratch, void* stream) {
  if (params.problem.batch == 0) return nullptr;
  const Backward<T> b{params, fit_store<T, double>(params.problem, true, scratch, nullptr)};
  const Error error = launch_fit_pack(params.problem, b.store.packed, stream);
  if (error != nullptr) return error;
  if (b.store.layout.shared > 0) return launch_groups(b, stream);
  const unsigned faces = static_cast<unsigned>(b.store.faces);
  return launch(&backward_kernel<T>, faces, kFitThreads, fit_block_bytes(b.store), stream, b);
}

template size_t fit_backward_scratch(const FitBackwardParams<float>&);
template size_t fit_backward_scratch(const FitBackwardParams<double>&);
template Error launch_fit_landmarks_backward(const FitBackwardParams<float>&, void*, void*);
template Error launch_fit_landmarks_backward(const FitBackwardParams<double>&, void*, void*);

}  // namespace twodasl::cuda
