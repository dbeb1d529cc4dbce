// nearest_neighbors: the nearest point of a cloud, exactly.
//
// The squared distance of q and p is ((dx dx + dy dy) + dz dz) of d = q - p, every operation rounded once to the
// inputs' type and none fused with another, on every instruction-set level: the sources that compute it are compiled
// without contraction. The answer is the least (distance, index). Rounding is monotonic, so the same expression of
// the distances to a box's faces is never greater than that of any point inside the box: pruning loses no winner, and
// needs no margin. Where all distances of a query overflow, the answer is that of coordinates multiplied by kShrink,
// a power of two; the distance then is infinite.
#pragma once

#include "../../common/many_params.h"
#include "../../common/mesh_params.h"

namespace twodasl::cpu {

// 128 - 66 = 62 bits: the square of a difference, three times, stays below 2^128; and 1024 - 514 in double precision.
template <class T>
inline constexpr T kShrink = T(0);
template <>
inline constexpr float kShrink<float> = 0x1p-66f;
template <>
inline constexpr double kShrink<double> = 0x1p-514;

// ---- the tree: the same for all levels ------------------------------------------------------------------------

// The box of points [begin, end) in `box`: least x, y, z, greatest x, y, z. False when a coordinate is not finite.
template <class T>
bool bounding_box(const T* points, int64_t begin, int64_t end, T* box);

// A key for each of the points [begin, end): the place of its cell on the curve, then its index.
template <class T>
void curve_keys(const T* points, const T* box, uint64_t* keys, int64_t begin, int64_t end);

// Sorts stably by the cells' positions. `other` has room for `count` keys; returns the one of the two that holds the
// result.
uint64_t* sort_keys(uint64_t* keys, uint64_t* other, int64_t count);

// Sorts runs of more than a leaf's points in one cell again, by the cells of a box of their own.
template <class T>
void refine_keys(const T* points, uint64_t* keys, uint64_t* other, int64_t count);

// The curve's runs of sixteen are longer and more ragged than they need be. For a tree that is searched often: cuts
// every kTightRun of the sorted points [begin, end) in halves across its longest side, down to leaves, which cuts a
// search by a quarter. `begin` is a multiple of kTightRun, and `end` too unless it is the last. The keys are indices
// thereafter.
inline constexpr int64_t kTightRun = 64 * kBlock;
template <class T>
void tighten_keys(const T* points, uint64_t* keys, int64_t begin, int64_t end);

// Leaves [begin, end) of a tree for `capacity` points, of which `count` sorted ones are real; and their nodes on level
// 1, so `begin` is a multiple of 16 and `end` too unless it is the last.
template <class T>
void fill_leaves(const T* points, const uint64_t* keys, int64_t count, T* leaves, int32_t* ids, T* boxes,
                 int32_t* lowest, int64_t begin, int64_t end);

// All levels above the first.
template <class T>
void fill_levels(T* boxes, int32_t* lowest, int64_t capacity);

// ---- queries --------------------------------------------------------------------------------------------------

inline constexpr int64_t kQueryTask = 512;  // queries in one task

template <class T>
struct NeighborKernels {
  // Queries [begin, end), in the order of `order`, of element `element`.
  void (*nearest)(const NearestParams<T>&, int64_t element, int64_t begin, int64_t end);
  // The k nearest points of each.
  void (*nearest_many)(const NearestManyParams<T>&, int64_t element, int64_t begin, int64_t end);
  // The closest points of points [begin, end), likewise: see closest.h.
  void (*closest)(const ClosestPointParams<T>&, int64_t element, int64_t begin, int64_t end);
};

struct NeighborLevel {
  NeighborKernels<float> f32;
  NeighborKernels<double> f64;
};

const NeighborLevel& neighbors_baseline();
#if defined(TWODASL_WITH_AVX2)
const NeighborLevel& neighbors_avx2();
#endif
#if defined(TWODASL_WITH_AVX512)
const NeighborLevel& neighbors_avx512();
#endif

// That of active_level().
const NeighborLevel& active_neighbors();

// ---- gradients ------------------------------------------------------------------------------------------------

// Queries [begin, end) of an element.
template <class T>
void nearest_backward_query(const NearestBackwardParams<T>& params, int64_t element, int64_t begin, int64_t end);

// Points [begin, end) of an element: every point adds its queries in their order, so the split changes no bit.
template <class T>
void nearest_backward_points(const NearestBackwardParams<T>& params, int64_t element, int64_t begin, int64_t end);

}  // namespace twodasl::cpu
