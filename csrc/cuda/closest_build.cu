// The tree over a mesh's triangles: their centers and the largest coordinate, the curve's order of the centers, and the
// boxes over it.
#include "../common/closest.h"
#include "closest.h"
#include "neighbors_leaves.h"

namespace twodasl::cuda {

namespace {

// As for clouds: see neighbors_build.cu.
constexpr int kMeshBits = 48, kMeshAxisBits = 10;

template <class T>
struct Layout {
  size_t greatest, centers, order, curve, bytes;
  CurveBits bits;
  CurveScratch<T> curve_layout;

  Layout(int64_t batch, int64_t count)
      : bits(CurveBits::of(batch, kMeshBits, kMeshAxisBits)), curve_layout(batch, count, bits, true) {
    size_t end = 0;
    const auto take = [&end](size_t size) {
      const size_t begin = end;
      end += (size + 255) / 256 * 256;
      return begin;
    };
    greatest = take(static_cast<size_t>(batch) * sizeof(T));
    centers = take(static_cast<size_t>(3 * batch * count) * sizeof(T));
    curve = take(curve_layout.bytes);
    bytes = end;
  }
};

// A wrong triangle has the center NaN, which the curve's order finds.
template <class T>
__global__ void __launch_bounds__(kLeafThreads) center_kernel(MeshTreeParams<T> params, T* centers,
                                                              typename Ordered<T>::Bits* greatest, int64_t chunks) {
  const int64_t element = blockIdx.x / chunks, n = blockIdx.x % chunks * kLeafThreads + threadIdx.x;
  const bool real = n < params.triangles_count;
  const int64_t* const triangle = params.triangles + 3 * (real ? n : 0);
  bool valid = real;
#pragma unroll
  for (int i = 0; i < 3; ++i) valid = valid && triangle[i] >= 0 && triangle[i] < params.vertices_count;
  const T* const vertices = params.vertices + 3 * element * params.vertices_count;
  T most_of_all = T(0), center[3];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const T x = valid ? vertices[3 * triangle[0] + c] : T(0), y = valid ? vertices[3 * triangle[1] + c] : T(0);
    const T z = valid ? vertices[3 * triangle[2] + c] : T(0);
    valid = valid && is_finite(x) && is_finite(y) && is_finite(z);
    const T low = least(least(x, y), z), high = most(most(x, y), z);
    center[c] = add_rn(mul_rn(T(0.5), low), mul_rn(T(0.5), high));
    most_of_all = valid ? most(most_of_all, most(-low, high)) : T(0);
  }
  const T wrong = Ordered<T>::number(Ordered<T>::kInfinity | Ordered<T>::kInfinity >> 1);
  if (real) {
#pragma unroll
    for (int c = 0; c < 3; ++c) centers[3 * (element * params.triangles_count + n) + c] = valid ? center[c] : wrong;
  }
#pragma unroll
  for (int by = kWarp / 2; by > 0; by /= 2) most_of_all = most(most_of_all, __shfl_xor_sync(kFullMask, most_of_all, by));
  if (threadIdx.x % kWarp == 0) atomicMax(greatest + element, Ordered<T>::bits(most_of_all));
}

template <class T>
__global__ void scale_kernel(MeshTreeParams<T> params, const typename Ordered<T>::Bits* greatest) {
  const int64_t element = int64_t(blockIdx.x) * kLeafThreads + threadIdx.x;
  if (element >= params.batch) return;
  params.scale[element] = mesh_scale<T>(static_cast<double>(Ordered<T>::number(greatest[element])));
}

template <class T>
struct TriangleContent {
  const T* vertices;         // (B, N, 3)
  const int64_t* triangles;  // (F, 3)
  const double* scale;       // (B)
  int64_t count;             // N
  double corner[3][3];

  __device__ __forceinline__ void read(int64_t element, int32_t id) {
    double place[3];
#pragma unroll
    for (int i = 0; i < 3; ++i) {
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        corner[i][c] = static_cast<double>(infinity<T>());
        if (id == kNoPoint) continue;
        const T x = vertices[3 * (element * count + triangles[3 * int64_t(id) + i]) + c];
        corner[i][c] = static_cast<double>(scaled_vertex(x, scale[element]));
      }
    }
    sort_corners(corner, place);
  }
  __device__ __forceinline__ T low(int c) const {
    return static_cast<T>(least(least(corner[0][c], corner[1][c]), corner[2][c]));
  }
  __device__ __forceinline__ T high(int c) const {
    return static_cast<T>(most(most(corner[0][c], corner[1][c]), corner[2][c]));
  }
  __device__ __forceinline__ void write(T* leaves, int64_t leaf, int rank) const {
#pragma unroll
    for (int i = 0; i < 9; ++i) leaves[leaf * kTriangleRow + i * kRow + rank] = static_cast<T>(corner[i / 3][i % 3]);
  }
};

}  // namespace

template <class T>
size_t mesh_tree_scratch(int64_t batch, int64_t triangles_count) {
  return Layout<T>(batch, triangles_count).bytes;
}

template <class T>
Error launch_mesh_tree(const MeshTreeParams<T>& params, void* scratch, void* stream) {
  using Bits = typename Ordered<T>::Bits;
  const int64_t count = params.triangles_count;
  if (params.batch == 0 || count == 0) return nullptr;
  const Layout<T> layout(params.batch, count);
  unsigned char* const bytes = static_cast<unsigned char*>(scratch);
  Bits* const greatest = reinterpret_cast<Bits*>(bytes + layout.greatest);
  T* const centers = reinterpret_cast<T*>(bytes + layout.centers);
  void* const curve = bytes + layout.curve;
  Error error = clear(greatest, 0, static_cast<size_t>(params.batch) * sizeof(Bits), stream);
  if (error != nullptr) return error;
  const int64_t chunks = divide_up(count, kLeafThreads);
  error = launch(&center_kernel<T>, dim3(static_cast<unsigned>(params.batch * chunks)), kLeafThreads, 0, stream, params,
                 centers, greatest, chunks);
  if (error != nullptr) return error;
  error = launch(&scale_kernel<T>, dim3(static_cast<unsigned>(divide_up(params.batch, kLeafThreads))), kLeafThreads, 0,
                 stream, params, greatest);
  if (error != nullptr) return error;
  int32_t* const order = layout.curve_layout.template at<int32_t>(curve, layout.curve_layout.sorted_values);
  const CurveOrderParams<T> sorted{centers, nullptr, order, params.batch, count};
  error = launch_curve_order(sorted, layout.bits, layout.curve_layout, curve, stream);
  if (error != nullptr) return error;
  const NeighborTreeParams<T> tree{centers,      nullptr,       params.leaves, params.ids,
                                   params.boxes, params.lowest, params.batch,  count};
  const TriangleContent<T> content{params.vertices, params.triangles, params.scale, params.vertices_count, {}};
  return launch_tree(tree, content, layout.curve_layout.template at<Bits>(curve, layout.curve_layout.box), order, stream);
}

#define TWODASL_INSTANTIATE(T)                            \
  template size_t mesh_tree_scratch<T>(int64_t, int64_t); \
  template Error launch_mesh_tree(const MeshTreeParams<T>&, void*, void*);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)
#undef TWODASL_INSTANTIATE

}  // namespace twodasl::cuda
