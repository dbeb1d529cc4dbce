// closest_point_on_mesh at one level: see closest.h and walk-inl.h. Compiled without contraction.
#pragma once

#include "../../common/closest.h"
#include "closest.h"
#include "walk-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

// What common/closest.h computes with: a vector; and a number in a type of this level's own, because the linker would
// merge the functions of a plain double with those of the other levels.
struct One {
  double x;
};
inline One plus(One a, One b) { return {a.x + b.x}; }
inline One minus(One a, One b) { return {a.x - b.x}; }
inline One times(One a, One b) { return {a.x * b.x}; }
inline One quotient(One a, One b) { return {a.x / b.x}; }
inline One where_less(One a, One b, One x, One y) { return a.x < b.x ? x : y; }
inline One number_like(One, double x) { return {x}; }

using Wide = Vec<double>;
inline Wide plus(Wide a, Wide b) { return add(a, b); }
inline Wide minus(Wide a, Wide b) { return sub(a, b); }
inline Wide times(Wide a, Wide b) { return mul(a, b); }
inline Wide number_like(Wide, double x) { return broadcast(x); }

inline void spread(const TriangleTerms<One>& one, TriangleTerms<Wide>& terms) {
  for (int i = 0; i < 3; ++i) {
    for (int c = 0; c < 3; ++c) {
      terms.corner[i][c] = broadcast(one.corner[i][c].x);
      terms.edge[i][c] = broadcast(one.edge[i][c].x);
      if (i < 2) terms.across[i][c] = broadcast(one.across[i][c].x);
    }
    terms.length[i] = broadcast(one.length[i].x);
    terms.inverse[i] = broadcast(one.inverse[i].x);
  }
}

template <class T>
struct MeshGroup : Group<T> {
  alignas(64) double wide[3][kRow];  // the points
};

template <class T>
struct MeshSearch : Walk<T, false, MeshSearch<T>> {
  using Base = Walk<T, false, MeshSearch<T>>;
  using V = Vec<T>;
  int64_t count;  // of triangles

  MeshSearch(NeighborTree<T> tree, int64_t triangles) : Base(tree, triangles), count(triangles) {}

  // A leaf's triangles, first by their boxes.
  void visit(int64_t leaf, unsigned, MeshGroup<T>& group) const {
    const T* const x = this->tree.leaves + leaf * kTriangleRow;
    const int32_t* const ids = this->tree.ids + leaf * kRow;
    alignas(64) T box[6 * kRow], bounds[kRow];
    for (int c = 0; c < 3; ++c) {
      for (int lane = 0; lane < kRow; lane += V::lanes) {
        const V p = load(x + c * kRow + lane), q = load(x + (3 + c) * kRow + lane), r = load(x + (6 + c) * kRow + lane);
        store(box + c * kRow + lane, smallest(smallest(p, q), r));
        store(box + (3 + c) * kRow + lane, largest(largest(p, q), r));
      }
    }
    unsigned left = this->look_at(box, group, bounds);
    const int64_t real = count - leaf * kRow;
    if (real < kRow) left &= (1u << real) - 1;
    for (; left != 0; left &= left - 1) {
      const int i = __builtin_ctz(left);
      if (const unsigned lanes = this->wanted_of(box + i, ids[i], group)) measure(x + i, box + i, ids[i], lanes, group);
    }
    group.find_limit();
  }

