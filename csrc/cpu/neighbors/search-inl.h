// nearest_neighbors at one level: see neighbors.h and walk-inl.h. Compiled without contraction.
#pragma once

#include "walk-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

template <class T, bool kScaled>
struct Search : Walk<T, kScaled, Search<T, kScaled>> {
  using Base = Walk<T, kScaled, Search<T, kScaled>>;
  using V = Vec<T>;
  using Base::Base, Base::scaled, Base::tree;

  // All points of a leaf for the queries of `lanes`, and their neighbors in a vector. Its points are in the order of
  // their ids, so the first of equal ones wins.
  void visit(int64_t leaf, unsigned lanes, Group<T>& group) const {
    const T* p = tree.leaves + leaf * kBlockRow;
    bool better = false;
    for (int first = 0; first < kRow; first += V::lanes) {
      if ((lanes >> first & ((1u << V::lanes) - 1)) == 0) continue;
      const V x = load(group.at[0] + first), y = load(group.at[1] + first), z = load(group.at[2] + first);
      V least = broadcast(infinity<T>()), place = broadcast(T(0));
      for (int i = 0; i < kRow; ++i) {
        const V px = scaled(broadcast(p[i])), py = scaled(broadcast(p[kRow + i]));
        const V pz = scaled(broadcast(p[2 * kRow + i]));
        const V distance = squared(sub(x, px), sub(y, py), sub(z, pz));
        place = where_less(distance, least, broadcast(T(i)), place);
        least = smallest(distance, least);
      }
      unsigned found = bits_not_greater(least, load(group.distance + first));
      if (found == 0) continue;
      alignas(64) T distances[V::lanes], places[V::lanes];
      store(distances, least);
      store(places, place);
      for (; found != 0; found &= found - 1) {
        const int lane = __builtin_ctz(found);
        group.offer(first + lane, distances[lane], tree.ids[leaf * kRow + static_cast<int>(places[lane])]);
      }
      better = true;
    }
    if (better) group.find_limit();
  }
};

// For the queries all of whose distances overflow: see neighbors.h.
template <class T>
void search_scaled(const NeighborTree<T>& tree, int64_t points, Group<T>& group) {
  Group<T> small = group;
  for (int lane = 0; lane < kRow; ++lane) {
    for (int c = 0; c < 3; ++c) small.at[c][lane] *= kShrink<T>;
    if (small.distance[lane] < infinity<T>()) small.distance[lane] = T(-1);  // found: nothing is nearer
    small.id[lane] = kNoPoint;
  }
  Search<T, true>(tree, points).template run<true>(small);
  for (int lane = 0; lane < kRow; ++lane) {
    if (group.distance[lane] == infinity<T>()) group.id[lane] = small.id[lane];
  }
}

template <class T>
void nearest(const NearestParams<T>& params, int64_t element, int64_t begin, int64_t end) {
  const int64_t count = params.points_count, leaves = tree_leaves(count), nodes = tree_nodes(count);
  const NeighborTree<T> tree{params.tree.leaves + element * leaves * kBlockRow,
                             params.tree.ids + element * leaves * kRow, params.tree.boxes + element * nodes * 6 * kRow,
                             params.tree.lowest + element * nodes * kRow};
  const Search<T, false> search(tree, count);
  const T* points = params.points + 3 * element * count;
  const int64_t start = element * params.queries;
  const int64_t real = params.query_lengths != nullptr ? params.query_lengths[element] : params.queries;
  const int64_t last = end < real ? end : real;  // the order has the real queries first
  int64_t previous = -1;
  for (int64_t i = begin; i < last; i += kRow) {
    const int filled = static_cast<int>(last - i < kRow ? last - i : kRow);
    int64_t number[kRow];
    Group<T> group;
    for (int lane = 0; lane < kRow; ++lane) {
      const int64_t at = i + (lane < filled ? lane : filled - 1);
      const int64_t m = start + (params.order != nullptr ? params.order[start + at] : at);
      number[lane] = m;
      if (params.hint != nullptr && at + kRow < last) {  // the next group's
        const int64_t later = start + (params.order != nullptr ? params.order[start + at + kRow] : at + kRow);
        __builtin_prefetch(points + 3 * params.hint[later]);
      }
      for (int c = 0; c < 3; ++c) group.at[c][lane] = params.query[3 * m + c];
      group.distance[lane] = infinity<T>();
      group.id[lane] = kNoPoint;
      if (params.hint != nullptr) {
        group.offer_point(lane, points + 3 * params.hint[m], params.hint[m]);
      } else if (previous >= 0) {
        group.offer_point(lane, points + 3 * previous, previous);
      }
    }
    params.hint != nullptr ? search.template run<false>(group) : search.template run<true>(group);
    group.find_limit();
    if (group.limit == infinity<T>()) search_scaled(tree, count, group);
    for (int lane = 0; lane < filled; ++lane) {
      params.distance[number[lane]] = group.distance[lane];
      params.index[number[lane]] = group.id[lane];
    }
    previous = group.id[filled - 1] < count ? group.id[filled - 1] : -1;  // no id of a wrong tree is an address
  }
  for (int64_t m = start + (begin > real ? begin : real); m < start + end; ++m) {
    params.distance[m] = T(0);
    params.index[m] = -1;
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
