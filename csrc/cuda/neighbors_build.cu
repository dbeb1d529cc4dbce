// The tree of a batch of clouds: the curve's order, then the boxes over it.
#include <algorithm>

#include "neighbors_leaves.h"

namespace twodasl::cuda {

namespace {

// 48 bits are six passes of the sort: 16 of a coordinate for one cloud, so that a stray point a hundred times further
// out than the rest still leaves a face in cells of its points' spacing.
constexpr int kTreeBits = 48, kTreeAxisBits = 10;

template <class T>
struct PointContent {
  const T* points;  // (B, P, 3)
  int64_t count;
  T p[3];

  __device__ __forceinline__ void read(int64_t element, int32_t id) {
#pragma unroll
    for (int c = 0; c < 3; ++c) p[c] = id != kNoPoint ? points[3 * (element * count + id) + c] : infinity<T>();
  }
  __device__ __forceinline__ T low(int c) const { return p[c]; }
  __device__ __forceinline__ T high(int c) const { return p[c]; }
  __device__ __forceinline__ void write(T* leaves, int64_t leaf, int rank) const {
#pragma unroll
    for (int c = 0; c < 3; ++c) leaves[leaf * kBlockRow + c * kRow + rank] = p[c];
  }
};

}  // namespace

template <class T>
size_t neighbor_tree_scratch(int64_t batch, int64_t points_count) {
  return CurveScratch<T>(batch, points_count, CurveBits::of(batch, kTreeBits, kTreeAxisBits), true).bytes;
}

template <class T>
Error launch_neighbor_tree(const NeighborTreeParams<T>& params, void* scratch, void* stream) {
  using Bits = typename Ordered<T>::Bits;
  if (params.batch == 0 || params.points_count == 0) return nullptr;
  const CurveBits bits = CurveBits::of(params.batch, kTreeBits, kTreeAxisBits);
  const CurveScratch<T> layout(params.batch, params.points_count, bits, true);
  int32_t* const order = layout.template at<int32_t>(scratch, layout.sorted_values);
  const CurveOrderParams<T> sorted{params.points, params.lengths, order, params.batch, params.points_count};
  Error error = launch_curve_order(sorted, bits, layout, scratch, stream);
  if (error != nullptr) return error;
  const Bits* const bounds = layout.template at<Bits>(scratch, layout.box);
  return launch_tree(params, PointContent<T>{params.points, params.points_count, {}}, bounds, order, stream);
}

#define TWODASL_INSTANTIATE(T)                                    \
  template size_t neighbor_tree_scratch<T>(int64_t, int64_t); \
  template Error launch_neighbor_tree(const NeighborTreeParams<T>&, void*, void*);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)
#undef TWODASL_INSTANTIATE

}  // namespace twodasl::cuda
