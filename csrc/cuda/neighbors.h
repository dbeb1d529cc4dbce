// nearest_neighbors on a GPU: the tree of common/params.h, the nearest point of every query, and their gradients.
//
// The answer is the CPU's, bit for bit (see cpu/neighbors/neighbors.h): the least (distance, index), where the squared
// distance of q and p is ((dx dx + dy dy) + dz dz) of d = q - p with every operation rounded once. So it depends
// neither on the order of the points inside the tree, which is free, nor on hints, on the order of the queries, or on
// the rest of a batch. A tree built here is one that the CPU can search, and the reverse.
//
// Wrong values are not errors here, because checking them would make the host wait. A cloud with a coordinate that is
// not finite, or with a length outside of [0, P], gives a tree that says so (kNoTree as its root's first lowest index);
// every query of it, and every query of a cloud without points or of an element whose query length is outside of [0,
// M], gets the distance NaN and the index -1, as does a query that is not finite itself. Other elements and queries are
// not affected. A hint that is no index of a real point is ignored. Nothing that comes from a tensor is used as an
// address before it is checked.
//
// No function waits for the device or allocates: `scratch` has at least the bytes that the function before it asks for,
// aligned to 256. Everything can be captured in a CUDA graph.
#pragma once

#include <cstddef>

#include "../common/many_params.h"
#include "../common/params.h"

namespace twodasl::cuda {

// Marks a tree whose points cannot be searched.
inline constexpr int32_t kNoTree = -1;

template <class T>
size_t neighbor_tree_scratch(int64_t batch, int64_t points_count);
template <class T>
const char* launch_neighbor_tree(const NeighborTreeParams<T>& params, void* scratch, void* stream);

// The order (B, M) of the queries along a curve, in which they share their way through a tree; any other order, or
// none, changes only how long the search takes. One that was made for a cloud serves it after a rigid motion too.
template <class T>
struct QueryOrderParams {
  const T* query;                // (B, M, 3)
  const int64_t* query_lengths;  // (B) or null
  int32_t* order;                // (B, M)
  int64_t batch;
  int64_t queries;
};

template <class T>
size_t query_order_scratch(int64_t batch, int64_t queries);
template <class T>
const char* launch_query_order(const QueryOrderParams<T>& params, void* scratch, void* stream);

// The search: fills distance and index of all M queries, zero and -1 past an element's query length.
template <class T>
const char* launch_nearest(const NearestParams<T>& params, void* stream);
// The same of queries that `pose`, (B, 13) as in common/icp_params.h, moves first: in double precision, rounded once. A
// query that leaves its type's range is one that is not finite.
template <class T>
const char* launch_nearest_moved(const NearestParams<T>& params, const double* pose, void* stream);

// The k nearest: infinity and -1 where an element has fewer points.
template <class T>
const char* launch_nearest_many(const NearestManyParams<T>& params, void* stream);

// An index outside of [-1, P) gives its query a gradient of NaN and no point one; `sums` is not used.
template <class T>
size_t nearest_backward_scratch(int64_t batch, int64_t queries, int64_t points_count, bool need_points);
template <class T>
const char* launch_nearest_backward(const NearestBackwardParams<T>& params, void* scratch, void* stream);

}  // namespace twodasl::cuda
