// closest_point_on_mesh at one level: see closest.h and walk-inl.h. Compiled without contraction.
#pragma once

#include "../../common/closest.h"
#include "closest.h"
#include "walk-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

// What common/closest.h computes with: this level's own type, because the linker would merge the functions of a plain
// double with those of the other levels.
using Wide = Vec<double>;
inline Wide plus(Wide a, Wide b) { return add(a, b); }
inline Wide minus(Wide a, Wide b) { return sub(a, b); }
inline Wide times(Wide a, Wide b) { return mul(a, b); }
inline Wide quotient(Wide a, Wide b) { return {a.v / b.v}; }
inline Wide number_like(Wide, double x) { return broadcast(x); }

template <class T>
struct MeshGroup : Group<T> {
  alignas(64) double wide[3][kRow];  // the points
};

// A leaf's triangles, as pairs with points of a group: each lane of a vector has its own. So no lane is idle, which it
// would be where a vector of points meets one triangle that only some of them are close to.
template <class T>
struct LeafPairs {
  const T* x;          // (9, 16), see MeshSearch
  const T* box;        // (6, 16)
  const int32_t* ids;  // (16)
  MeshGroup<T>& group;
  int triangle[Wide::lanes], lane[Wide::lanes], count = 0;

  void add(int i, int at) {
    triangle[count] = i;
    lane[count] = at;
    if (++count == Wide::lanes) measure();
  }

  void measure() {
    constexpr int kLanes = Wide::lanes;
    if (count == 0) return;
    for (int k = count; k < kLanes; ++k) triangle[k] = triangle[0], lane[k] = lane[0];
    alignas(64) double numbers[12][kLanes];
    for (int k = 0; k < kLanes; ++k) {
      for (int i = 0; i < 9; ++i) numbers[i][k] = static_cast<double>(x[i * kRow + triangle[k]]);
      for (int c = 0; c < 3; ++c) numbers[9 + c][k] = group.wide[c][lane[k]];
    }
    Wide corners[3][3], p[3];
    for (int i = 0; i < 9; ++i) corners[i / 3][i % 3] = load(numbers[i]);
    for (int c = 0; c < 3; ++c) p[c] = load(numbers[9 + c]);
    TriangleTerms<Wide> terms;
    set_terms(corners, terms);
    const Closest<Wide> found = closest_point(terms, p);
    alignas(64) T distance[kLanes];
    for (int c = 0; c < 3; ++c) {
      alignas(64) double away[kLanes];
      store(away, found.away[c]);
      for (int k = 0; k < kLanes; ++k) {  // clamp_away(), and the sum of squares in its order
        const T at = group.at[c][lane[k]], low = at - box[(3 + c) * kRow + triangle[k]];
        const T high = at - box[c * kRow + triangle[k]], rounded = static_cast<T>(away[k]);
        const T least = rounded < low ? low : rounded, d = least > high ? high : least;
        distance[k] = c == 0 ? d * d : distance[k] + d * d;
      }
    }
    for (int k = 0; k < count; ++k) group.offer(lane[k], distance[k], ids[triangle[k]]);
    count = 0;
  }
};

template <class T>
struct MeshSearch : Walk<T, false, MeshSearch<T>> {
  using Base = Walk<T, false, MeshSearch<T>>;
  using V = Vec<T>;
  int64_t count;  // of triangles

  MeshSearch(NeighborTree<T> tree, int64_t triangles) : Base(tree, triangles), count(triangles) {}

