// k_nearest_neighbors at one level: the walk of nearest_neighbors, in which a query has found enough where k points are
// nearer than a box. Compiled without contraction.
#pragma once

#include "search-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

template <class T>
constexpr T most_finite();
template <>
constexpr float most_finite<float>() {
  return __FLT_MAX__;
}
template <>
constexpr double most_finite<double>() {
  return __DBL_MAX__;
}

// The points that a query has seen within its limit, as they came. A leaf adds its own at once, without a branch for
// each; those that are too many are dropped now and then, and the rest is sorted at last.
template <class T>
struct Kept {
  // So many more than k before some are dropped; a leaf may add all that it has.
  static constexpr int spare(int k) { return 8 + k / 4; }
  static constexpr int kRoom = kMostNeighbors + spare(kMostNeighbors) + 3 * kRow;  // whole vectors are written
  int filled, most;
  alignas(64) T distances[kRoom];
  alignas(64) int32_t ids[kRoom];

  void clear(int k) {
    filled = 0;
    most = k;
  }
  // Keeps the k nearest, and what is as far as the last of them; returns how far that is.
  T drop(int k) {
    most = k + spare(k);
    V last = broadcast(T(0));
    const V wanted = broadcast(T(k));
    rank([&](int, V distance, V place) { last = largest(last, where_less(place, wanted, distance, broadcast(T(0)))); });
    const T limit = greatest(last);
    const int before = filled;
    filled = 0;
    for (int i = 0; i < before; i += V::lanes) {
      const V distance = load(distances + i);
      const unsigned near = bits_not_greater(distance, broadcast(limit));
      filled += append(distance, ids + i, near, distances + filled, ids + filled);
    }
    return limit;
  }
  // Puts the k least (distance, id) in order, and drops the others.
  void sort(int k) {
    alignas(64) T places[kRoom], distance[kRoom];
    alignas(64) int32_t id[kRoom];
    rank([&](int i, V, V place) { store(places + i, place); });
    int sum = 0;
    for (int i = 0; i < filled; ++i) {
      const int to = static_cast<int>(places[i]);
      sum += to;
      distance[to] = distances[i];
      id[to] = ids[i];
    }
    if (2 * sum != filled * (filled - 1)) {  // some are as far as others
      for (int i = 0; i < filled; ++i) {
        const int to = exact_place(i);
        distance[to] = distances[i];
        id[to] = ids[i];
      }
    }
    filled = filled < k ? filled : k;
    __builtin_memcpy(distances, distance, sizeof(T) * filled);
    __builtin_memcpy(ids, id, sizeof(int32_t) * filled);
  }

 private:
  using V = Vec<T>;

  // use(i, distances, places) for every two vectors: how many are nearer than each. What follows the last is no nearer.
  template <class Use>
  void rank(const Use& use) {
    for (int i = 0; i < 2 * V::lanes; i += V::lanes) store(distances + filled + i, broadcast(infinity<T>()));
    const V one = broadcast(T(1));
    for (int i = 0; i < filled; i += 2 * V::lanes) {
      const V d0 = load(distances + i), d1 = load(distances + i + V::lanes);
      V r0 = broadcast(T(0)), r1 = r0;
      for (int j = 0; j < filled; ++j) {
        const V other = broadcast(distances[j]);
        r0 = add_where_less(other, d0, one, r0);
        r1 = add_where_less(other, d1, one, r1);
      }
      use(i, d0, r0);
      use(i + V::lanes, d1, r1);
    }
  }
  int exact_place(int i) const {
    int before = 0;
    for (int j = 0; j < filled; ++j) {
      const bool first = (ids[j] < ids[i]) | ((ids[j] == ids[i]) & (j < i));  // an id comes twice in a wrong tree
      before += (distances[j] < distances[i]) | ((distances[j] == distances[i]) & first);
    }
    return before;
  }
};

// `distance` and `id` of the group are the last of the k, or what is known to be no less.
template <class T>
struct ManyGroup : Group<T> {
  int k;
  Kept<T> kept[kRow];

  // What overflows is left to the search of smaller numbers.
  void begin(int most) {
    k = most;
    for (int lane = 0; lane < kRow; ++lane) {
      kept[lane].clear(k);
      this->distance[lane] = most_finite<T>();
      this->id[lane] = kNoPoint;
    }
  }
  void drop(int lane) {
    Kept<T>& list = kept[lane];
    this->distance[lane] = list.drop(k);
    this->id[lane] = kNoPoint;  // which of the k is the last is not known
    if (list.filled == k) return;
    list.sort(k);
    this->id[lane] = list.ids[k - 1];
  }
  void sort() {
    for (int lane = 0; lane < kRow; ++lane) kept[lane].sort(k);
  }
};

template <class T, bool kScaled>
struct ManySearch : Walk<T, kScaled, ManySearch<T, kScaled>> {
  using Base = Walk<T, kScaled, ManySearch<T, kScaled>>;
  using V = Vec<T>;
  using Base::Base, Base::scaled, Base::tree;

