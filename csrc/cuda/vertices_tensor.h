// vertices, forward, on tensor cores, for any number of faces: a matrix product (3 vertices x modes) (modes x faces) in
// three products of tf32 numbers, with the pose at its end.
#pragma once

#include "tensor.h"
#include "vertices_pose.h"

namespace twodasl::cuda {

// A warp makes 32 vertices by 8 Tiles faces, in products of 16 vertices of one axis by 8 faces by 8 modes; a block is up
// to four warps of faces over the same vertices. Modes and coefficients come by cp.async, kTensorStages - 1 stretches of
// 8 modes ahead; what is past the last vertex, mode, or face becomes zeros on the way.
//
// Every number is split in two of tf32 (tensor.h), and of the four products the three larger ones are added, the small
// ones first. With u = 2^-24 the numbers lose 2 u each of a term, the fourth product is at most 4 u of it: 8 u. Stored in
// half precision a mode is exact, needs no split and loses nothing: 2 u.
//
// A tensor core adds exact products, but not as float32 does (Fasi et al., "Numerical behavior of NVIDIA tensor cores",
// PeerJ CS 7:e330): they are aligned to the largest, cut below its 24 bits (newer ones keep a few more), and the sum is
// cut to 24 bits again. So 8 products and what is there already, 9 addends, lose less than 2 u of the largest each and
// 2 u of the sum: 20 u of the sum of the absolute values. If they are added four by four, it is 24 u. And it always
// loses towards zero. Were the sum over all modes and the mean kept there, every stretch would cut the whole sum
// again. Instead each stretch begins with zero, and a rounded addition puts it to the others. Then the error of a shape is at
// most, beside the pose's four roundings,
//
//   (33 + S) u sum |c_k m_k| + S u |mean|,   S = ceil(K / 8) stretches
//
// (the small products' own losses are below 1 u), where K multiply-adds in a row have (K + 1) u of all of it. What is
// measured is in tests/cuda/test_tensor_cores.py. Numbers that round to infinity in tf32, from 2^128 - 2^116 on, give
// NaN.
//
// A face's numbers are independent of its column and of the other columns, and the order of the sums is the same in every
// tile: the same bits in any batch.
inline constexpr int kTensorVertices = 32;
inline constexpr int kTensorModes = 8;
inline constexpr int kTensorStages = 4;
inline constexpr int kTensorMostWarps = 4;

// Where things are in shared memory. Modes: (block of 16 vertices, mode, 3 x 16) as they are stored; the four rows of
// modes that a quarter of a warp reads at once begin 24 banks apart.
template <int Tiles, class S>
struct TensorLayout {
  static constexpr int kModePitch = static_cast<int>(kBlockRow) + (sizeof(S) == 4 ? 8 : 0);
  static constexpr int kBlockPitch = kTensorModes * kModePitch;
  static constexpr int kModes = 2 * kBlockPitch;  // of a stage
  // Coefficients of a warp: (mode, column, tile), so that a lane reads its column of every tile at once.
  static constexpr int kFaces = 8 * Tiles;
  static constexpr int kFacePitch = kFaces + (Tiles > 1 ? 8 : 0);
  static constexpr int kCoefficients = kTensorModes * kFacePitch;  // of a stage
  // Of a warp's face in its row. Column c of tile i is face 2 Tiles (c / 2) + 2 i + c % 2, so that the four lanes of a row
  // write faces 2 Tiles apart at the same time, whose rows begin, for two tiles and more, at the same place within 16
  // bytes. It moves the bits of the number: place(a + b) = place(a) + place(b) if they have none in common.
  __device__ static constexpr int place(int face) {
    return (face / (2 * Tiles) * 2 + face % 2) * Tiles + face % (2 * Tiles) / 2;
  }
  static constexpr int kRow = 3 * kTensorVertices, kRowPitch = kRow + 4;
};

template <int Tiles, int FaceWarps, class S>
__global__ void __launch_bounds__(kWarp* FaceWarps, 12 / FaceWarps)
    vertices_tensor_kernel(VerticesParams<float, S> params, int face_groups) {
  if constexpr (kHasTensorCores) {
    using Layout = TensorLayout<Tiles, S>;
    constexpr int kStages = kTensorStages, kFaces = Layout::kFaces;
    constexpr int kStaged = kStages * Layout::kModes * static_cast<int>(sizeof(S)) / 4;
    constexpr int kRows = FaceWarps * 4 * Layout::kRowPitch;
    TWODASL_SHARED(Pack4<float>, modes_memory, (kStaged > kRows ? kStaged : kRows) / 4);
    TWODASL_SHARED(Pack4<float>, coefficients_memory, FaceWarps * kStages * Layout::kCoefficients / 4);
    TWODASL_SHARED(Pack4<float>, pose_memory, FaceWarps * kFaces * 3);
    TWODASL_SHARED(int, kept, 2);  // what only the end asks for, while the sums need the registers

    const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
    const int group = lane / 4, own = lane % 4;  // of the products: see tensor.h
    const int modes_count = static_cast<int>(params.basis.modes_count);  // 32 bits: more modes would fill 400 GB
    const int tile = static_cast<int>(blockIdx.x) / face_groups;
    const int face_group = static_cast<int>(blockIdx.x) % face_groups;
    const int64_t first_block = int64_t(tile) * (kTensorVertices / kBlock);
    const int blocks = block_count(params.basis.vertices) - first_block < 2 ? 1 : 2;
    const int64_t first_face = (int64_t(face_group) * FaceWarps + warp) * kFaces, faces_left = params.batch - first_face;
    const int faces = faces_left < 0 ? 0 : static_cast<int>(faces_left < kFaces ? faces_left : kFaces);  // of this warp
    if (thread == 0) kept[0] = tile, kept[1] = face_group;
    const auto wait_for_all = [] {
      if constexpr (FaceWarps == 1) {
        __syncwarp();
      } else {
        __syncthreads();
      }
    };

    float* const coefficients = reinterpret_cast<float*>(coefficients_memory) + warp * kStages * Layout::kCoefficients;
    Pack4<float>* const pose = pose_memory + warp * kFaces * 3;  // (2 Tiles, 4, 3): a bank conflict less
    for (int i = lane; i < 12 * faces; i += kWarp) {
      const int f = i / 12, place = f % (2 * Tiles) * 4 + f / (2 * Tiles);
      pose[3 * place + i % 12 / 4].value[i % 4] = params.pose[12 * first_face + i];
    }

    // Requests of 16 bytes by 24 lanes, so that the next ones are at constant distances: two or four modes of a block at a
    // time, which are contiguous in memory. A single warp has all of these parcels; of several the first two have a block
    // each.
    S* const staged = reinterpret_cast<S*>(modes_memory);
    constexpr int kWideNumbers = 16 / static_cast<int>(sizeof(S));
    constexpr int kAcross = static_cast<int>(kBlockRow) / kWideNumbers, kTogether = 24 / kAcross;
    constexpr int kParcels = kTensorModes / kTogether;
    constexpr int kOwn = FaceWarps == 1 ? 2 * kParcels : kParcels;
    const int own_block = warp, own_mode = lane / kAcross;
    const int64_t block_stride = modes_count * kBlockRow;
    const S* modes = params.basis.modes + (first_block + own_block) * block_stride + own_mode * kBlockRow +
                     lane % kAcross * kWideNumbers;
    S* const modes_to = staged + own_block * Layout::kBlockPitch + own_mode * Layout::kModePitch +
                        lane % kAcross * kWideNumbers;
    // Of the coefficients four faces by eight modes at a time.
    const float* given = params.coefficients + (first_face + lane / kTensorModes) * modes_count + lane % kTensorModes;
    float* const given_to = coefficients + lane % kTensorModes * Layout::kFacePitch + Layout::place(lane / kTensorModes);
    // The stretches of modes, one after the other.
    const auto fetch = [&](int stretch) {
      const int slot = stretch % kStages, modes_left = modes_count - stretch * kTensorModes;
      if (lane < 24 && own_block < 2) {
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
          const int b = i / kParcels, k = i % kParcels * kTogether;
          copy_async<16>(modes_to + slot * Layout::kModes + b * Layout::kBlockPitch + k * Layout::kModePitch,
                         modes + b * block_stride + k * kBlockRow, own_block + b < blocks && own_mode + k < modes_left);
        }
      }
      const float* from = given;
      const int own_faces = faces - lane / kTensorModes;
#pragma unroll
      for (int f = 0; f < kFaces; f += 4, from += 4 * modes_count) {
        copy_async<4>(given_to + slot * Layout::kCoefficients + Layout::place(f), from,
                      lane % kTensorModes < modes_left && f < own_faces);
      }
      modes += kTensorModes * kBlockRow;
      given += kTensorModes;
    };
    const int stretches = (modes_count + kTensorModes - 1) / kTensorModes;
#pragma unroll 1
    for (int i = 0; i < kStages - 1; ++i) {
      if (i < stretches) fetch(i);
      commit_copies();
    }

    // This lane: vertices 2 group and the next of both blocks, two faces of every tile.
    float shape[Tiles][2][3][4];
#pragma unroll
    for (int c = 0; c < 3; ++c) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        Pack<float, 2> mean{};
        if (half < blocks) {
          mean = load_pack<2>(params.basis.mean + (first_block + half) * kBlockRow + c * kBlock + 2 * group);
        }
#pragma unroll
        for (int i = 0; i < 4 * Tiles; ++i) shape[i / 4][i / 2 % 2][c][2 * half + i % 2] = mean.value[i % 2];
      }
    }

