// The tree of sixteen-wide boxes over what has been sorted along a curve, points or triangles: the leaves with the two
// levels above them, then the rest.
#pragma once

#include "neighbors.h"
#include "neighbors_box.h"
#include "neighbors_order.h"

namespace twodasl::cuda {

namespace {

constexpr int kRow = static_cast<int>(kBlock);
constexpr int kBoxRow = 6 * kRow;
constexpr int kLeafThreads = kRow * kRow;  // sixteen threads a leaf, sixteen leaves a node

template <class T>
__device__ __forceinline__ T infinity() {
  return Ordered<T>::number(Ordered<T>::kInfinity);
}

// Least (rows 0 to 2) or greatest (3 to 5) of sixteen neighboring lanes.
template <class T>
__device__ __forceinline__ T least_of_row(T x) {
#pragma unroll
  for (int by = kRow / 2; by > 0; by /= 2) {
    const T other = __shfl_xor_sync(kFullMask, x, by, kRow);
    x = other < x ? other : x;
  }
  return x;
}
template <class T>
__device__ __forceinline__ T extreme_of_row(T x, bool least) {
  const T found = least_of_row(least ? x : -x);
  return least ? found : -found;
}

// A block fills the leaves of one node of level 1, the node, and its box on level 2. `Content` is what a leaf holds of an
// id, kNoPoint included: read(element, id), low(c) and high(c) of its box, write(leaves, leaf, rank).
template <class T, class Content>
__global__ void __launch_bounds__(kLeafThreads) leaf_kernel(NeighborTreeParams<T> params, Content content,
                                                            const typename Ordered<T>::Bits* bounds,
                                                            const int32_t* order, int64_t leaves, int64_t first_nodes,
                                                            int64_t nodes) {
  TWODASL_SHARED(T, box, kBoxRow);
  TWODASL_SHARED(int32_t, low, kRow);
  const int64_t element = blockIdx.x / first_nodes, node = blockIdx.x % first_nodes;
  const int thread = static_cast<int>(threadIdx.x), child = thread / kRow, lane = thread % kRow;
  const int64_t leaf = node * kRow + child, slot = leaf * kRow + lane;
  const bool finite = box_is_finite<T>(bounds + 6 * element);
  const int64_t count = finite ? length_of(params.lengths, element, params.points_count) : 0;
  const int32_t id = slot < count ? order[element * params.points_count + slot] : kNoPoint;
  content.read(element, id);
  // In the order of their ids; the search relies on it where distances are equal.
  int rank = 0;
#pragma unroll
  for (int i = 0; i < kRow; ++i) {
    const int32_t other = __shfl_sync(kFullMask, id, i, kRow);
    rank += other < id || (other == id && i < lane) ? 1 : 0;
  }
  if (leaf < leaves) {
    const int64_t at = element * leaves + leaf;
    content.write(params.leaves, at, rank);
    params.ids[at * kRow + rank] = id;
  }
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const T least = extreme_of_row(content.low(c), true);
    const T most = extreme_of_row(id != kNoPoint ? content.high(c) : -infinity<T>(), false);
    if (lane == 0) {
      box[c * kRow + child] = least;
      box[(3 + c) * kRow + child] = most;
    }
  }
  const int32_t lowest = least_of_row(id);
  if (lane == 0) low[child] = lowest;
  __syncthreads();
  const int64_t first = element * nodes, above = first + first_nodes + node / kRow, place = node % kRow;
  // Whole warps: ninety-six threads the box, the next thirty-two the lowest ids, in both of their rows.
  if (thread < kBoxRow) {
    const int row = thread / kRow;
    const T x = box[thread];
    params.boxes[(first + node) * kBoxRow + thread] = x;
    const T extreme = extreme_of_row(x, row < 3);
    if (lane == 0) params.boxes[above * kBoxRow + row * kRow + place] = extreme;
  } else if (thread < kBoxRow + kWarp) {
    const int32_t x = low[lane], least = least_of_row(x);
    if (thread < kBoxRow + kRow) {
      params.lowest[(first + node) * kRow + lane] = x;
      if (lane == 0) params.lowest[above * kRow + place] = least;
    }
  }
}

// A block fills an element's levels from the second on, which has its children already.
template <class T>
__global__ void __launch_bounds__(kLeafThreads) level_kernel(NeighborTreeParams<T> params,
                                                             const typename Ordered<T>::Bits* bounds,
                                                             int64_t first_nodes, int64_t nodes) {
  const int64_t element = blockIdx.x;
  T* const boxes = params.boxes + element * nodes * kBoxRow;
  int32_t* const lowest = params.lowest + element * nodes * kRow;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  constexpr int kWarps = kLeafThreads / kWarp;
  int begin = static_cast<int>(first_nodes), children = begin, root = first_nodes > 1 ? -1 : 0;
  for (int level = 2; level <= kTreeLevels; ++level) {
    const int count = (children + kRow - 1) / kRow, last = begin + count - 1, filled = children - (count - 1) * kRow;
    if (root < 0 && count == 1) root = begin;
    if (thread < kBoxRow && thread % kRow >= filled) {
      boxes[int64_t(last) * kBoxRow + thread] = thread / kRow < 3 ? infinity<T>() : -infinity<T>();
    }
    if (thread < kRow && thread >= filled) lowest[int64_t(last) * kRow + thread] = kNoPoint;
    __syncthreads();  // the children, and what fills them up, before they are read
    if (level < kTreeLevels) {
      for (int node = warp; node < count; node += kWarps) {
        const int64_t from = begin + node, to = begin + count + node / kRow;
        const T* box = boxes + from * kBoxRow;
        T* above = boxes + to * kBoxRow + node % kRow;
#pragma unroll
        for (int pair = 0; pair < 3; ++pair) {
          const int row = 2 * pair + lane / kRow;
          const T x = extreme_of_row(box[row * kRow + lane % kRow], row < 3);
          if (lane % kRow == 0) above[row * kRow] = x;
        }
        const int32_t low = least_of_row(lowest[from * kRow + lane % kRow]);
        if (lane == 0) lowest[to * kRow + node % kRow] = low;
      }
    }
    __syncthreads();
    begin += count;
    children = count;
  }
  if (thread != 0) return;
  const bool finite = box_is_finite<T>(bounds + 6 * element);
  if (!finite || !is_length(params.lengths, element, params.points_count)) lowest[int64_t(root) * kRow] = kNoTree;
}

// Of params.points_count sorted things an element. `bounds` are the elements' boxes that launch_curve_order() left.
template <class T, class Content>
Error launch_tree(const NeighborTreeParams<T>& params, const Content& content, const typename Ordered<T>::Bits* bounds,
                  const int32_t* order, void* stream) {
  const int64_t leaves = tree_leaves(params.points_count), nodes = tree_nodes(params.points_count);
  const int64_t first_nodes = block_count(leaves);
  const Error error = launch(&leaf_kernel<T, Content>, dim3(static_cast<unsigned>(params.batch * first_nodes)),
                             kLeafThreads, 0, stream, params, content, bounds, order, leaves, first_nodes, nodes);
  if (error != nullptr) return error;
  return launch(&level_kernel<T>, dim3(static_cast<unsigned>(params.batch)), kLeafThreads, 0, stream, params, bounds,
                first_nodes, nodes);
}

}  // namespace

}  // namespace twodasl::cuda
