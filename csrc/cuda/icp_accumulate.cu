// The sums over the pairs of an iteration, by parts, and the next pose; see icp.h and cpu/kernels/icp.h for the rules.
#include <limits>

#include "icp_next.h"

namespace twodasl::cuda {

namespace {

// Two pairs a thread: a face of 53,215 points is 104 blocks, about one a multiprocessor, and the reduction that follows
// is shared by both.
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
static_assert(kPairsPart % kThreads == 0, "every thread has the same number of pairs");

// The sums of `Count` numbers over a warp in about Count shuffles instead of 5 Count: in every step a lane keeps half
// of the numbers and gives the other half away. Afterwards it holds those that begin at `first`, `left` of them, of
// which those from `end` on are padding.
template <int Count, int Bit>
struct WarpSums {
  static constexpr int kHalf = (Count + 1) / 2;
  static constexpr int kLeft = WarpSums<kHalf, Bit / 2>::kLeft;
  static __device__ __forceinline__ void run(double* values, int lane, int& first, int& end) {
    const bool upper = (lane & Bit) != 0;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const double high = i + kHalf < Count ? values[i + kHalf < Count ? i + kHalf : 0] : 0.0;
      const double kept = upper ? high : values[i], given = upper ? values[i] : high;
      values[i] = kept + __shfl_xor_sync(kFullMask, given, Bit);
    }
    if (upper) {
      first += kHalf;
    } else if (first + kHalf < end) {
      end = first + kHalf;
    }
    WarpSums<kHalf, Bit / 2>::run(values, lane, first, end);
  }
};
template <int Count>
struct WarpSums<Count, 0> {
  static constexpr int kLeft = Count;
  static __device__ __forceinline__ void run(double*, int, int&, int&) {}
};

// `sums`: pairs that count, pairs that move something, squared error; then of point-to-point p, q, q p^T, |p|^2, and of
// point-to-plane the upper triangle of the normal equations and their right-hand side.
template <class T, bool Plane>
__device__ __forceinline__ void add_pair(const IcpUpdateParams<T>& params, int64_t element, int64_t point, T threshold,
                                         double (&sums)[pairs_sums(Plane)]) {
  const int64_t at = element * params.source_count + point;
  const T squared = params.squared[at];
  const int64_t j = params.indices[at];
  if (!(squared <= threshold) || j < 0 || j >= params.target_count) return;
  const int64_t target = 3 * (element * params.target_count + j);
  double n[3] = {0.0, 0.0, 0.0};
  if constexpr (Plane) {
#pragma unroll
    for (int c = 0; c < 3; ++c) n[c] = params.normals[target + c];
    if (n[0] == 0.0 && n[1] == 0.0 && n[2] == 0.0) return;  // a vertex without triangles has no plane
  }
  sums[0] += 1.0;
  if (!(static_cast<double>(squared) <= params.max_squared)) {
    sums[2] += params.max_squared;
    return;
  }
  sums[1] += 1.0;
  // Between the clouds about their centroids, so that clouds far from the origin lose no precision.
  const double* pose = params.pose + kPoseNumbers * element;
  const double* pc = params.source_frame + kFrameNumbers * element;
  const double* qc = params.target_frame + kFrameNumbers * element;
  double p[3], q[3], moved[3], d[3];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    p[c] = params.source[3 * at + c] - pc[c];
    q[c] = params.target[target + c] - qc[c];
  }
  const double s = pose[12];
#pragma unroll
  for (int r = 0; r < 3; ++r) {
    const double x = s * pose[3 * r], y = s * pose[3 * r + 1], z = s * pose[3 * r + 2];
    const double b = x * pc[0] + y * pc[1] + z * pc[2] + (pose[9 + r] - qc[r]);
    moved[r] = x * p[0] + y * p[1] + z * p[2] + b;
    d[r] = moved[r] - q[r];
  }
  if constexpr (!Plane) {
    sums[2] += d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
#pragma unroll
    for (int r = 0; r < 3; ++r) {
      sums[3 + r] += p[r];
      sums[6 + r] += q[r];
#pragma unroll
      for (int c = 0; c < 3; ++c) sums[9 + 3 * r + c] += q[r] * p[c];
    }
    sums[18] += p[0] * p[0] + p[1] * p[1] + p[2] * p[2];
  } else {
    const double residual = n[0] * d[0] + n[1] * d[1] + n[2] * d[2];
    const double size = qc[3] > 0.0 ? 1.0 / qc[3] : 1.0;
    const double x = size * moved[0], y = size * moved[1], z = size * moved[2];
    sums[2] += residual * residual;
    // d residual / d (turn, shift, log scale), all as lengths at the target's size.
    const double row[7] = {y * n[2] - z * n[1], z * n[0] - x * n[2], x * n[1] - y * n[0], n[0], n[1], n[2],
                           n[0] * x + n[1] * y + n[2] * z};
    int k = 3;
#pragma unroll
    for (int r = 0; r < 7; ++r) {
#pragma unroll
      for (int c = r; c < 7; ++c) sums[k++] += row[r] * row[c];
    }
#pragma unroll
    for (int r = 0; r < 7; ++r) sums[k++] += row[r] * residual;
  }
}