  // One triangle for the points of `lanes`.
  static void measure(const T* x, const T* box, int32_t id, unsigned lanes, MeshGroup<T>& group) {
    One corners[3][3];
    for (int i = 0; i < 9; ++i) corners[i / 3][i % 3] = {static_cast<double>(x[i * kRow])};
    TriangleTerms<One> one;
    set_terms(corners, one);
    TriangleTerms<Wide> terms;
    spread(one, terms);
    alignas(64) double away[3][kRow] = {};
    for (int first = 0; first < kRow; first += Wide::lanes) {
      if ((lanes >> first & ((1u << Wide::lanes) - 1)) == 0) continue;
      Wide p[3];
      for (int c = 0; c < 3; ++c) p[c] = load(group.wide[c] + first);
      const Closest<Wide> found = closest_point(terms, p);
      for (int c = 0; c < 3; ++c) store(away[c] + first, found.away[c]);
    }
    for (int first = 0; first < kRow; first += V::lanes) {
      V d[3];
      for (int c = 0; c < 3; ++c) {
        alignas(64) T rounded[V::lanes];
        for (int i = 0; i < V::lanes; ++i) rounded[i] = static_cast<T>(away[c][first + i]);
        const V p = load(group.at[c] + first), to_high = sub(p, broadcast(box[(3 + c) * kRow]));
        const V to_low = sub(p, broadcast(box[c * kRow]));
        const V at_least = where_less(load(rounded), to_high, to_high, load(rounded));
        d[c] = where_less(to_low, at_least, to_low, at_least);
      }
      const V distance = squared(d[0], d[1], d[2]);
      unsigned better = bits_not_greater(distance, load(group.distance + first)) & lanes >> first;
      alignas(64) T distances[V::lanes];
      store(distances, distance);
      for (; better != 0; better &= better - 1) {
        const int lane = __builtin_ctz(better);
        group.offer(first + lane, distances[lane], id);
      }
    }
  }
};

// No triangle of a mesh is further away than a corner of one, to the last bits.
template <class T>
void expect(const T* corner, double scale, MeshGroup<T>& group) {
  constexpr T kMore = sizeof(T) == 4 ? T(0x1p-20) : T(0x1p-48), kLeast = sizeof(T) == 4 ? T(0x1p-120) : T(0x1p-1000);
  T at[3];
  for (int c = 0; c < 3; ++c) at[c] = static_cast<T>(static_cast<double>(corner[c]) * scale);
  for (int lane = 0; lane < kRow; ++lane) {
    const T dx = group.at[0][lane] - at[0], dy = group.at[1][lane] - at[1], dz = group.at[2][lane] - at[2];
    const T distance = (dx * dx + dy * dy) + dz * dz;
    const T bound = distance + distance * kMore + kLeast;
    if (bound < group.distance[lane]) group.distance[lane] = bound;
  }
}

// The triangles of points [begin, end) of an element.
template <class T>
void closest(const ClosestPointParams<T>& params, int64_t element, int64_t begin, int64_t end) {
  const int64_t count = params.triangles_count, leaves = tree_leaves(count), nodes = tree_nodes(count);
  const MeshSearch<T> search({params.tree.leaves + element * leaves * kTriangleRow,
                              params.tree.ids + element * leaves * kRow, params.tree.boxes + element * nodes * 6 * kRow,
                              params.tree.lowest + element * nodes * kRow},
                             count);
  const T* vertices = params.vertices + 3 * element * params.vertices_count;
  const double scale = params.scale[element], most = static_cast<double>(MeshRange<T>::kMost);
  const int64_t start = element * params.points_count;
  int64_t previous = -1;
  for (int64_t i = begin; i < end; i += kRow) {
    const int filled = static_cast<int>(end - i < kRow ? end - i : kRow);
    int64_t number[kRow];
    MeshGroup<T> group;
    for (int lane = 0; lane < kRow; ++lane) {
      const int64_t at = i + (lane < filled ? lane : filled - 1);
      const int64_t m = start + (params.order != nullptr ? params.order[start + at] : at);
      number[lane] = m;
      for (int c = 0; c < 3; ++c) {
        const double x = static_cast<double>(params.points[3 * m + c]) * scale;
        group.at[c][lane] = static_cast<T>(x > most ? most : x < -most ? -most : x);
        group.wide[c][lane] = static_cast<double>(group.at[c][lane]);
      }
      group.distance[lane] = infinity<T>();
      group.id[lane] = kNoPoint;
    }
    if (previous >= 0) {
      for (int corner = 0; corner < 3; ++corner) {
        expect(vertices + 3 * params.triangles[3 * previous + corner], scale, group);
      }
    }
    search.template run<true>(group);
    for (int lane = 0; lane < filled; ++lane) params.triangle[number[lane]] = group.id[lane];
    previous = group.id[filled - 1];
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
