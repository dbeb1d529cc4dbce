// vertices, backward to coefficients and pose: the parts' sums, then their sum.
#include "vertices.h"

#include <type_traits>

#include "vertices_gradient.h"
#include "vertices_tensor_gradient.h"

namespace twodasl::cuda {

namespace {

constexpr int kOutputs = 32, kSlices = 16;  // of the parts

// A block adds the parts of 32 numbers of a face, in double precision: a gradient may sum 50,000 vertices. Warp s takes
// parts s, s + 16, ...; then the warps' sums are added in order. A part has one or more sums for the pose, and then those
// of the coefficients: (parts, B, 12 poses + K). `recovered` is null where no shape was.
template <class T, class S>
__global__ void __launch_bounds__(kOutputs* kSlices)
    reduce_gradient_kernel(VerticesBackwardParams<T, S> params, int64_t parts, int poses, const T* recovered,
                           T* grad_coefficients, T* grad_pose) {
  TWODASL_SHARED(double, sums, kSlices * kOutputs);
  TWODASL_SHARED(double, totals, kOutputs);
  const int lane = static_cast<int>(threadIdx.x) % kOutputs, slice = static_cast<int>(threadIdx.x) / kOutputs;
  const int64_t face = blockIdx.y, modes_count = params.basis.modes_count, width = 12 * poses + modes_count;
  const int64_t i = int64_t(blockIdx.x) * kOutputs + lane;
  const bool needed = i < 12 + modes_count && (i < 12 ? grad_pose != nullptr : grad_coefficients != nullptr);
  double total = 0.0;
  if (needed) {
    const T* partial = params.partial + face * width + (i < 12 ? i : i + 12 * (poses - 1));
    for (int pose = 0; pose < (i < 12 ? poses : 1); ++pose, partial += 12) {
#pragma unroll 8
      for (int64_t part = slice; part < parts; part += kSlices) {
        total += static_cast<double>(partial[part * params.batch * width]);
      }
    }
  }
  sums[slice * kOutputs + lane] = total;
  __syncthreads();
  if (slice != 0) return;
  for (int s = 1; s < kSlices; ++s) total += sums[s * kOutputs + lane];
  if (blockIdx.x == 0 && grad_pose != nullptr) {
    totals[lane] = total;
    __syncwarp();
    if (lane < 3 && parts > 0 && recovered != nullptr && recovered[face] != T(0)) {
      double inverse[9];
      invert(params.pose + 12 * face, inverse);
      turn_sums(inverse, totals + 4 * lane);
    }
    __syncwarp();
    total = totals[lane];
  }
  if (!needed) return;
  if (i < 12) {
    grad_pose[face * 12 + i] = static_cast<T>(total);
  } else {
    grad_coefficients[face * modes_count + i - 12] = static_cast<T>(total);
  }
}

template <int F, int M, class T, class S>
Error multiply(const VerticesBackwardParams<T, S>& params, T* recovered, void* stream) {
  using Block = Gradient<F, M, T, S>;
  const int64_t face_tiles = divide_up(params.batch, Block::kFaces);
  const int64_t mode_tiles = params.need_coefficients && params.basis.modes_count > 0
                                 ? divide_up(params.basis.modes_count, Block::kModes)
                                 : 1;
  const dim3 grid(static_cast<unsigned>(gradient_parts(params.basis.vertices) * mode_tiles * face_tiles));
  return launch(&vertices_gradient_kernel<F, M, T, S>, grid, kGradientThreads, 0, stream, params, recovered, mode_tiles,
                face_tiles);
}

// Seven or five modes to a thread, whichever wastes fewer.
template <int F, class T, class S>
Error multiply_modes(const VerticesBackwardParams<T, S>& params, T* recovered, void* stream) {
  const int64_t modes_count = params.basis.modes_count;
  const bool seven = divide_up(modes_count, 56) * 56 <= divide_up(modes_count, 40) * 40;
  return seven ? multiply<F, 7>(params, recovered, stream) : multiply<F, 5>(params, recovered, stream);
}

template <class T, class S>
Error add_parts(const VerticesBackwardParams<T, S>& params, int64_t parts, int64_t poses, const T* recovered,
                T* grad_coefficients, T* grad_pose, void* stream) {
  const dim3 grid(static_cast<unsigned>(divide_up(12 + params.basis.modes_count, kOutputs)),
                  static_cast<unsigned>(params.batch));
  return launch(&reduce_gradient_kernel<T, S>, grid, kOutputs * kSlices, 0, stream, params, parts,
                static_cast<int>(poses), recovered, grad_coefficients, grad_pose);
}

template <int Tiles, class S>
Error multiply_on_tensor_cores(const VerticesBackwardParams<float, S>& params, int chunks, int chunk_modes,
                               void* stream) {
  const int64_t all_pairs = divide_up(params.batch, kTensorGradientFaces);
  const int64_t groups = divide_up(all_pairs, kTensorGradientMostPairs), pairs = divide_up(all_pairs, groups);
  const int64_t blocks = tensor_gradient_parts(params.basis.vertices) * chunks * groups;
  return launch(&vertices_tensor_gradient_kernel<Tiles, S>, static_cast<unsigned>(blocks),
                static_cast<unsigned>(2 * kWarp * pairs), TensorGradientLayout<Tiles, S>::bytes(static_cast<int>(pairs)),
                stream, params, chunks, chunk_modes, static_cast<int>(groups),
                static_cast<int>(tensor_gradient_blocks_of_part(params.basis.vertices)));
}

// As few tiles of columns as hold a chunk: a choice by K alone, since it decides the order of the pose's sums.
template <class S>
Error multiply_on_tensor_cores(const VerticesBackwardParams<float, S>& params, int64_t chunks, void* stream) {
  const int64_t modes = divide_up(params.basis.modes_count, chunks);
  const int64_t tiles = divide_up(divide_up(3 * modes, 8) + 1, 2);
  const auto multiply = [&](auto most) {
    return multiply_on_tensor_cores<decltype(most)::value>(params, static_cast<int>(chunks), static_cast<int>(modes),
                                                           stream);
  };
  if (tiles <= 3) return multiply(std::integral_constant<int, 3>{});
  if (tiles <= 6) return multiply(std::integral_constant<int, 6>{});
  if (tiles <= 10) return multiply(std::integral_constant<int, 10>{});
  return multiply(std::integral_constant<int, 11>{});
}

template <class T, class S>
Error differentiate(const VerticesBackwardParams<T, S>& params, T* grad_coefficients, T* grad_pose, void* stream) {
  const int64_t width = 12 + params.basis.modes_count, parts = gradient_parts(params.basis.vertices);
  T* const recovered = params.partial + parts * params.batch * width;
  const bool dense = params.grad.stride[1] == 3 && params.grad.stride[2] == 1;
  Error error = nullptr;
  if constexpr (sizeof(T) == 8) {
    error = multiply<2, 5>(params, recovered, stream);
  } else {
    bool tensor = false;
    if ((error = tensor_cores(&tensor)) != nullptr) return error;
    if (tensor) {
      const int64_t chunks = tensor_gradient_chunks(params.basis.modes_count);
      if ((error = multiply_on_tensor_cores(params, chunks, stream)) != nullptr) return error;
      return add_parts<T, S>(params, tensor_gradient_parts(params.basis.vertices), chunks, nullptr, grad_coefficients,
                             grad_pose, stream);
    }
    if (dense && params.batch > 16 && parts * divide_up(params.batch, 32) >= multiprocessors()) {
      error = multiply_modes<8>(params, recovered, stream);
    } else {
      error = multiply_modes<2>(params, recovered, stream);
    }
  }
  if (error != nullptr) return error;
  return add_parts(params, parts, 1, static_cast<const T*>(recovered), grad_coefficients, grad_pose, stream);
}

}  // namespace

template <class T, class S>
Error launch_vertices_backward(const VerticesBackwardParams<T, S>& params, T* grad_coefficients, T* grad_pose,
                               void* stream) {
  const int64_t modes_count = params.basis.modes_count;
  for (int64_t face = 0; face < params.batch; face += kGradientFaces) {
    VerticesBackwardParams<T, S> some = params;
    some.batch = params.batch - face < kGradientFaces ? params.batch - face : kGradientFaces;
    some.coefficients = params.coefficients + face * modes_count;
    some.pose = params.pose + face * 12;
    some.grad.data = params.grad.data + face * params.grad.stride[0];
    if (params.vertices != nullptr) some.vertices = params.vertices + face * params.basis.vertices * 3;
    const Error error =
        differentiate(some, grad_coefficients != nullptr ? grad_coefficients + face * modes_count : nullptr,
                      grad_pose != nullptr ? grad_pose + face * 12 : nullptr, stream);
    if (error != nullptr) return error;
  }
  return nullptr;
}

template Error launch_vertices_backward(const VerticesBackwardParams<float, float>&, float*, float*, void*);
template Error launch_vertices_backward(const VerticesBackwardParams<double, double>&, double*, double*, void*);
template Error launch_vertices_backward(const VerticesBackwardParams<float, BFloat16>&, float*, float*, void*);
template Error launch_vertices_backward(const VerticesBackwardParams<float, Float16>&, float*, float*, void*);

}  // namespace twodasl::cuda
