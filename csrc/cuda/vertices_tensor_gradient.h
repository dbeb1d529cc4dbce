// vertices, backward to coefficients and pose, on tensor cores: one part of the vertices. Of a face b and a mode k the
// product G_bk = sum_n g_b[n] m_k[n]^T, a 3 x 3 matrix, has both gradients, and neither needs the shape:
//   grad c_k = sum_rs M[r][s] G_bk[r][s]    grad M = G_b,mean + sum_k c_k G_bk    grad t = sum_n g_b[n]
#pragma once

#include "pack.h"
#include "tensor.h"
#include "vertices.h"

namespace twodasl::cuda {

// A matrix product (3 faces x vertices) (vertices x 3 modes). Its columns are those of the basis as it is packed, 16
// vertices of one axis of one mode, behind eight of their own: the mean, and ones, whose product is sum_n g[n]. A warp
// makes 16 faces by half of a block's columns, Tiles times eight; a block is one to four pairs of warps over the same
// vertices, so that up to 64 faces read the modes once. Everything comes by cp.async, kStages - 1 stretches of 16 vertices
// ahead; gradients past the last vertex become zeros on the way.
//
// Numbers are split and multiplied as in vertices_tensor.h, with u = 2^-24: 8 u of a term, 2 u where a mode is exact. A
// stretch begins with zero, and a rounded addition puts it to the others. It has two products of 8 vertices, each of which
// cuts up to 24 u of all 16; the small products' own losses are below 1 u. S stretches of a part are added, then turned by
// M, with 5 roundings for a coefficient, or multiplied by c, with up to 8 in a lane and 7 between lanes for M. The parts
// are added in double precision and rounded once. So the error is at most (63 + S) u of the sum of the absolute values of
// all terms, (73 + S) u for the pose. Of a coefficient multiply-adds lose up to (6 + 24 tiles of a part) u. At N = 53215
// that is 72 u and 126 u.
//
// Estimates for an H200, not measurements, at N = 53215, K = 50 and 64 faces: gradient and basis are 73 MB, 17 us, where
// multiply-adds also read the result, 114 MB in 27 us. The products are 9.8 GFLOP of tf32: 20 us at the data sheet's
// rate, 32 us at the 62 % of it that this instruction may reach; 29 us of instructions are issued beside them. So from some
// 32 faces on it waits for the tensor cores, in float32; stored in half precision the modes need two products of three.
// Turning g by M^T first takes a third of the products for the coefficients, but then the pose needs the shape: as many
// again to synthesize it (22 us for both, at 62 %), or the result's bytes. That would be less from 64 faces on, with a
// second product and the shapes in between.
//
// The parts depend on N, the columns' tiles on K: a face's numbers do not depend on the batch. A row that is not finite
// leaves the others alone.
inline constexpr int kTensorGradientFaces = 16;  // of a pair of warps
inline constexpr int kTensorGradientMostPairs = 4;
inline constexpr int kTensorGradientStages = 3;

// Where things are in shared memory, in numbers of 4 bytes.
template <int Tiles, class S>
struct TensorGradientLayout {
  static_assert(kTensorGradientModes <= 2 * kWarp, "a thread of a pair to a mode");
  static constexpr int kFaces = kTensorGradientFaces;
  static constexpr int kColumns = 2 * 8 * Tiles, kOwnColumns = 8;  // of the block; before those of the modes
  static constexpr int kOwn = kOwnColumns * static_cast<int>(kBlock);
  static constexpr int kModes = (kColumns - kOwnColumns) * static_cast<int>(kBlock) * static_cast<int>(sizeof(S)) / 4;
  static constexpr int kGrad = kFaces * static_cast<int>(kBlockRow);  // of a pair
  static constexpr int kPitch = kColumns + 8;  // at the end, of a face's columns
  static constexpr int kPose = 8 * 12;         // at the end, of a face: what eight lanes have added
  TWODASL_HOST_DEVICE static constexpr int stage(int pairs) { return kOwn + kModes + kGrad * pairs; }
  TWODASL_HOST_DEVICE static constexpr int bytes(int pairs) {
    const int stages = kTensorGradientStages * stage(pairs), end = pairs * kFaces * (kPitch + kPose);
    return 4 * (stages > end ? stages : end);
  }
};

// Block (part, chunk of modes, faces), the last fastest: blocks that read the same modes run together. It writes the sums
// of its chunk's coefficients, and a twelve of its own for the pose: partial is (parts, B, 12 chunks + K).
template <int Tiles, class S>
__global__ void __launch_bounds__(2 * kWarp * kTensorGradientMostPairs, 1)
    vertices_tensor_gradient_kernel(VerticesBackwardParams<float, S> params, int chunks, int chunk_modes,
                                    int face_groups, int of_part) {
  if constexpr (kHasTensorCores) {
    using Layout = TensorGradientLayout<Tiles, S>;
    constexpr int kStages = kTensorGradientStages, kFaces = Layout::kFaces, kOwnColumns = Layout::kOwnColumns;
    constexpr int kVertices = static_cast<int>(kBlock), kRow = static_cast<int>(kBlockRow), kPairThreads = 2 * kWarp;
    float* const memory = dynamic_shared<float>();
    TWODASL_SHARED(int, kept, 4);  // what only the end asks for, while the sums need the registers
    const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), lane = thread % kWarp;
    const int pair = thread / kPairThreads, of_pair = thread % kPairThreads, side = of_pair / kWarp;
    const int group = lane / 4, own = lane % 4;  // of the products: see tensor.h
    const int pairs = threads / kPairThreads, stage = Layout::stage(pairs);
    const int face_group = static_cast<int>(blockIdx.x) % face_groups;
    const int chunk = static_cast<int>(blockIdx.x) / face_groups % chunks;
    const int part = static_cast<int>(blockIdx.x) / (face_groups * chunks);
    // 32 bits: more modes would fill 400 GB, and more blocks would be of more than 2^34 vertices.
    const int all = static_cast<int>(params.basis.modes_count);
    const int first_block = part * of_part;
    const int blocks_left = static_cast<int>(block_count(params.basis.vertices)) - first_block;
    const int stretches = blocks_left < of_part ? blocks_left : of_part;

    // The block's own columns are the mean's y, z, and x, so that the axis of every column is (column + 1) % 3, then ones.
    // Zeros in all that no copy fills: those columns are multiplied too.
    const int modes_count = all - chunk * chunk_modes < chunk_modes ? all - chunk * chunk_modes : chunk_modes;
    for (int slot = 0; slot < kStages; ++slot) {
      float* const to = memory + slot * stage;
      for (int i = thread; i < Layout::kOwn; i += threads) to[i] = i / kVertices == 3 ? 1.0f : 0.0f;
      const int copied = modes_count * kRow * static_cast<int>(sizeof(S)) / 4;
      for (int i = copied + thread; i < Layout::kModes; i += threads) to[Layout::kOwn + i] = 0.0f;
    }
    if (thread == 0) kept[0] = part, kept[1] = chunk, kept[2] = face_group * pairs * kFaces, kept[3] = first_block;
    __syncthreads();
    const auto faces_left = [&] { return static_cast<int>(params.batch) - kept[2] - pair * kFaces; };
    const auto fetch = [&](int stretch) {
      const int from_chunk = kept[1], block = kept[3] + stretch;
      float* const to = memory + stretch % kStages * stage;
      if (from_chunk == 0 && thread < 12) {
        const int column = (thread / 4 + 2) % 3;
        copy_async<16>(to + column * kVertices + thread % 4 * 4, params.basis.mean + int64_t(block) * kRow + 4 * thread,
                       true);
      }
      const int mode = from_chunk * chunk_modes;
      const int bytes = (all - mode < chunk_modes ? all - mode : chunk_modes) * kRow * static_cast<int>(sizeof(S));
      const char* const modes = reinterpret_cast<const char*>(params.basis.modes + (int64_t(block) * all + mode) * kRow);
#pragma unroll 1
      for (int i = 16 * thread; i < bytes; i += 16 * threads) {
        copy_async<16>(reinterpret_cast<char*>(to + Layout::kOwn) + i, modes + i, true);
      }
      if (of_pair < kRow) {  // number of_pair of the 48 of a face's 16 vertices
        const int64_t vertex = int64_t(block) * kVertices + of_pair / 3;
        const bool real = vertex < params.basis.vertices;
        float* const grad_to = to + Layout::kOwn + Layout::kModes + pair * Layout::kGrad + of_pair;
        const int faces = faces_left();
        const float* from = params.grad.data + (kept[2] + pair * kFaces) * params.grad.stride[0] +
                            vertex * params.grad.stride[1] + of_pair % 3 * params.grad.stride[2];
#pragma unroll
        for (int f = 0; f < kFaces; ++f, from += params.grad.stride[0]) {
          if (f < faces) copy_async<4>(grad_to + f * kRow, from, real);
        }
      }
    };
#pragma unroll 1
    for (int i = 0; i < kStages - 1; ++i) {
      if (i < stretches) fetch(i);
      commit_copies();
    }

    float total[3][Tiles][4] = {};  // rows of g, of two faces
#pragma unroll 1
    for (int stretch = 0; stretch < stretches; ++stretch) {
      wait_copies<kStages - 2>();
      __syncthreads();  // all copies of this stretch have come, and the one before has been multiplied
      if (stretch + kStages - 1 < stretches) fetch(stretch + kStages - 1);
      commit_copies();
      if (faces_left() <= 0) continue;
      const float* const staged = memory + stretch % kStages * stage;
      // This lane: vertices 4 own and the next three, the first two of which are in the first product.
      float high[2][3][4], low[2][3][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* const from =
            staged + Layout::kOwn + Layout::kModes + pair * Layout::kGrad + (group + 8 * half) * kRow + 12 * own;
        const Pack4<float> g[3] = {load_pack<4>(from), load_pack<4>(from + 4), load_pack<4>(from + 8)};
#pragma unroll
        for (int i = 0; i < 12; ++i) {
          const int vertex = i / 3, to = half + vertex % 2 * 2;
          split(g[i / 4].value[i % 4], high[vertex / 2][i % 3][to], low[vertex / 2][i % 3][to]);
        }
      }
      const int at = group * kVertices + 4 * own;  // of this lane's column of eight
      const S* const columns = reinterpret_cast<const S*>(staged + Layout::kOwn) - kOwnColumns * kVertices + at;
#pragma unroll
      for (int j = 0; j < Tiles; ++j) {
        __syncwarp();  // or the compiler fills the registers with the products to come
        Pack4<float> mode = widened<float>(load_stored<4>(columns + (side * Tiles + j) * 8 * kVertices));
        if (sizeof(S) == 2 && j == 0) {  // the block's own columns are float32: what was read there is something else
          const Pack4<float> mean = load_pack<4>(staged + at);
          if (side == 0) mode = mean;
        }
        const bool exact = sizeof(S) == 2 && j > 0;  // the mean is always float32
        float mode_high[2][2], mode_low[2][2];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          mode_high[i / 2][i % 2] = mode.value[i];
          if (!exact) split(mode.value[i], mode_high[i / 2][i % 2], mode_low[i / 2][i % 2]);
        }
        float sums[3][4] = {};
        if (!exact) {
#pragma unroll
          for (int i = 0; i < 6; ++i) multiply_add(sums[i % 3], high[i / 3][i % 3], mode_low[i / 3]);
        }
#pragma unroll
        for (int i = 0; i < 6; ++i) multiply_add(sums[i % 3], low[i / 3][i % 3], mode_high[i / 3]);
#pragma unroll
        for (int i = 0; i < 6; ++i) multiply_add(sums[i % 3], high[i / 3][i % 3], mode_high[i / 3]);
#pragma unroll
        for (int i = 0; i < 12; ++i) total[i / 4][j][i % 4] += sums[i / 4][i % 4];
      }
    }

