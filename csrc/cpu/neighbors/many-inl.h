// k_nearest_neighbors at one level: the walk of nearest_neighbors, in which a query has found enough where k points are
// nearer than a box. Compiled without contraction.
#pragma once

#include "walk-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

// The k least (distance, id) that a query has seen, in order.
template <class T>
struct Kept {
  int filled;
  T distances[kMostNeighbors];
  int32_t ids[kMostNeighbors];

  void clear(int) { filled = 0; }
  T distance(int n) const { return distances[n]; }
  int32_t id(int n) const { return ids[n]; }
  void set(int n, T distance, int32_t id) {
    distances[n] = distance;
    ids[n] = id;
  }
  void insert(int k, T distance, int32_t id) {
    int at = filled < k ? filled++ : k - 1;
    for (; at > 0 && (distance < distances[at - 1] || (distance == distances[at - 1] && id < ids[at - 1])); --at) {
      set(at, distances[at - 1], ids[at - 1]);
    }
    set(at, distance, id);
  }
};

// A distance's bits above those of an id are one number in the same order. Every place then takes the middle one of what
// it holds, what the place before it holds, and what is new: no branch to mispredict, several places at a time.
template <>
struct Kept<float> {
  static constexpr int kPad = 8;
  int filled, turn;
  alignas(64) int64_t keys[2][kMostNeighbors + kPad];  // from the place kPad on; what is before it is less than all

  static int64_t key_of(float distance, int32_t id) {
    int32_t bits;
    __builtin_memcpy(&bits, &distance, sizeof(bits));
    return static_cast<int64_t>(bits) << 32 | id;
  }
  void clear(int k) {
    filled = turn = 0;
    for (int i = 0; i < kPad; ++i) keys[0][i] = keys[1][i] = -1;
    for (int i = 0; i < (k + kPad - 1) / kPad * kPad; ++i) keys[0][kPad + i] = INT64_MAX;
  }
  float distance(int n) const {
    const int32_t bits = static_cast<int32_t>(keys[turn][kPad + n] >> 32);
    float distance;
    __builtin_memcpy(&distance, &bits, sizeof(distance));
    return distance;
  }
  int32_t id(int n) const { return static_cast<int32_t>(keys[turn][kPad + n]); }
  void set(int n, float distance, int32_t id) { keys[turn][kPad + n] = key_of(distance, id); }
  void insert(int k, float distance, int32_t id) {
    filled += filled < k ? 1 : 0;
    const int64_t key = key_of(distance, id);
    const int64_t* __restrict from = keys[turn] + kPad;
    int64_t* __restrict to = keys[1 - turn] + kPad;
    for (int begin = 0; begin < k; begin += kPad) {
      for (int i = begin; i < begin + kPad; ++i) {
        const int64_t before = from[i - 1] > key ? from[i - 1] : key;
        to[i] = from[i] < before ? from[i] : before;
      }
    }
    turn = 1 - turn;
  }
};

// `distance` and `id` of the group are the last of the k, or what is known to be no less.
template <class T>
struct ManyGroup : Group<T> {
  int k;
  Kept<T> kept[kRow];

  void begin(int most, T limit) {
    k = most;
    for (int lane = 0; lane < kRow; ++lane) {
      kept[lane].clear(most);
      this->distance[lane] = limit;
      this->id[lane] = kNoPoint;
    }
  }
  void insert(int lane, T distance, int32_t id) {
    if (distance > this->distance[lane] || (distance == this->distance[lane] && id >= this->id[lane])) return;
    Kept<T>& list = kept[lane];
    list.insert(k, distance, id);
    if (list.filled == k) {
      this->distance[lane] = list.distance(k - 1);
      this->id[lane] = list.id(k - 1);
    }
  }
};

template <class T, bool kScaled>
struct ManySearch : Walk<T, kScaled, ManySearch<T, kScaled>> {
  using Base = Walk<T, kScaled, ManySearch<T, kScaled>>;
  using V = Vec<T>;
  using Base::Base, Base::scaled, Base::tree;