  // Of every query the points of a vector together. Padding is infinitely far.
  void visit(int64_t leaf, unsigned lanes, ManyGroup<T>& group) const {
    constexpr int kVectors = kRow / V::lanes;
    const T* p = tree.leaves + leaf * kBlockRow;
    const int32_t* ids = tree.ids + leaf * kRow;
    V at[3][kVectors];
    for (int c = 0; c < 3; ++c) {
      for (int i = 0; i < kVectors; ++i) at[c][i] = scaled(load(p + c * kRow + i * V::lanes));
    }
    unsigned full = 0;
    for (; lanes != 0; lanes &= lanes - 1) {
      const int lane = __builtin_ctz(lanes);
      const V x = broadcast(group.at[0][lane]), y = broadcast(group.at[1][lane]), z = broadcast(group.at[2][lane]);
      const V limit = broadcast(group.distance[lane]);
      Kept<T>& list = group.kept[lane];
      int filled = list.filled;
      for (int i = 0; i < kVectors; ++i) {
        const V distance = squared(sub(x, at[0][i]), sub(y, at[1][i]), sub(z, at[2][i]));
        filled += append(distance, ids + i * V::lanes, bits_not_greater(distance, limit), list.distances + filled,
                         list.ids + filled);
      }
      list.filled = filled;
      full |= (filled >= list.most ? 1u : 0u) << lane;
    }
    if (full == 0) return;
    for (; full != 0; full &= full - 1) group.drop(__builtin_ctz(full));
    group.find_limit();
  }
};

// Queries some of whose `wanted` neighbors are infinitely far: those follow the others in the order of smaller numbers,
// which has the others first.
template <class T>
void search_many_scaled(const NeighborTree<T>& tree, int64_t points, int wanted, ManyGroup<T>& group) {
  ManyGroup<T> small = group;
  small.begin(wanted);
  for (int lane = 0; lane < kRow; ++lane) {
    for (int c = 0; c < 3; ++c) small.at[c][lane] *= kShrink<T>;
    if (group.kept[lane].filled >= wanted) small.distance[lane] = T(-1);  // nothing is nearer
  }
  ManySearch<T, true>(tree, points).template run<true>(small);
  small.sort();
  for (int lane = 0; lane < kRow; ++lane) {
    for (int& n = group.kept[lane].filled; n < wanted && n < small.kept[lane].filled; ++n) {
      group.kept[lane].distances[n] = infinity<T>();
      group.kept[lane].ids[n] = small.kept[lane].ids[n];
    }
  }
}

// How far the k points are that a neighboring query has found.
template <class T>
void expect_many(const T* points, const ManyGroup<T>& before, int from, ManyGroup<T>& group) {
  using V = Vec<T>;
  for (int first = 0; first < kRow; first += V::lanes) {
    const V x = load(group.at[0] + first), y = load(group.at[1] + first), z = load(group.at[2] + first);
    V most = broadcast(T(0));
    for (int i = 0; i < before.k; ++i) {
      const T* const p = points + 3 * int64_t(before.kept[from].ids[i]);
      most = largest(most, squared(sub(x, broadcast(p[0])), sub(y, broadcast(p[1])), sub(z, broadcast(p[2]))));
    }
    store(group.distance + first, smallest(most, broadcast(most_finite<T>())));
  }
}

// The k nearest points of queries [begin, end) of an element.
template <class T>
void nearest_many(const NearestManyParams<T>& params, int64_t element, int64_t begin, int64_t end) {
  const int64_t count = params.points_count, leaves = tree_leaves(count), nodes = tree_nodes(count);
  const NeighborTree<T> tree{params.tree.leaves + element * leaves * kBlockRow,
                             params.tree.ids + element * leaves * kRow, params.tree.boxes + element * nodes * 6 * kRow,
                             params.tree.lowest + element * nodes * kRow};
  const ManySearch<T, false> search(tree, count);
  const T* points = params.points + 3 * element * count;
  const int64_t start = element * params.queries;
  const int64_t known = params.lengths != nullptr ? params.lengths[element] : count;
  const int k = static_cast<int>(params.k), wanted = static_cast<int>(known < params.k ? known : params.k);
  if (k == 1 && known > 0) {  // the same, without a list
    NearestParams<T> one{};
    one.query = params.query;
    one.points = params.points;
    one.tree = params.tree;
    one.order = params.order;
    one.distance = params.distance;
    one.index = params.index;
    one.queries = params.queries;
    one.points_count = count;
    return nearest(one, element, begin, end);
  }
  ManyGroup<T> groups[2];
  int64_t previous = -1;
  for (int64_t i = begin, turn = 0; i < end; i += kRow, turn = 1 - turn) {
    const int filled = static_cast<int>(end - i < kRow ? end - i : kRow);
    int64_t number[kRow];
    ManyGroup<T>& group = groups[turn];
    group.begin(k);
    for (int lane = 0; lane < kRow; ++lane) {
      const int64_t at = i + (lane < filled ? lane : filled - 1);
      number[lane] = start + (params.order != nullptr ? params.order[start + at] : at);
      for (int c = 0; c < 3; ++c) group.at[c][lane] = params.query[3 * number[lane] + c];
    }
    if (previous >= 0) expect_many(points, groups[1 - turn], static_cast<int>(previous), group);
    search.template run<true>(group);
    group.sort();
    bool all = true;
    for (int lane = 0; lane < kRow; ++lane) all = all && group.kept[lane].filled >= wanted;
    if (!all) search_many_scaled(tree, count, wanted, group);
    for (int lane = 0; lane < filled; ++lane) {
      T* const distance = params.distance + number[lane] * params.k;
      int64_t* const index = params.index + number[lane] * params.k;
      const Kept<T>& list = group.kept[lane];
      for (int n = 0; n < list.filled; ++n) {
        distance[n] = list.distances[n];
        index[n] = list.ids[n];
      }
      for (int n = list.filled; n < k; ++n) {
        distance[n] = infinity<T>();
        index[n] = -1;
      }
    }
    // Neither fewer than k nor an id of a wrong tree is an address.
    previous = group.kept[filled - 1].filled == k ? filled - 1 : -1;
    for (int n = 0; previous >= 0 && n < k; ++n) {
      const int32_t id = group.kept[previous].ids[n];
      if (id < 0 || id >= count) previous = -1;
    }
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