// Whether the block is the last of `blocks` to come here, for all of its threads alike: what the others wrote before can
// then be read. None waits for another. Leaves `arrived` at zero.
__device__ __forceinline__ bool is_last_block(int32_t* arrived, int64_t blocks, int* last) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    *last = atomicAdd(arrived, 1) + 1 == blocks;
    if (*last) *arrived = 0;
  }
  __syncthreads();
  __threadfence();
  return *last;
}

// The solve alone would take 222 registers, and the multiprocessor's second block. With 128, as the sums have, nvcc 13
// spills 88 bytes for sm_90 (point), or 180 and the 1.5 KB of the eigenvectors, which few iterations need (plane).
template <class T, bool Plane>
__global__ void __launch_bounds__(kThreads, 2)
    accumulate_kernel(IcpUpdateParams<T> params, IcpState state, int64_t iteration) {
  constexpr int kSums = pairs_sums(Plane);
  TWODASL_SHARED(double, warps, kWarps * kSums);
  TWODASL_SHARED(double, total, kSums);
  TWODASL_SHARED(int, last, 1);
  const int thread = int(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  for (int64_t element = blockIdx.y; element < params.batch; element += gridDim.y) {
    const int64_t count = params.counts[element] < params.source_count ? params.counts[element] : params.source_count;
    const int64_t first = int64_t(blockIdx.x) * kPairsPart;
    if (first >= count) continue;  // all threads; also of every element that has stopped
    const T threshold = params.trim > 0.0 ? params.threshold[element] : std::numeric_limits<T>::infinity();
    double sums[kSums];
#pragma unroll
    for (int k = 0; k < kSums; ++k) sums[k] = 0.0;
#pragma unroll
    for (int i = 0; i < kPairsPart / kThreads; ++i) {
      const int64_t point = first + i * kThreads + thread;
      if (point < count) add_pair<T, Plane>(params, element, point, threshold, sums);
    }
    __syncwarp();
    int begin = 0, end = kSums;
    WarpSums<kSums, kWarp / 2>::run(sums, lane, begin, end);
#pragma unroll
    for (int i = 0; i < WarpSums<kSums, kWarp / 2>::kLeft; ++i) {
      if (begin + i < end) warps[warp * kSums + begin + i] = sums[i];
    }
    __syncthreads();
    if (thread < kSums) {
      double sum = 0.0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) sum += warps[w * kSums + thread];
      params.partial[(element * gridDim.x + blockIdx.x) * kSums + thread] = sum;
    }
    // Which blocks have no points, and so do not come here, does not change before the last of the others has.
    if (is_last_block(state.arrived + element, pairs_parts(count), last)) {
      sum_parts<kSums, kWarps>(params.partial + element * gridDim.x * kSums, pairs_parts(count), warps, total);
      if (thread == 0) go_on<T, Plane>(params, state, iteration, element, total);
    }
    __syncthreads();
  }
}

}  // namespace

template <class T>
Error launch_icp_accumulate(const IcpUpdateParams<T>& params, const IcpState& state, int64_t iteration, void* stream) {
  const dim3 grid(static_cast<unsigned>(pairs_parts(params.source_count)), rows(params.batch));
  const auto kernel = params.normals != nullptr ? &accumulate_kernel<T, true> : &accumulate_kernel<T, false>;
  return launch(kernel, grid, kThreads, 0, stream, params, state, iteration);
}

template Error launch_icp_accumulate(const IcpUpdateParams<float>&, const IcpState&, int64_t, void*);
template Error launch_icp_accumulate(const IcpUpdateParams<double>&, const IcpState&, int64_t, void*);

}  // namespace twodasl::cuda
