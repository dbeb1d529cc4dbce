// vertices, backward to coefficients and pose, one part of the vertices. With q[n] = M^T g[n] and p[n] the shape before
// the pose:  grad c_k = sum_n q[n] . modes_k[n]    grad M = sum_n g[n] p[n]^T    grad t = sum_n g[n]
#pragma once

#include <type_traits>

#include "../common/recover.h"
#include "pack.h"

namespace twodasl::cuda {

inline constexpr int kGradientThreads = 128;
inline constexpr int kGradientRow = 3 * static_cast<int>(kGradientVertices);  // two blocks of 16 as they are packed
inline constexpr int kGradientPitch = kGradientRow + 4;  // rows begin four banks apart: eight of them touch all 32

// The sums that a block makes are a matrix product (4 F faces x 3 vertices) (3 vertices x 8 M modes), in tiles of 32
// vertices: a thread holds F faces by M modes, a warp all faces and modes at a quarter of the tile's numbers. Eight
// faces by seven modes read 15 times 16 bytes of shared memory for 224 multiply-adds. No choice of F and M changes the
// order of a sum.
//
// A tile is 32 vertices x 50 modes x 12 bytes = 19 KB of the basis, on its way to a block at once through registers;
// the three blocks of a multiprocessor are in different phases. An estimate, not a
// measurement: at N = 53215, K = 50 an H100 would move 33 MB in 11 us for one face, and for 64 faces 114 MB in 38 us,
// beside 22 us of multiply-adds.
template <int F, int M, class T, class S>
struct Gradient {
  static constexpr int kFaces = 4 * F, kModes = 8 * M;
  // Other strides' offsets would not leave registers enough for so many sums: those are for the smaller tiles.
  static constexpr bool kDense = F == 8;
  static constexpr int kHeld = (kFaces + 15) / 16;  // faces that a thread turns: eight threads to a face
  static constexpr int kNumbers = (kFaces + kModes) * kGradientPitch;
  static_assert(kFaces <= kWarp, "a lane to a face");
  static_assert(4 * kFaces * kModes <= kNumbers, "the warps' sums meet where the tile was");

  const VerticesBackwardParams<T, S>& params;
  T* const modes;  // (kModes, kGradientPitch): this tile's
  T* const q;      // (kFaces, kGradientPitch)
  const Pack4<T>* const pose;  // (kFaces, 3)
  const T* const recovered;    // (kFaces)
  const int first_face, first_mode;
  const int faces, modes_count;  // of this block

  // Vertices 2 l and 2 l + 1 of both blocks of 16, l the thread's number among its face's eight. Zeros past the last.
  template <bool Dense>
  __device__ __forceinline__ void load(const GradView<T>& from, int64_t face, int64_t vertex, T (&to)[4][3]) const {
    const int64_t stride = Dense ? 3 : from.stride[1], axis = Dense ? 1 : from.stride[2];
    const T* const data = from.data + face * from.stride[0] + vertex * stride;
    const int64_t left = params.basis.vertices - vertex;
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      const int n = v % 2 + v / 2 * 16;
#pragma unroll
      for (int c = 0; c < 3; ++c) to[v][c] = n < left ? data[n * stride + c * axis] : T(0);
    }
  }
  __device__ __forceinline__ void load_grad(int64_t face, int64_t vertex, T (&to)[4][3]) const {
    if (kDense || (params.grad.stride[1] == 3 && params.grad.stride[2] == 1)) {
      load<true>(params.grad, face, vertex, to);
    } else {
      load<kDense>(params.grad, face, vertex, to);
    }
  }

