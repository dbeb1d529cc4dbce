// The search of one level: sixteen neighboring queries walk down the tree together, each with a neighbor known from the
// start. Compiled without contraction: see neighbors.h.
#pragma once

#include "neighbors.h"

namespace twodasl::cpu::TWODASL_LEVEL {

constexpr int kRow = static_cast<int>(kBlock);

template <class T>
constexpr T infinity() {
  return static_cast<T>(__builtin_huge_val());
}

// Sixteen queries and the best that each has seen. Where there are fewer, the last one fills up.
template <class T>
struct Group {
  alignas(64) T at[3][kRow];
  alignas(64) T distance[kRow];
  int64_t id[kRow];
  T low[3], high[3];  // the box around the queries
  T limit;            // the greatest of the distances

  void offer(int lane, T other, int64_t other_id) {
    if (other < distance[lane] || (other == distance[lane] && other_id < id[lane])) {
      distance[lane] = other;
      id[lane] = other_id;
    }
  }
  void offer_point(int lane, const T* p, int64_t other_id) {
    const T dx = at[0][lane] - p[0], dy = at[1][lane] - p[1], dz = at[2][lane] - p[2];
    offer(lane, (dx * dx + dy * dy) + dz * dz, other_id);
  }
  void find_box() {
    for (int c = 0; c < 3; ++c) {
      low[c] = high[c] = at[c][0];
      for (int lane = 1; lane < kRow; ++lane) {
        low[c] = at[c][lane] < low[c] ? at[c][lane] : low[c];
        high[c] = at[c][lane] > high[c] ? at[c][lane] : high[c];
      }
    }
  }
  void find_limit() {
    using V = Vec<T>;
    V most = load(distance);
    for (int lane = V::lanes; lane < kRow; lane += V::lanes) most = largest(most, load(distance + lane));
    limit = greatest(most);
  }
};

template <class T>
inline Vec<T> squared(Vec<T> dx, Vec<T> dy, Vec<T> dz) {
  return add(add(mul(dx, dx), mul(dy, dy)), mul(dz, dz));
}
// How far [low, high] and [first, last] are apart.
template <class T>
inline Vec<T> apart(Vec<T> low, Vec<T> high, Vec<T> first, Vec<T> last) {
  return largest(largest(sub(low, last), sub(first, high)), broadcast(T(0)));
}

// kScaled: coordinates of the tree are multiplied by kShrink; those of the queries have been.
template <class T, bool kScaled>
struct Search {
  using V = Vec<T>;
  NeighborTree<T> tree;
  int64_t first[kTreeLevels + 1];     // of the nodes of a level; level 1 starts at 0
  int64_t children[kTreeLevels + 1];  // of all nodes of a level
  int top;                            // the level of the root

  Search(NeighborTree<T> t, int64_t points) : tree(t), first{}, children{}, top(1) {
    children[1] = tree_leaves(points);
    for (int64_t nodes; (nodes = block_count(children[top])) > 1; ++top) {
      first[top + 1] = first[top] + nodes;
      children[top + 1] = nodes;
    }
  }

  static V scaled(V x) {
    if constexpr (kScaled) return mul(x, broadcast(kShrink<T>));
    return x;
  }

  // Squared distances from the group's box to those of a node's children, and the children within the limit. A wrong
  // tree may have boxes where there are no children.
  unsigned look(int level, int64_t node, const Group<T>& group, T* bounds) const {
    const T* box = tree.boxes + (first[level] + node) * 6 * kRow;
    const V limit = broadcast(group.limit);
    unsigned within = 0;
    for (int lane = 0; lane < kRow; lane += V::lanes) {
      V d[3];
      for (int c = 0; c < 3; ++c) {
        d[c] = apart(scaled(load(box + c * kRow + lane)), scaled(load(box + (3 + c) * kRow + lane)),
                     broadcast(group.low[c]), broadcast(group.high[c]));
      }
      const V bound = squared(d[0], d[1], d[2]);
      store(bounds + lane, bound);
      within |= bits_not_greater(bound, limit) << lane;
    }
    const int64_t real = children[level] - node * kRow;
    return real < kRow ? within & ((1u << real) - 1) : within;
  }

