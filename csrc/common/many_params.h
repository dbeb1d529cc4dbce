// The parameters of k_nearest_neighbors; see params.h for the rules.
#pragma once

#include "params.h"

namespace twodasl {

inline constexpr int64_t kMostNeighbors = 64;

// distance[b, m], index[b, m] = the k least (squared distance, index) over the points of cloud b, ascending; infinity and
// -1 where there are fewer points
template <class T>
struct NearestManyParams {
  const T* query;          // (B, M, 3)
  const T* points;         // (B, P, 3)
  NeighborTree<T> tree;    // of element 0; the others follow
  const int64_t* lengths;  // (B) or null: all P are real
  const int32_t* order;    // (B, M): the order in which to process the queries, or null: as given
  T* distance;             // (B, M, k)
  int64_t* index;          // (B, M, k)
  int64_t batch;
  int64_t queries;       // M
  int64_t points_count;  // P
  int64_t k;
};

}  // namespace twodasl