  // First the triangle of the nearest box for each point, which rules out most of the others.
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
    unsigned all = this->look_at(box, group, bounds);
    const int64_t real = count - leaf * kRow;
    if (real < kRow) all &= (1u << real) - 1;
    if (all == 0) return;
    alignas(64) T bound[kRow][kRow], least[kRow], place[kRow];
    find_bounds(box, all, group, bound, least, place);
    LeafPairs<T> pairs{x, box, ids, group, {}, {}};
    for (int lane = 0; lane < kRow; ++lane) {
      if (!(least[lane] < infinity<T>())) continue;
      const int i = static_cast<int>(place[lane]);
      bound[i][lane] = infinity<T>();
      pairs.add(i, lane);
    }
    pairs.measure();
    for (; all != 0; all &= all - 1) {
      const int i = __builtin_ctz(all);
      unsigned lanes = 0;
      for (int lane = 0; lane < kRow; lane += V::lanes) {
        lanes |= bits_not_greater(load(bound[i] + lane), load(group.distance + lane)) << lane;
      }
      for (; lanes != 0; lanes &= lanes - 1) {
        const int lane = __builtin_ctz(lanes);
        // As far as the best one, and no nearer: only a lower index would win.
        if (bound[i][lane] < group.distance[lane] || ids[i] < group.id[lane]) pairs.add(i, lane);
      }
    }
    pairs.measure();
    group.find_limit();
  }

  // Of the triangles of `all` and every point: the squared distance to the box; and the triangle whose box has the
  // nearest center, of those that may be better than what the point has.
  static void find_bounds(const T* box, unsigned all, const MeshGroup<T>& group, T (*bound)[kRow], T* least, T* place) {
    for (int first = 0; first < kRow; first += V::lanes) {
      V q[3], nearest = broadcast(infinity<T>()), chosen = broadcast(T(0));
      const V limit = load(group.distance + first);
      for (int c = 0; c < 3; ++c) q[c] = load(group.at[c] + first);
      for (unsigned left = all; left != 0; left &= left - 1) {
        const int i = __builtin_ctz(left);
        V d[3], center[3];
        for (int c = 0; c < 3; ++c) {
          const V low = sub(broadcast(box[c * kRow + i]), q[c]), high = sub(q[c], broadcast(box[(3 + c) * kRow + i]));
          d[c] = largest(largest(low, high), broadcast(T(0)));
          center[c] = sub(low, high);
        }
        const V square = squared(d[0], d[1], d[2]);
        store(bound[i] + first, square);
        V order = squared(center[0], center[1], center[2]);
        order = where_less(limit, square, broadcast(infinity<T>()), order);
        chosen = where_less(order, nearest, broadcast(T(i)), chosen);
        nearest = smallest(order, nearest);
      }
      store(least + first, nearest);
      store(place + first, chosen);
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

// Where in their triangles the points of a group are: the squared distances, and the weights of the corners.
template <class T>
void locate(const ClosestPointParams<T>& params, const T* vertices, double scale, const MeshGroup<T>& group,
            const int64_t* number, int filled) {
  constexpr int kLanes = Wide::lanes;
  for (int first = 0; first < filled; first += kLanes) {
    alignas(64) double numbers[9][kLanes], away[3][kLanes], weight[3][kLanes], place[3][kLanes];
    for (int k = 0; k < kLanes; ++k) {
      const int64_t* const corner = params.triangles + 3 * group.id[first + k];
      for (int i = 0; i < 9; ++i) {
        numbers[i][k] = static_cast<double>(vertices[3 * corner[i / 3] + i % 3]) * scale;
        if constexpr (sizeof(T) == 4) numbers[i][k] = static_cast<double>(static_cast<T>(numbers[i][k]));
      }
    }
    Wide corners[3][3], order[3], p[3];
    for (int i = 0; i < 9; ++i) corners[i / 3][i % 3] = load(numbers[i]);
    for (int c = 0; c < 3; ++c) p[c] = load(group.wide[c] + first);
    sort_corners(corners, order);
    TriangleTerms<Wide> terms;
    set_terms(corners, terms);
    const Closest<Wide> found = closest_point(terms, p);
    for (int i = 0; i < 3; ++i) {
      store(away[i], found.away[i]);
      store(weight[i], found.weight[i]);
      store(place[i], order[i]);
    }
    for (int k = 0; k < kLanes && first + k < filled; ++k) {
      const int64_t m = number[first + k];
      const T* const corner = vertices + 3 * params.triangles[3 * group.id[first + k]];
      bool cut = false;
      for (int c = 0; c < 3; ++c) {
        const T at = group.at[c][first + k];
        cut = cut || at >= MeshRange<T>::kMost || at <= -MeshRange<T>::kMost;
        params.barycentrics[3 * m + static_cast<int>(place[c][k])] = static_cast<T>(weight[c][k]);
      }
      T square[3];
      for (int c = 0; c < 3; ++c) {  // as unscaled_square() of common/closest.h
        const double *x = numbers[c], *y = numbers[3 + c], *z = numbers[6 + c];
        const double low = x[k] < y[k] ? (x[k] < z[k] ? x[k] : z[k]) : (y[k] < z[k] ? y[k] : z[k]);
        const double high = x[k] > y[k] ? (x[k] > z[k] ? x[k] : z[k]) : (y[k] > z[k] ? y[k] : z[k]);
        const T at = group.at[c][first + k], to_high = at - static_cast<T>(high), to_low = at - static_cast<T>(low);
        const T rounded = static_cast<T>(away[c][k]), least = rounded < to_high ? to_high : rounded;
        const T clamped = least > to_low ? to_low : least;
        const T d = cut ? params.points[3 * m + c] - corner[c] : static_cast<T>(static_cast<double>(clamped) / scale);
        square[c] = d * d;
      }
      params.distance[m] = (square[0] + square[1]) + square[2];
      params.triangle[m] = group.id[first + k];
    }
  }
}

// The closest points of points [begin, end) of an element.
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
      // The points come in the order of the curve, their results and the next group anywhere in memory.
      __builtin_prefetch(params.distance + m, 1);
      __builtin_prefetch(params.triangle + m, 1);
      __builtin_prefetch(params.barycentrics + 3 * m, 1);
      if (params.order != nullptr && at + kRow < end) __builtin_prefetch(params.points + 3 * params.order[start + at + kRow]);
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
    locate(params, vertices, scale, group, number, filled);
    previous = group.id[filled - 1];
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