  // The queries for which a child of a node may contain a better point.
  unsigned wanted(int64_t node, int child, const Group<T>& group) const {
    const T* box = tree.boxes + node * 6 * kRow + child;
    V low[3], high[3];
    for (int c = 0; c < 3; ++c) {
      low[c] = scaled(broadcast(box[c * kRow]));
      high[c] = scaled(broadcast(box[(3 + c) * kRow]));
    }
    V bound[kRow / V::lanes];
    unsigned within = 0, equal = 0;
    for (int i = 0; i < kRow / V::lanes; ++i) {
      V d[3];
      for (int c = 0; c < 3; ++c) {
        const V q = load(group.at[c] + i * V::lanes);
        d[c] = apart(low[c], high[c], q, q);
      }
      bound[i] = squared(d[0], d[1], d[2]);
      within |= bits_not_greater(bound[i], load(group.distance + i * V::lanes)) << i * V::lanes;
    }
    if (within == 0) return 0;
    for (int i = 0; i < kRow / V::lanes; ++i) {
      equal |= bits_not_greater(load(group.distance + i * V::lanes), bound[i]) << i * V::lanes;
    }
    // As far as the best one, and no nearer: only a lower index would win.
    for (equal &= within; equal != 0; equal &= equal - 1) {
      const int lane = __builtin_ctz(equal);
      if (tree.lowest[node * kRow + child] >= group.id[lane]) within &= ~(1u << lane);
    }
    return within;
  }

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

  // The leaves under a node of level 1. kNearestFirst: the nearest one rules out the others soonest. With good hints
  // they are ruled out from the start, and finding the nearest takes longer than it saves.
  template <bool kNearestFirst>
  void visit_leaves(int64_t node, Group<T>& group) const {
    alignas(64) T bounds[kRow];
    for (unsigned left = look(1, node, group, bounds); left != 0;) {
      int leaf = __builtin_ctz(left);
      if constexpr (kNearestFirst) {
        for (unsigned others = left & (left - 1); others != 0; others &= others - 1) {
          const int other = __builtin_ctz(others);
          if (bounds[other] < bounds[leaf]) leaf = other;
        }
      }
      left &= ~(1u << leaf);
      if (bounds[leaf] > group.limit) {
        if (kNearestFirst) return;
        continue;
      }
      if (const unsigned lanes = wanted(node, leaf, group)) visit(node * kRow + leaf, lanes, group);
    }
  }

  // The nearest of `children`; of equally near ones the one with the lowest index, which rules out the others where
  // many points are as far.
  static int foremost(unsigned children, const T* bounds, const int32_t* lowest) {
    int found = __builtin_ctz(children);
    for (children &= children - 1; children != 0; children &= children - 1) {
      const int child = __builtin_ctz(children);
      if (bounds[child] > bounds[found]) continue;
      if (bounds[child] < bounds[found] || lowest[child] < lowest[found]) found = child;
    }
    return found;
  }

  template <bool kNearestFirst>
  void run(Group<T>& group) const {
    alignas(64) T bounds[kTreeLevels + 1][kRow];
    unsigned left[kTreeLevels + 1];
    int64_t node[kTreeLevels + 1];
    group.find_box();
    group.find_limit();
    if (top == 1) return visit_leaves<kNearestFirst>(0, group);
    int level = top;
    node[top] = 0;
    left[top] = look(top, 0, group, bounds[top]);
    for (;;) {
      if (left[level] == 0) {
        if (level++ == top) return;
        continue;
      }
      const int64_t parent = first[level] + node[level];
      int child = __builtin_ctz(left[level]);
      if (kNearestFirst || bounds[level][child] == group.limit) {
        child = foremost(left[level], bounds[level], tree.lowest + parent * kRow);
      }
      left[level] &= ~(1u << child);
      if (bounds[level][child] > group.limit) {
        if (kNearestFirst) left[level] = 0;
        continue;
      }
      // For each query: a group is no nearer than its nearest one to a box, and among equal points no query leaves it.
      if (wanted(parent, child, group) == 0) continue;
      const int64_t below = node[level] * kRow + child;
      if (level == 2) {
        visit_leaves<kNearestFirst>(below, group);
        continue;
      }
      --level;
      node[level] = below;
      left[level] = look(level, below, group, bounds[level]);
    }
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

constexpr NeighborLevel make_neighbor_level() { return {{&nearest<float>}, {&nearest<double>}}; }

}  // namespace twodasl::cpu::TWODASL_LEVEL
