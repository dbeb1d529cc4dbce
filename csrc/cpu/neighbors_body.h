// The search of one level: a tree walked from the top, nearest child first, with a neighbour known from the start.
// Compiled without contraction: see neighbors.h.
#pragma once

#include "neighbors.h"

namespace twodasl::cpu::TWODASL_LEVEL {

constexpr int kRow = static_cast<int>(kBlock);

template <class T>
struct Nearest {
  T distance;
  int64_t id;

  void offer(T other, int64_t other_id) {
    if (other < distance || (other == distance && other_id < id)) {
      distance = other;
      id = other_id;
    }
  }
};

template <class T>
inline T squared(const T* q, const T* p, T scale) {
  const T dx = q[0] - p[0] * scale, dy = q[1] - p[1] * scale, dz = q[2] - p[2] * scale;
  return (dx * dx + dy * dy) + dz * dz;
}
template <class T>
inline Vec<T> squared(Vec<T> dx, Vec<T> dy, Vec<T> dz) {
  return add(add(mul(dx, dx), mul(dy, dy)), mul(dz, dz));
}

// kScaled: coordinates of the tree are multiplied by kShrink; those of the query have been.
template <class T, bool kScaled>
struct Search {
  using V = Vec<T>;
  NeighborTree<T> tree;
  int64_t first[kTreeLevels + 1];  // of the nodes of a level; level 1 starts at 0
  int top;                         // the level of the root

  Search(NeighborTree<T> t, int64_t points) : tree(t), first{}, top(1) {
    int64_t nodes = block_count(tree_leaves(points));
    while (nodes > 1) {
      first[top + 1] = first[top] + nodes;
      nodes = block_count(nodes);
      ++top;
    }
  }

  static V at(const T* p) {
    if constexpr (kScaled) return mul(load(p), broadcast(kShrink<T>));
    return load(p);
  }
  static V outside(const T* box, int lane, V q) {
    return largest(largest(sub(at(box + lane), q), sub(q, at(box + 3 * kRow + lane))), broadcast(T(0)));
  }

  // Squared distances to the boxes of a node's children, and the children that may hold a better point.
  unsigned look(int64_t node, const T* q, const Nearest<T>& best, T* bounds) const {
    const T* box = tree.boxes + node * 6 * kRow;
    const V x = broadcast(q[0]), y = broadcast(q[1]), z = broadcast(q[2]), limit = broadcast(best.distance);
    unsigned below = 0, equal = 0;
    for (int lane = 0; lane < kRow; lane += V::lanes) {
      const V bound = squared(outside(box, lane, x), outside(box + kRow, lane, y), outside(box + 2 * kRow, lane, z));
      store(bounds + lane, bound);
      below |= bits_less(bound, limit) << lane;
      equal |= bits_equal(bound, limit) << lane;
    }
    for (; equal != 0; equal &= equal - 1) {
      const int lane = __builtin_ctz(equal);
      if (tree.lowest[node * kRow + lane] < best.id) below |= 1u << lane;
    }
    return below;
  }

  void visit(int64_t leaf, const T* q, Nearest<T>& best) const {
    const T* p = tree.leaves + leaf * kBlockRow;
    const V x = broadcast(q[0]), y = broadcast(q[1]), z = broadcast(q[2]), limit = broadcast(best.distance);
    alignas(64) T distances[kRow];
    unsigned found = 0;
    for (int lane = 0; lane < kRow; lane += V::lanes) {
      const V d = squared(sub(x, at(p + lane)), sub(y, at(p + kRow + lane)), sub(z, at(p + 2 * kRow + lane)));
      store(distances + lane, d);
      found |= (bits_less(d, limit) | bits_equal(d, limit)) << lane;
    }
    for (; found != 0; found &= found - 1) {
      const int lane = __builtin_ctz(found);
      best.offer(distances[lane], tree.ids[leaf * kRow + lane]);
    }
  }

  void run(const T* q, Nearest<T>& best) const {
    alignas(64) T bounds[kTreeLevels + 1][kRow];
    unsigned left[kTreeLevels + 1];
    int64_t node[kTreeLevels + 1];
    int level = top;
    node[top] = 0;
    left[top] = look(first[top], q, best, bounds[top]);
    for (;;) {
      if (left[level] == 0) {
        if (level++ == top) return;
        continue;
      }
      // The nearest child that is left: it makes the others needless soonest.
      int lane = __builtin_ctz(left[level]);
      for (unsigned others = left[level] & (left[level] - 1); others != 0; others &= others - 1) {
        const int other = __builtin_ctz(others);
        if (bounds[level][other] < bounds[level][lane]) lane = other;
      }
      left[level] &= ~(1u << lane);
      const T bound = bounds[level][lane];
      if (bound > best.distance) {
        left[level] = 0;
        continue;
      }
      if (bound == best.distance && !(tree.lowest[(first[level] + node[level]) * kRow + lane] < best.id)) continue;
      const int64_t child = node[level] * kRow + lane;
      if (level == 1) {
        visit(child, q, best);
      } else {
        --level;
        node[level] = child;
        left[level] = look(first[level] + child, q, best, bounds[level]);
      }
    }
  }
};

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
  const T infinity = static_cast<T>(__builtin_huge_val());
  int64_t previous = -1;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t m = start + (params.order != nullptr ? params.order[start + i] : i);
    if (m - start >= real) {
      params.distance[m] = T(0);
      params.index[m] = -1;
      continue;
    }
    const T* q = params.query + 3 * m;
    Nearest<T> best{infinity, kNoPoint};
    if (previous >= 0) best = {squared(q, points + 3 * previous, T(1)), previous};
    if (params.hint != nullptr) best.offer(squared(q, points + 3 * params.hint[m], T(1)), params.hint[m]);
    search.run(q, best);
    if (best.distance == infinity) {
      const Search<T, true> scaled(tree, count);
      const T small[3] = {q[0] * kShrink<T>, q[1] * kShrink<T>, q[2] * kShrink<T>};
      Nearest<T> nearest{infinity, kNoPoint};
      if (previous >= 0) nearest = {squared(small, points + 3 * previous, kShrink<T>), previous};
      scaled.run(small, nearest);
      best.id = nearest.id;
    }
    previous = best.id;
    params.distance[m] = best.distance;
    params.index[m] = best.id;
  }
}

constexpr NeighborLevel make_neighbor_level() { return {{&nearest<float>}, {&nearest<double>}}; }

}  // namespace twodasl::cpu::TWODASL_LEVEL