    // Of both faces the sums with M, and those with what multiplies a column: a coefficient, or 1 for the mean.
    __syncthreads();
    const int end_chunk = kept[1], end_mode = end_chunk * chunk_modes, end_face = kept[2] + pair * kFaces;
    const int end_modes = all - end_mode < chunk_modes ? all - end_mode : chunk_modes;
    const int faces = faces_left() < kFaces ? faces_left() : kFaces;  // of this pair, or less than one
    float* const turned = memory + pair * kFaces * (Layout::kPitch + Layout::kPose);  // (16, kPitch)
    float* const pose = turned + kFaces * Layout::kPitch;                             // (16, 8, 12)
#pragma unroll 1
    for (int column = of_pair; column < Layout::kColumns; column += kPairThreads) {
      const int mode = (column - kOwnColumns) / 3;
      const bool is_mode = column >= kOwnColumns && mode < end_modes;
      const float other = end_chunk == 0 && column < 3 ? 1.0f : 0.0f;
      const float* from = params.coefficients + int64_t(end_face) * all + end_mode + mode;
#pragma unroll 4
      for (int f = 0; f < kFaces; ++f, from += all) {
        if (f < faces) turned[f * Layout::kPitch + column] = is_mode ? *from : other;
      }
    }
    __syncthreads();
    // This lane's columns are 8 (side Tiles + j) + 2 own + e, whose axis is (2 j + e + turn) % 3.
    const int turn = (2 * side * Tiles + 2 * own + 1) % 3;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int face = group + 8 * half;
      if (face >= faces) continue;
      float m[3][3], by_axis[3][3] = {};
#pragma unroll
      for (int i = 0; i < 9; ++i) {
        m[i / 3][i % 3] = params.pose[12 * (end_face + face) + i / 3 * 4 + (i % 3 + turn) % 3];
      }
      float* const row = turned + face * Layout::kPitch + 8 * side * Tiles + 2 * own;
#pragma unroll
      for (int j = 0; j < Tiles; ++j) {
        const Pack<float, 2> scale = load_pack<2>(row + 8 * j);
        Pack<float, 2> with_m;
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int axis = (2 * j + e) % 3;
          const float g[3] = {total[0][j][2 * half + e], total[1][j][2 * half + e], total[2][j][2 * half + e]};
          with_m.value[e] = fma(m[0][axis], g[0], fma(m[1][axis], g[1], m[2][axis] * g[2]));
#pragma unroll
          for (int r = 0; r < 3; ++r) by_axis[r][axis] = fma(scale.value[e], g[r], by_axis[r][axis]);
        }
        store_pack(row + 8 * j, with_m);
      }
      float* const to = pose + (face * 8 + side * 4 + own) * 12;
      const bool has_ones = end_chunk == 0 && side == 0 && own == 1;  // in column 3