  // The tile's modes, ten rows of 48 numbers at a time for each block of 16; zeros where there is no second block.
  __device__ __forceinline__ void stage_modes(int tile) const {
    constexpr int kRows = 10, kRounds = (kModes + kRows - 1) / kRows, kAcross = static_cast<int>(kBlockRow / 4);
    const int thread = static_cast<int>(threadIdx.x), row = thread / kAcross, four = 4 * (thread % kAcross);
    const int64_t block = 2 * int64_t(tile), blocks = block_count(params.basis.vertices), all = params.basis.modes_count;
    const S* const from = params.basis.modes + (block * all + first_mode + row) * kBlockRow + four;
    // With many sums, one block after the other, because registers are scarce.
    constexpr int kTogether = F == 8 ? 1 : 2;
    Stored<S, 4> stored[kTogether][kRounds];
#pragma unroll
    for (int first = 0; first < 2; first += kTogether) {
      if (row < kRows) {
#pragma unroll
        for (int i = 0; i < kTogether * kRounds; ++i) {
          const int b = first + i / kRounds, k = kRows * (i % kRounds);
          Stored<S, 4>& own = stored[i / kRounds][i % kRounds];
          own = {};
          if (row + k < modes_count && block + b < blocks) own = load_stored<4>(from + (b * all + k) * kBlockRow);
        }
      }
      if (first == 0) __syncthreads();  // the tile before has been multiplied
      if (row < kRows) {
#pragma unroll
        for (int i = 0; i < kTogether * kRounds; ++i) {
          const int b = first + i / kRounds, k = row + kRows * (i % kRounds);
          T* const to = modes + k * kGradientPitch + b * kBlockRow + four;
          if (k < modes_count) store_pack(to, widened<T>(stored[i / kRounds][i % kRounds]));
        }
      }
    }
  }

  // Recomputes the shape of one of this thread's faces, for a pose that it cannot be recovered from. The first modes
  // are staged.
  __device__ __forceinline__ void synthesize(int tile, int face, T (&shape)[4][3]) const {
    const int within = 2 * (static_cast<int>(threadIdx.x) % 8);
    const int64_t block = 2 * int64_t(tile), all = params.basis.modes_count;
    const int blocks = block_count(params.basis.vertices) - block < 2 ? 1 : 2;
    const T* const coefficients = params.coefficients + int64_t(first_face + face) * all;
#pragma unroll
    for (int i = 0; i < 6; ++i) {
      Pack<T, 2> mean{};
      if (i / 3 < blocks) {
        mean = load_pack<2>(params.basis.mean + (block + i / 3) * kBlockRow + i % 3 * kBlock + within);
      }
      shape[i / 3 * 2][i % 3] = mean.value[0], shape[i / 3 * 2 + 1][i % 3] = mean.value[1];
    }
    const auto add = [&](T scale, int i, const Pack<T, 2>& mode) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        T& sum = shape[i / 3 * 2 + j][i % 3];
        sum = fma(scale, mode.value[j], sum);
      }
    };
#pragma unroll 1
    for (int k = 0; k < modes_count; ++k) {
      const T scale = coefficients[k];
#pragma unroll
      for (int i = 0; i < 6; ++i) add(scale, i, load_pack<2>(modes + k * kGradientPitch + i * kBlock + within));
    }
