// The walk down a tree: a warp holds eight neighboring queries, each in four lanes, and goes down with them, nearest
// child first. Lane 8 p + i holds query i and looks at children, or points of a leaf, 4 p to 4 p + 3, which are loads
// of four numbers. So a leaf is 128 distances, four a lane.
//
// Why eight: between two faces of 53,215 vertices that are not aligned, 19 mm apart on average, a single query visits
// 29 leaves, a group of eight neighbors 36, a group of thirty-two 48. Fewer queries share less; more make the longest
// warp longer than the rest of the device is busy. A warp's path is that of all its lanes, so nothing diverges, and its
// loads are 64 bytes that all of its queries share.
#pragma once

#include "neighbors.h"
#include "neighbors_box.h"

namespace twodasl::cuda {

constexpr int kRow = static_cast<int>(kBlock);
constexpr int kQueries = 8;               // of a warp
constexpr int kParts = kWarp / kQueries;  // lanes of a query
constexpr int kOwn = kRow / kParts;       // children or points of a lane
static_assert(kOwn == 4, "loads are of four numbers");

// See cpu/neighbors/neighbors.h.
template <class T>
struct Shrink;
template <>
struct Shrink<float> {
  static constexpr float kBy = 0x1p-66f;
};
template <>
struct Shrink<double> {
  static constexpr double kBy = 0x1p-514;
};

template <class T>
__device__ __forceinline__ T infinity() {
  return Ordered<T>::number(Ordered<T>::kInfinity);
}
template <class T>
__device__ __forceinline__ T not_a_number() {
  return Ordered<T>::number(Ordered<T>::kInfinity | Ordered<T>::kInfinity >> 1);
}

template <class T>
struct alignas(16) Four {
  T at[kOwn];
};
__device__ __forceinline__ Four<float> load(const float* p) {
  const float4 x = __ldg(reinterpret_cast<const float4*>(p));
  return {{x.x, x.y, x.z, x.w}};
}
__device__ __forceinline__ Four<double> load(const double* p) {
  const double2 x = __ldg(reinterpret_cast<const double2*>(p)), y = __ldg(reinterpret_cast<const double2*>(p) + 1);
  return {{x.x, x.y, y.x, y.y}};
}

__device__ __forceinline__ unsigned least_of_warp(unsigned x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  return __reduce_min_sync(kFullMask, x);
#else
#pragma unroll
  for (int by = kWarp / 2; by > 0; by /= 2) x = min(x, __shfl_xor_sync(kFullMask, x, by));
  return x;
#endif
}

// Where the levels of a tree begin, and how many children each has in all; level 1 has the leaves.
struct Levels {
  int32_t first[kTreeLevels + 1];
  int32_t children[kTreeLevels + 1];
  int top;  // the level of the root

  explicit Levels(int64_t points) : first{}, children{}, top(1) {
    int64_t nodes = tree_leaves(points);
    for (int level = 1; level <= kTreeLevels; ++level) {
      children[level] = static_cast<int32_t>(nodes);
      nodes = block_count(nodes);
      if (nodes > 1) top = level + 1;
      if (level < kTreeLevels) first[level + 1] = first[level] + static_cast<int32_t>(nodes);
    }
  }
};

// The upper bits of a number that is not negative, in its order: four bits at the end are free. Numbers with equal bits
// may still differ.
__device__ __forceinline__ unsigned upper_bits(float x) { return __float_as_uint(x) & ~15u; }
__device__ __forceinline__ unsigned upper_bits(double x) {
  return static_cast<unsigned>(static_cast<unsigned long long>(__double_as_longlong(x)) >> 32) & ~15u;
}

// How far each of a lane's four children is: the upper bits of its squared distance, and its number in the node. So the
// least of them is the nearest, whatever node it is compared in. All ones: already visited.
struct alignas(16) Reach {
  unsigned at[kOwn];
};
constexpr unsigned kDone = ~0u;

// kScaled: coordinates of the tree are multiplied by a power of two; the query's have been.
template <class T, bool kScaled>
struct Search {
  NeighborTree<T> tree;
  T q[3];
  T best;          // the least squared distance; below zero: the lane has no query
  int32_t id;      // and its point
  unsigned limit;  // the upper bits of `best`
  int part;

  static __device__ __forceinline__ T scaled(T x) { return kScaled ? mul_rn(x, Shrink<T>::kBy) : x; }
  static __device__ __forceinline__ T apart(T low, T high, T x) {
    return max(max(sub_rn(scaled(low), x), sub_rn(x, scaled(high))), T(0));
  }

  __device__ __forceinline__ void begin(T distance, int32_t point) {
    best = distance;
    id = point;
    limit = best < T(0) ? 0u : upper_bits(best);
  }
  __device__ __forceinline__ void offer(T distance, int32_t point) {
    if (distance < best || (distance == best && point < id)) {
      best = distance;
      id = point;
    }
  }