  void visit(int64_t leaf, unsigned lanes, ManyGroup<T>& group) const {
    const T* p = tree.leaves + leaf * kBlockRow;
    const int32_t* ids = tree.ids + leaf * kRow;
    bool better = false;
    for (int first = 0; first < kRow; first += V::lanes) {
      const unsigned ours = lanes >> first & ((1u << V::lanes) - 1);
      if (ours == 0) continue;
      const V x = load(group.at[0] + first), y = load(group.at[1] + first), z = load(group.at[2] + first);
      for (int i = 0; i < kRow; ++i) {
        if (ids[i] == kNoPoint) break;  // padding comes last, infinitely far
        const V px = scaled(broadcast(p[i])), py = scaled(broadcast(p[kRow + i]));
        const V pz = scaled(broadcast(p[2 * kRow + i]));
        const V distance = squared(sub(x, px), sub(y, py), sub(z, pz));
        unsigned found = bits_not_greater(distance, load(group.distance + first)) & ours;
        if (found == 0) continue;
        alignas(64) T distances[V::lanes];
        store(distances, distance);
        for (; found != 0; found &= found - 1) {
          const int lane = __builtin_ctz(found);
          // What overflows is left to the search of smaller numbers.
          if (distances[lane] < infinity<T>()) group.insert(first + lane, distances[lane], ids[i]);
        }
        better = true;
      }
    }
    if (better) group.find_limit();
  }
};

// Queries some of whose `wanted` neighbors are infinitely far: those follow the others in the order of smaller numbers,
// which has the others first.
template <class T>
void search_many_scaled(const NeighborTree<T>& tree, int64_t points, int wanted, ManyGroup<T>& group) {
  ManyGroup<T> small = group;
  small.begin(wanted, infinity<T>());
  for (int lane = 0; lane < kRow; ++lane) {
    for (int c = 0; c < 3; ++c) small.at[c][lane] *= kShrink<T>;
    if (group.kept[lane].filled >= wanted) small.distance[lane] = T(-1);  // nothing is nearer
  }
  ManySearch<T, true>(tree, points).template run<true>(small);
  for (int lane = 0; lane < kRow; ++lane) {
    for (int& n = group.kept[lane].filled; n < wanted && n < small.kept[lane].filled; ++n) {
      group.kept[lane].set(n, infinity<T>(), small.kept[lane].id(n));
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
      const T* const p = points + 3 * int64_t(before.kept[from].id(i));
      most = largest(most, squared(sub(x, broadcast(p[0])), sub(y, broadcast(p[1])), sub(z, broadcast(p[2]))));
    }
    store(group.distance + first, most);
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
  ManyGroup<T> groups[2];
  int64_t previous = -1;
  for (int64_t i = begin, turn = 0; i < end; i += kRow, turn = 1 - turn) {
    const int filled = static_cast<int>(end - i < kRow ? end - i : kRow);
    int64_t number[kRow];
    ManyGroup<T>& group = groups[turn];
    group.begin(k, infinity<T>());
    for (int lane = 0; lane < kRow; ++lane) {
      const int64_t at = i + (lane < filled ? lane : filled - 1);
      number[lane] = start + (params.order != nullptr ? params.order[start + at] : at);
      for (int c = 0; c < 3; ++c) group.at[c][lane] = params.query[3 * number[lane] + c];
    }
    if (previous >= 0) expect_many(points, groups[1 - turn], static_cast<int>(previous), group);
    search.template run<true>(group);
    bool all = true;
    for (int lane = 0; lane < kRow; ++lane) all = all && group.kept[lane].filled >= wanted;
    if (!all) search_many_scaled(tree, count, wanted, group);
    for (int lane = 0; lane < filled; ++lane) {
      T* const distance = params.distance + number[lane] * params.k;
      int64_t* const index = params.index + number[lane] * params.k;
      for (int n = 0; n < k; ++n) {
        const bool real = n < group.kept[lane].filled;
        distance[n] = real ? group.kept[lane].distance(n) : infinity<T>();
        index[n] = real ? group.kept[lane].id(n) : -1;
      }
    }
    // Neither fewer than k nor an id of a wrong tree is an address.
    previous = group.kept[filled - 1].filled == k ? filled - 1 : -1;
    for (int n = 0; previous >= 0 && n < k; ++n) {
      if (group.kept[previous].id(n) >= count) previous = -1;
    }
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