#pragma unroll 1
    for (int64_t k = modes_count; k < all; ++k) {  // modes of other blocks' tiles
      const T scale = coefficients[k];
#pragma unroll
      for (int i = 0; i < 6; ++i) {
        const S* const from = params.basis.modes + ((block + i / 3) * all + k) * kBlockRow + i % 3 * kBlock + within;
        if (i / 3 < blocks) add(scale, i, widened<T>(load_stored<2>(from)));
      }
    }
  }

  // q of the tile, and with `sums` those of g p^T, or g (V - t)^T where the shape is recovered, and of g.
  __device__ __forceinline__ void turn(int tile, bool need_pose, T (&sums)[kHeld][12]) const {
    const int within = 2 * (static_cast<int>(threadIdx.x) % 8);
    const int64_t vertex = int64_t(tile) * kGradientVertices + within;
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      const int own = static_cast<int>(threadIdx.x) / 8 + 16 * h;
      if (h > 0) __syncwarp();  // or the compiler spills sums to overlap the loads of both faces
      if (own >= faces) continue;
      T g[4][3], shape[4][3];
      const bool again = need_pose && recovered[own] == T(0);
      if (again) synthesize(tile, own, shape);
      load_grad(first_face + own, vertex, g);
      const Pack4<T> m[3] = {pose[3 * own], pose[3 * own + 1], pose[3 * own + 2]};
      if (need_pose) {
        if (!again) {
          const GradView<T> posed{params.vertices, {params.basis.vertices * 3, 3, 1}};
          load<true>(posed, first_face + own, vertex, shape);
#pragma unroll
          for (int i = 0; i < 12; ++i) shape[i / 3][i % 3] -= m[i % 3].value[3];  // past the last vertex g is zero
        }
#pragma unroll
        for (int v = 0; v < 4; ++v) {
#pragma unroll
          for (int r = 0; r < 3; ++r) {
#pragma unroll
            for (int c = 0; c < 3; ++c) sums[h][4 * r + c] = fma(g[v][r], shape[v][c], sums[h][4 * r + c]);
            sums[h][4 * r + 3] += g[v][r];
          }
        }
      }
#pragma unroll
      for (int i = 0; i < 6; ++i) {
        const int v = i / 3 * 2, c = i % 3;
        Pack<T, 2> turned;
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          turned.value[j] = fma(m[0].value[c], g[v + j][0], fma(m[1].value[c], g[v + j][1], m[2].value[c] * g[v + j][2]));
        }
        store_pack(q + own * kGradientPitch + i * kBlock + within, turned);
      }
    }
  }

  // Adds this warp's quarter of the tile: faces lane / 8 + 4 f, modes lane % 8 + 8 k.
  __device__ __forceinline__ void multiply(T (&sums)[F][M]) const {
    const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
    const T* const left = q + lane / 8 * kGradientPitch + warp * kGradientRow / 4;
    const T* const right = modes + lane % 8 * kGradientPitch + warp * kGradientRow / 4;
#pragma unroll 1
    for (int i = 0; i < kGradientRow / 4; i += 4) {
      Pack4<T> turned[F];
#pragma unroll
      for (int f = 0; f < F; ++f) turned[f] = load_pack<4>(left + 4 * f * kGradientPitch + i);
#pragma unroll
      for (int k = 0; k < M; ++k) {
        const Pack4<T> mode = load_pack<4>(right + 8 * k * kGradientPitch + i);
#pragma unroll
        for (int f = 0; f < F; ++f) {
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[f][k] = fma(turned[f].value[j], mode.value[j], sums[f][k]);
        }
      }
    }
  }
};