#pragma unroll 1
    for (int stretch = 0; stretch < stretches; ++stretch) {
      wait_copies<kStages - 2>();
      wait_for_all();  // all copies of this stretch have come, and the one before has been multiplied
      if (stretch + kStages - 1 < stretches) fetch(stretch + kStages - 1);
      commit_copies();
      if (faces == 0) continue;
      const int slot = stretch % kStages;
      float high[Tiles][2], low[Tiles][2];  // coefficients
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const Pack<float, Tiles> c = load_pack<Tiles>(coefficients + slot * Layout::kCoefficients +
                                                      (own + 4 * j) * Layout::kFacePitch + group * Tiles);
#pragma unroll
        for (int i = 0; i < Tiles; ++i) split(c.value[i], high[i][j], low[i][j]);
      }
      const S* const row = staged + slot * Layout::kModes + own * Layout::kModePitch + 2 * group;
#pragma unroll
      for (int axis = 0; axis < 3; ++axis) {
        // Rows g and g + 8 of a product are vertices 2 g and the next of one block.
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          if (Tiles > 1) __syncwarp();  // or the compiler fills the registers with the products to come
          const S* const from = row + half * Layout::kBlockPitch + axis * kBlock;
          const Pack<float, 2> near = widened<float>(load_stored<2>(from));
          const Pack<float, 2> far = widened<float>(load_stored<2>(from + 4 * Layout::kModePitch));
          const float mode[4] = {near.value[0], near.value[1], far.value[0], far.value[1]};
          float mode_high[4], mode_low[4];
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            mode_high[i] = mode[i];
            if constexpr (sizeof(S) == 4) split(mode[i], mode_high[i], mode_low[i]);
          }
          float sums[Tiles][4] = {};
          if constexpr (sizeof(S) == 4) {
#pragma unroll
            for (int i = 0; i < Tiles; ++i) multiply_add(sums[i], mode_low, high[i]);
          }
