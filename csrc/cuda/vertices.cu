// vertices, forward: which kernel, in which tiles. Tensor cores or not is a choice of the process (tensor_cores.cu); no
// choice below that changes a bit of a result.
#include "vertices.h"

#include <type_traits>

#include "vertices_stream.h"
#include "vertices_tensor.h"
#include "vertices_tile.h"

namespace twodasl::cuda {

namespace {

template <int Faces, int Ahead, class T, class S>
Error stream(const VerticesParams<T, S>& params, void* stream) {
  constexpr int64_t kMostTiles = 65535;  // of faces, in one grid
  const unsigned tiles = static_cast<unsigned>(divide_up(params.basis.vertices, kStreamVertices));
  VerticesParams<T, S> part = params;
  for (int64_t face = 0; face < params.batch; face += kMostTiles * Faces) {
    part.batch = params.batch - face < kMostTiles * Faces ? params.batch - face : kMostTiles * Faces;
    part.coefficients = params.coefficients + face * params.basis.modes_count;
    part.pose = params.pose + face * 12;
    part.output = params.output + face * params.basis.vertices * 3;
    const dim3 grid(tiles, static_cast<unsigned>(divide_up(part.batch, Faces)));
    const Error error = launch(&vertices_stream_kernel<Faces, Ahead, T, S>, grid, kWarp, 0, stream, part);
    if (error != nullptr) return error;
  }
  return nullptr;
}

template <int FaceWarps, class S>
Error tile(const VerticesParams<float, S>& params, int64_t face_tiles, void* stream) {
  const int64_t tiles = divide_up(params.basis.vertices, kTileVertices);
  return launch(&vertices_tile_kernel<FaceWarps, S>, static_cast<unsigned>(tiles * face_tiles), 64 * FaceWarps, 0,
                stream, params, face_tiles);
}

template <int Tiles, int FaceWarps, class S>
Error on_tensor_cores(const VerticesParams<float, S>& params, int64_t face_groups, void* stream) {
  const int64_t tiles = divide_up(params.basis.vertices, kTensorVertices);
  return launch(&vertices_tensor_kernel<Tiles, FaceWarps, S>, static_cast<unsigned>(tiles * face_groups),
                kWarp * FaceWarps, 0, stream, params, static_cast<int>(face_groups));
}

// Enough warps for every scheduler to have one, as below. Four tiles of faces to a warp split the modes least often, and
// several warps of faces read them once.
template <class S>
Error on_tensor_cores(const VerticesParams<float, S>& params, void* stream) {
  const int64_t enough = 4 * multiprocessors(), warps = divide_up(params.basis.vertices, kTensorVertices);
  const auto fills = [&](int64_t faces) { return warps * divide_up(params.batch, faces) >= enough; };
  if (params.batch > 16 && fills(32)) {
    const int64_t face_warps = divide_up(params.batch, 32), groups = divide_up(face_warps, kTensorMostWarps);
    switch (divide_up(face_warps, groups)) {
      case 1: return on_tensor_cores<4, 1>(params, groups, stream);
      case 2: return on_tensor_cores<4, 2>(params, groups, stream);
      case 3: return on_tensor_cores<4, 3>(params, groups, stream);
      default: return on_tensor_cores<4, kTensorMostWarps>(params, groups, stream);
    }
  }
  if (params.batch > 8 && fills(16)) return on_tensor_cores<2, 1>(params, divide_up(params.batch, 16), stream);
  return on_tensor_cores<1, 1>(params, divide_up(params.batch, 8), stream);
}

}  // namespace

template <class T, class S>
Error launch_vertices(const VerticesParams<T, S>& params, void* stream_) {
  // Enough warps for every scheduler to have one: few vertices, landmarks say, are spread by taking the faces singly.
  const int64_t enough = 4 * multiprocessors(), warps = divide_up(params.basis.vertices, kStreamVertices);
  const auto fills = [&](int64_t faces) { return warps * divide_up(params.batch, faces) >= enough; };
  if constexpr (std::is_same_v<T, double>) {
    return params.batch >= 4 && fills(4) ? stream<4, 8>(params, stream_) : stream<1, 8>(params, stream_);
  } else {
    bool tensor = false;
    if (const Error error = tensor_cores(&tensor); error != nullptr) return error;
    if (tensor) return on_tensor_cores(params, stream_);
    const int64_t face_tiles = divide_up(params.batch, kTileFaces);
    if (params.batch > 16 && fills(kTileFaces)) {
      // An even number of them goes in pairs, which reads the modes from the second-level cache half as often.
      return face_tiles % 2 == 0 ? tile<2>(params, face_tiles / 2, stream_) : tile<1>(params, face_tiles, stream_);
    }
    if constexpr (sizeof(S) == 4) {  // of half the bytes, two tiles of eight ask for as many, and widen in fewer registers
      if (params.batch > 8 && fills(16)) return stream<16, 4>(params, stream_);
    }
    if (params.batch > 4 && fills(8)) return stream<8, 8>(params, stream_);
    if (params.batch > 2 && fills(4)) return stream<4, 16>(params, stream_);
    if (params.batch > 1 && fills(2)) return stream<2, 16>(params, stream_);
    return stream<1, 16>(params, stream_);
  }
}

template Error launch_vertices(const VerticesParams<float, float>&, void*);
template Error launch_vertices(const VerticesParams<double, double>&, void*);
template Error launch_vertices(const VerticesParams<float, BFloat16>&, void*);
template Error launch_vertices(const VerticesParams<float, Float16>&, void*);

}  // namespace twodasl::cuda
