// The search, as brute force: a thread holds a query.
#include "neighbors.h"
#include "neighbors_box.h"

namespace twodasl::cuda {

namespace {

constexpr int kThreads = 128;

template <class T>
inline constexpr T kShrink = T(0);
template <>
inline constexpr float kShrink<float> = 0x1p-66f;
template <>
inline constexpr double kShrink<double> = 0x1p-514;

template <class T>
__global__ void __launch_bounds__(kThreads) nearest_kernel(NearestParams<T> params, int64_t leaves, int64_t nodes,
                                                           int64_t root) {
  const int64_t m = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (m >= params.batch * params.queries) return;
  const int64_t element = m / params.queries;
  const T infinity = Ordered<T>::number(Ordered<T>::kInfinity);
  if (is_length(params.query_lengths, element, params.queries) &&
      m % params.queries >= length_of(params.query_lengths, element, params.queries)) {
    params.distance[m] = T(0);
    params.index[m] = -1;
    return;
  }
  T q[3];
  for (int c = 0; c < 3; ++c) q[c] = params.query[3 * m + c];
  T best = infinity;
  int32_t found = kNoPoint;
  const bool tree = is_length(params.query_lengths, element, params.queries) && params.points_count > 0 &&
                    is_length(params.lengths, element, params.points_count) && is_finite(q[0]) && is_finite(q[1]) &&
                    is_finite(q[2]) && params.tree.lowest[(element * nodes + root) * kBlock] != kNoTree;
  for (int scaled = 0; tree && scaled < 2 && best == infinity; ++scaled) {
    const T by = scaled == 0 ? T(1) : kShrink<T>;
    for (int64_t i = 0; i < leaves * kBlock; ++i) {
      const int64_t leaf = element * leaves + i / kBlock, lane = i % kBlock;
      const int32_t id = params.tree.ids[leaf * kBlock + lane];
      const T* p = params.tree.leaves + leaf * kBlockRow + lane;
      T square[3];
      for (int c = 0; c < 3; ++c) {
        const T d = sub_rn(mul_rn(q[c], by), mul_rn(p[c * kBlock], by));
        square[c] = mul_rn(d, d);
      }
      const T distance = add_rn(add_rn(square[0], square[1]), square[2]);
      if (distance < best || (distance == best && id < found)) {
        best = distance;
        found = id;
      }
    }
    if (scaled == 1) best = infinity;
    if (scaled == 0 && best == infinity) found = kNoPoint;
  }
  const bool answered = found >= 0 && found < params.points_count;
  params.distance[m] = answered ? best : Ordered<T>::number(Ordered<T>::kInfinity | Ordered<T>::kInfinity >> 1);
  params.index[m] = answered ? found : -1;
}

}  // namespace

template <class T>
Error launch_nearest(const NearestParams<T>& params, void* stream) {
  const int64_t leaves = tree_leaves(params.points_count);
  int64_t root = 0;
  for (int64_t level = block_count(leaves); level > 1; level = block_count(level)) root += level;
  return launch(&nearest_kernel<T>, dim3(static_cast<unsigned>(divide_up(params.batch * params.queries, kThreads))),
                kThreads, 0, stream, params, leaves, tree_nodes(params.points_count), root);
}

template Error launch_nearest(const NearestParams<float>&, void*);
template Error launch_nearest(const NearestParams<double>&, void*);

}  // namespace twodasl::cuda