#pragma unroll
          for (int i = 0; i < Tiles; ++i) multiply_add(sums[i], mode_high, low[i]);
#pragma unroll
          for (int i = 0; i < Tiles; ++i) multiply_add(sums[i], mode_high, high[i]);
#pragma unroll
          for (int i = 0; i < Tiles; ++i) {
#pragma unroll
            for (int n = 0; n < 4; ++n) shape[i][n % 2][axis][2 * half + n / 2] += sums[i][n];
          }
        }
      }
    }

    // The pose, and out through shared memory, four faces of a warp at a time.
    wait_for_all();
    float* const rows = reinterpret_cast<float*>(modes_memory) + warp * 4 * Layout::kRowPitch;
    const int64_t vertices = params.basis.vertices, first_vertex = int64_t(kept[0]) * kTensorVertices;
    const int64_t left = vertices - first_vertex, face = (int64_t(kept[1]) * FaceWarps + warp) * kFaces;
    const int count = 3 * static_cast<int>(left < kTensorVertices ? left : kTensorVertices);
    const int row = lane / 8, row_face = 2 * Tiles * row;
    float* to = params.output + ((face + row_face) * vertices + first_vertex) * 3;
#pragma unroll
    for (int f = 0; f < 2 * Tiles; ++f, to += 3 * vertices) {
      if (f >= faces) break;
      Pack<float, 2> posed[6];  // the 6 numbers of two vertices, twice
#pragma unroll
      for (int r = 0; r < 3; ++r) {
        const Pack4<float> m = pose[3 * (4 * f + own) + r];
        const float(&by_axis)[3][4] = shape[f / 2][f % 2];
#pragma unroll
        for (int v = 0; v < 4; ++v) {
          posed[(3 * v + r) / 2].value[(3 * v + r) % 2] = pose_row(m, by_axis[0][v], by_axis[1][v], by_axis[2][v]);
        }
      }
#pragma unroll
      for (int i = 0; i < 6; ++i) {
        store_pack(rows + own * Layout::kRowPitch + i / 3 * kBlockRow + 6 * group + i % 3 * 2, posed[i]);
      }
      __syncwarp();
      if (row_face + f < faces) {
        store_row<8, Layout::kRow>(rows + row * Layout::kRowPitch, to, count, lane % 8);
      }
      __syncwarp();
    }
  }
}

}  // namespace twodasl::cuda
