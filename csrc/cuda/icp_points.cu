// A cloud's frame: two passes over its points, bound by memory; see icp.h.
#include <cmath>

#include "icp_passes.h"

namespace twodasl::cuda {

namespace {

// A multiple of 3 and of a warp: a thread that strides over the numbers of a cloud stays on one axis, and a warp reads
// 32 that follow one another.
constexpr int kAxisThreads = 384;

// sums[0..2]: over the threads of every axis, in a fixed order. All threads call.
__device__ __forceinline__ void sum_by_axis(double value, double* sums) {
  sums[threadIdx.x] = value;
  __syncthreads();
#pragma unroll
  for (int width = kAxisThreads / 2; width >= 3; width /= 2) {
    if (int(threadIdx.x) < width) sums[threadIdx.x] += sums[threadIdx.x + width];
    __syncthreads();
  }
}

__device__ __forceinline__ int64_t clamped(int64_t count, int64_t most) {
  return count < 0 ? 0 : count > most ? most : count;
}

// Sums of coordinates, or of their squares about the centroid.
template <class T, bool Squares>
__global__ void __launch_bounds__(kAxisThreads) frame_parts_kernel(IcpFrameParams<T> params) {
  TWODASL_SHARED(double, sums, kAxisThreads);
  const int axis = int(threadIdx.x) % 3;
  for (int64_t element = blockIdx.y; element < params.batch; element += gridDim.y) {
    const int64_t count = clamped(params.counts[element], params.points_count);
    const int64_t first = int64_t(blockIdx.x) * kFramePart;
    if (first >= count) continue;  // all threads
    const int numbers = 3 * int(count - first < kFramePart ? count - first : kFramePart);
    const T* points = params.points + 3 * (element * params.points_count + first);
    const double center = Squares ? params.frame[kFrameNumbers * element + axis] : 0.0;
    double sum = 0.0;
#pragma unroll 8
    for (int i = int(threadIdx.x); i < numbers; i += kAxisThreads) {
      const double x = static_cast<double>(points[i]) - center;
      sum += Squares ? x * x : x;
    }
    sum_by_axis(sum, sums);
    double* partial = params.partial + 3 * (element * gridDim.x + blockIdx.x);
    if (threadIdx.x < 3) partial[threadIdx.x] = sums[threadIdx.x];
    __syncthreads();
  }
}

template <class T, bool Squares>
__global__ void __launch_bounds__(kAxisThreads) frame_finish_kernel(IcpFrameParams<T> params) {
  TWODASL_SHARED(double, sums, kAxisThreads);
  const int64_t element = blockIdx.x, count = clamped(params.counts[element], params.points_count);
  const double* partial = params.partial + 3 * element * frame_parts(params.points_count);
  const int64_t numbers = 3 * frame_parts(count);
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < numbers; i += kAxisThreads) sum += partial[i];
  sum_by_axis(sum, sums);
  const double points = static_cast<double>(count > 0 ? count : 1);
  double* frame = params.frame + kFrameNumbers * element;
  if (Squares) {
    if (threadIdx.x == 0) frame[3] = std::sqrt((sums[0] + sums[1] + sums[2]) / points);
  } else if (threadIdx.x < 3) {
    frame[threadIdx.x] = sums[threadIdx.x] / points;
  }
}

template <class T, bool Squares>
Error frame_pass(const IcpFrameParams<T>& params, void* stream) {
  const dim3 grid(static_cast<unsigned>(frame_parts(params.points_count)), rows(params.batch));
  const Error error = launch(&frame_parts_kernel<T, Squares>, grid, kAxisThreads, 0, stream, params);
  if (error != nullptr) return error;
  return launch(&frame_finish_kernel<T, Squares>, static_cast<unsigned>(params.batch), kAxisThreads, 0, stream, params);
}

}  // namespace

template <class T>
Error launch_icp_frame(const IcpFrameParams<T>& params, void* stream) {
  const Error error = frame_pass<T, false>(params, stream);
  return error != nullptr ? error : frame_pass<T, true>(params, stream);
}

template Error launch_icp_frame(const IcpFrameParams<float>&, void*);
template Error launch_icp_frame(const IcpFrameParams<double>&, void*);

}  // namespace twodasl::cuda
