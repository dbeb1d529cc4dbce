// The walk of one level down a tree: sixteen neighboring queries together, each with what it has found so far. Compiled
// without contraction: see neighbors.h.
#pragma once

#include "neighbors.h"

namespace twodasl::cpu::TWODASL_LEVEL {

constexpr int kRow = static_cast<int>(kBlock);

template <class T>
constexpr T infinity() {
  return static_cast<T>(__builtin_huge_val());
}

// Sixteen queries and the best that each has seen, or the last of the best; what is further away is of no use. Where
// there are fewer queries, the last one fills up.
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

// kScaled: coordinates of the tree are multiplied by kShrink; those of the queries have been. `Self` derives from this
// and visits a leaf: visit(leaf, lanes, group), for the queries of `lanes`.
template <class T, bool kScaled, class Self>
struct Walk {
  using V = Vec<T>;
  NeighborTree<T> tree;
  int64_t first[kTreeLevels + 1];     // of the nodes of a level; level 1 starts at 0
  int64_t children[kTreeLevels + 1];  // of all nodes of a level
  int top;                            // the level of the root

  Walk(NeighborTree<T> t, int64_t points) : tree(t), first{}, children{}, top(1) {
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
    const unsigned within = look_at(tree.boxes + (first[level] + node) * 6 * kRow, group, bounds);
    const int64_t real = children[level] - node * kRow;
    return real < kRow ? within & ((1u << real) - 1) : within;
  }
  static unsigned look_at(const T* box, const Group<T>& group, T* bounds) {
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
    return within;
  }

  // The queries for which a child of a node may contain a better point.
  unsigned wanted(int64_t node, int child, const Group<T>& group) const {
    return wanted_of(tree.boxes + node * 6 * kRow + child, tree.lowest[node * kRow + child], group);
  }
  // One of sixteen boxes; `lowest` is the lowest id in it.
  static unsigned wanted_of(const T* box, int32_t lowest, const Group<T>& group) {
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
      if (lowest >= group.id[lane]) within &= ~(1u << lane);
    }
    return within;
  }

  // The leaves under a node of level 1. kNearestFirst: the nearest one rules out the others soonest. With good hints
  // they are ruled out from the start, and finding the nearest takes longer than it saves.
  template <bool kNearestFirst, class G>
  void visit_leaves(int64_t node, G& group) const {
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
      if (const unsigned lanes = wanted(node, leaf, group)) self().visit(node * kRow + leaf, lanes, group);
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

  template <bool kNearestFirst, class G>
  void run(G& group) const {
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

 private:
  const Self& self() const { return static_cast<const Self&>(*this); }
};

}  // namespace twodasl::cpu::TWODASL_LEVEL