  // The squared distances to the boxes of a node's children.
  __device__ __forceinline__ Reach look(int64_t node) const {
    const T* box = tree.boxes + node * 6 * kRow + part * kOwn;
    T bound[kOwn];
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const Four<T> low = load(box + c * kRow), high = load(box + (3 + c) * kRow);
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        const T d = apart(low.at[j], high.at[j], q[c]);
        const T square = mul_rn(d, d);
        bound[j] = c == 0 ? square : add_rn(bound[j], square);
      }
    }
    Reach reach;
#pragma unroll
    for (int j = 0; j < kOwn; ++j) reach.at[j] = upper_bits(bound[j]) | unsigned(part * kOwn + j);
    return reach;
  }

  // Whether a child whose distance has the upper bits of `best` may hold a better point. An infinite distance is none.
  __device__ __forceinline__ bool is_better(int64_t node, int child) const {
    const T* box = tree.boxes + node * 6 * kRow + child;
    T bound = T(0);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const T d = apart(__ldg(box + c * kRow), __ldg(box + (3 + c) * kRow), q[c]);
      bound = add_rn(bound, mul_rn(d, d));
    }
    if (bound != best || !(best < infinity<T>())) return bound < best;
    return __ldg(tree.lowest + node * kRow + child) < id;
  }

  // Of the children as far as the best one, the one with the lowest index, which rules out the others.
  __device__ __forceinline__ unsigned lowest_of_equals(int64_t node, const Reach& reach) const {
    unsigned index[kOwn], least = kNoPoint, found = kDone;
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      index[j] = static_cast<unsigned>(__ldg(tree.lowest + node * kRow + part * kOwn + j));
      if (reach.at[j] - limit < 16u) least = min(least, index[j]);
    }
    least = least_of_warp(least);
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      if (reach.at[j] - limit < 16u && index[j] <= least) found = min(found, reach.at[j]);
    }
    return least_of_warp(found);
  }

  // The nearest child that may hold a better point for some query: its number in the lowest bits. kDone: there is none.
  __device__ __forceinline__ unsigned next(int64_t node, Reach& reach) const {
    const unsigned nearest = min(min(reach.at[0], reach.at[1]), min(reach.at[2], reach.at[3]));
    unsigned found = nearest < limit ? nearest : kDone;
    if (nearest - limit < 16u) {  // too close to call
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        if (reach.at[j] - limit >= 16u) continue;
        if (is_better(node, part * kOwn + j)) {
          found = min(found, reach.at[j]);
        } else {
          reach.at[j] = kDone;  // and will never be needed
        }
      }
    }
    const unsigned first = least_of_warp(found);
    if (first == kDone || __any_sync(kFullMask, nearest < limit)) return first;
    return lowest_of_equals(node, reach);
  }

  // The least of what a query's lanes have found.
  __device__ __forceinline__ void join() {
#pragma unroll
    for (int by = kQueries; by < kWarp; by *= 2) {
      const T other = __shfl_xor_sync(kFullMask, best, by);
      offer(other, __shfl_xor_sync(kFullMask, id, by));
    }
    begin(best, id);
  }

  __device__ __forceinline__ void visit(int64_t leaf) {
    const T* p = tree.leaves + leaf * kBlockRow + part * kOwn;
    T distance[kOwn];
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const Four<T> x = load(p + c * kRow);
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        const T d = sub_rn(q[c], scaled(x.at[j]));
        const T square = mul_rn(d, d);
        distance[j] = c == 0 ? square : add_rn(distance[j], square);
      }
    }
    const T least = min(min(distance[0], distance[1]), min(distance[2], distance[3]));
    const bool found = least <= best && least < infinity<T>();
    if (!__any_sync(kFullMask, found)) return;
    if (found) {
      int first = kOwn - 1;  // a leaf's points are in the order of their ids
#pragma unroll
      for (int j = kOwn - 2; j >= 0; --j) first = distance[j] == least ? j : first;
      offer(least, __ldg(tree.ids + leaf * kRow + part * kOwn + first));
    }
    join();
  }

  // `stack` holds the nodes on the way, a level after the other: only the lane itself reads its own. visit_leaf(leaf) is
  // called by all lanes of a warp.
  template <class Visit>
  __device__ __forceinline__ void run(const Levels& levels, Reach* stack, const Visit& visit_leaf) {
    int level = levels.top;
    int32_t node = 0;
    Reach reach = look(levels.first[level]);
    for (;;) {
      const unsigned found = next(levels.first[level] + node, reach);
      if (found == kDone) {
        if (level == levels.top) return;
        ++level;
        node /= kRow;
        reach = *(stack -= kWarp);
        continue;
      }
      const int child = static_cast<int>(found & 15u), own = child - part * kOwn;
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        if (own == j) reach.at[j] = kDone;
      }
      // A wrong tree may have boxes where there are no children.
      const int32_t below = min(node * kRow + child, levels.children[level] - 1);
      if (level == 1) {
        visit_leaf(below);
      } else {
        *stack = reach;
        stack += kWarp;
        --level;
        node = below;
        reach = look(levels.first[level] + node);
      }
    }
  }
  __device__ __forceinline__ void run(const Levels& levels, Reach* stack) {
    run(levels, stack, [this](int64_t leaf) { visit(leaf); });
  }
};

}  // namespace twodasl::cuda