#pragma unroll
      for (int r = 0; r < 3; ++r) {
#pragma unroll
        for (int axis = 0; axis < 3; ++axis) to[4 * r + (axis + turn) % 3] = by_axis[r][axis];
        to[4 * r + 3] = has_ones ? total[r][0][2 * half + 1] : 0.0f;
      }
    }
    __syncthreads();
    const int64_t width = 12 * chunks + int64_t(all);
    float* const partial = params.partial + (int64_t(kept[0]) * params.batch + end_face) * width;
    if (params.need_coefficients && of_pair < end_modes) {
      const float* from = turned + kOwnColumns + 3 * of_pair;
      float* to = partial + 12 * chunks + end_mode + of_pair;
#pragma unroll 4
      for (int f = 0; f < kFaces; ++f, from += Layout::kPitch, to += width) {
        if (f < faces) *to = from[0] + from[1] + from[2];
      }
    }
    if (params.need_pose) {
      for (int i = of_pair; i < faces * 12; i += kPairThreads) {
        const float* const from = pose + i / 12 * Layout::kPose + i % 12;
        float sum = from[0];
#pragma unroll
        for (int from_lane = 1; from_lane < 8; ++from_lane) sum += from[12 * from_lane];
        partial[i / 12 * width + 12 * end_chunk + i % 12] = sum;
      }
    }
  }
}

}  // namespace twodasl::cuda