// Block (part, tile of modes, tile of faces), the last fastest: blocks that read the same modes run together. The
// sums of the pose are those of a part's first tile of modes.
template <int F, int M, class T, class S>
__global__ void __launch_bounds__(kGradientThreads, sizeof(T) == 4 ? 3 : 2)
    vertices_gradient_kernel(VerticesBackwardParams<T, S> params, T* recovered_out, int mode_tiles, int face_tiles) {
  using Block = Gradient<F, M, T, S>;
  constexpr int kFaces = Block::kFaces, kModes = Block::kModes, kHeld = Block::kHeld;
  TWODASL_SHARED(Pack4<T>, memory, Block::kNumbers / 4);
  TWODASL_SHARED(Pack4<T>, pose, 3 * kFaces);
  TWODASL_SHARED(T, recovered, kFaces);
  TWODASL_SHARED(int, kept, 2);  // what a tile asks for once, while the sums need the registers: its end, `again`
  const int part = static_cast<int>(blockIdx.x) / (face_tiles * mode_tiles);
  const int mode_tile = static_cast<int>(blockIdx.x) / face_tiles % mode_tiles;
  const int first_face = static_cast<int>(blockIdx.x) % face_tiles * kFaces;
  const int first_mode = mode_tile * kModes;
  const int64_t all = params.basis.modes_count, width = 12 + all;
  const int faces = static_cast<int>(params.batch - first_face < kFaces ? params.batch - first_face : kFaces);
  const int modes_count = static_cast<int>(all - first_mode < kModes ? all - first_mode : kModes);
  T* const staged = reinterpret_cast<T*>(memory);
  const Block block{params,    staged,     staged + kModes * kGradientPitch, pose, recovered, first_face,
                    first_mode, faces, modes_count};
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const bool need_pose = params.need_pose && mode_tile == 0;

  for (int i = thread; i < 12 * faces; i += kGradientThreads) {
    reinterpret_cast<T*>(pose)[i] = params.pose[12 * first_face + i];
  }
  if (thread == 0) kept[1] = 0;
  if (need_pose) {
    if (thread < faces) {
      const int64_t vertices = params.basis.vertices, face = first_face + thread;
      const bool possible = params.vertices != nullptr &&
                            recoverable(params.pose + 12 * face, params.vertices + face * vertices * 3, vertices);
      recovered[thread] = possible ? T(1) : T(0);
      if (part == 0) recovered_out[face] = recovered[thread];
    }
    __syncthreads();
    const bool again = __any_sync(kFullMask, lane < faces && recovered[lane] == T(0)) != 0;
    if (thread == 0) kept[1] = again ? 1 : 0;
  }

  T sums[F][M] = {}, pose_sums[kHeld][12] = {};
  // 32 bits: more tiles would be of more than 2^36 vertices.
  const int of_part = static_cast<int>(gradient_tiles_of_part(params.basis.vertices));
  const int tiles = static_cast<int>(divide_up(params.basis.vertices, kGradientVertices));
  const int first_tile = part * of_part;
  if (thread == 0) kept[0] = first_tile + of_part < tiles ? first_tile + of_part : tiles;
  __syncthreads();
  for (int tile = first_tile; tile < kept[0]; ++tile) {
    if (params.need_coefficients || kept[1] != 0) {
      block.stage_modes(tile);
    } else {
      __syncthreads();
    }
    if (kept[1] != 0) __syncthreads();  // synthesis reads the modes
    block.turn(tile, need_pose, pose_sums);
    __syncthreads();
    if (params.need_coefficients) block.multiply(sums);
  }

  T* const partial = params.partial + (int64_t(part) * params.batch + first_face) * width;
  if (params.need_coefficients) {
    __syncthreads();
#pragma unroll
    for (int f = 0; f < F; ++f) {
#pragma unroll
      for (int k = 0; k < M; ++k) {
        staged[(warp * kFaces + lane / 8 + 4 * f) * kModes + lane % 8 + 8 * k] = sums[f][k];
      }
    }
    __syncthreads();
    for (int i = thread; i < faces * kModes; i += kGradientThreads) {
      const int f = i / kModes, k = i % kModes;
      constexpr int kSums = kFaces * kModes;
      if (k < modes_count) {
        partial[f * width + 12 + first_mode + k] =
            staged[i] + staged[kSums + i] + (staged[2 * kSums + i] + staged[3 * kSums + i]);
      }
    }
  }
  if (!need_pose || thread / 8 >= kFaces) return;  // whole warps
#pragma unroll
  for (int h = 0; h < kHeld; ++h) {
    const int own = thread / 8 + 16 * h;
#pragma unroll
    for (int i = 0; i < 12; ++i) {
      T sum = pose_sums[h][i];
#pragma unroll
      for (int by = 4; by > 0; by /= 2) sum += __shfl_xor_sync(kFullMask, sum, by);
      if (thread % 8 == i % 8 && own < faces) partial[own * width + i] = sum;
    }
  }
}

}  // namespace twodasl::cuda
