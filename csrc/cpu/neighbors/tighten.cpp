// Runs of the curve, cut in halves: the leaves of a tree that is searched often.
#include <algorithm>

#include "neighbors.h"

namespace twodasl::cpu {

namespace {

template <class T>
struct Place {
  T x;
  int32_t slot;
};

template <class T>
T middle(T a, T b, T c) {
  return std::max(std::min(a, b), std::min(std::max(a, b), c));
}

// Moves those below the pivot to the front and returns their number. Both ends are written and one of them moves on: no
// branch to mispredict.
template <class T>
int64_t split(Place<T>* places, Place<T>* other, int64_t count, T pivot) {
  Place<T>*low = other, *high = other + count - 1;
  for (int64_t i = 0; i < count; ++i) {
    const Place<T> place = places[i];
    const int64_t below = place.x < pivot ? 1 : 0;
    *low = place;
    *high = place;
    low += below;
    high -= 1 - below;
  }
  std::copy(other, other + count, places);
  return low - other;
}

// std::nth_element, of which only its last part is left to it, and what does not halve: many equal numbers.
template <class T>
void select(Place<T>* places, Place<T>* other, int64_t count, int64_t rank) {
  constexpr int kRounds = 24;
  for (int round = 0; round < kRounds && count > kBlock; ++round) {
    const auto at = [&](int64_t eighths) { return places[(count - 1) * eighths / 8].x; };
    const T pivot = middle(middle(at(0), at(4), at(8)), middle(at(1), at(3), at(5)), middle(at(2), at(6), at(7)));
    const int64_t below = split(places, other, count, pivot);
    if (below == rank) return;
    if (below == 0) break;
    if (rank < below) {
      count = below;
    } else {
      places += below, count -= below, rank -= below;
    }
  }
  std::nth_element(places, places + rank, places + count, [](const Place<T>& a, const Place<T>& b) { return a.x < b.x; });
}

template <class T>
struct Point {
  T at[3];
  int32_t id;
};

template <class T>
struct Run {
  Point<T> points[kTightRun], other[kTightRun];
  Place<T> places[kTightRun], other_places[kTightRun];

  void halve(int64_t begin, int64_t end) {
    const int64_t count = end - begin, leaves = block_count(count);
    if (leaves < 2) return;
    T least[3], greatest[3];
    for (int c = 0; c < 3; ++c) least[c] = greatest[c] = points[begin].at[c];
    for (int64_t i = begin; i < end; ++i) {
      for (int c = 0; c < 3; ++c) {
        const T x = points[i].at[c];
        least[c] = x < least[c] ? x : least[c];
        greatest[c] = x > greatest[c] ? x : greatest[c];
      }
    }
    int axis = 0;  // sides of halves: the difference itself may overflow
    const auto side = [&](int c) { return T(0.5) * greatest[c] - T(0.5) * least[c]; };
    for (int c = 1; c < 3; ++c) axis = side(c) > side(axis) ? c : axis;
    for (int64_t i = 0; i < count; ++i) places[i] = {points[begin + i].at[axis], static_cast<int32_t>(i)};
    const int64_t half = (leaves + 1) / 2 * kBlock;  // all leaves but the last are full
    select(places, other_places, count, half);
    std::copy(points + begin, points + end, other);
    for (int64_t i = 0; i < count; ++i) points[begin + i] = other[places[i].slot];
    halve(begin, begin + half);
    halve(begin + half, end);
  }
};

}  // namespace

template <class T>
void tighten_keys(const T* points, uint64_t* keys, int64_t begin, int64_t end) {
  Run<T> run;
  for (int64_t first = begin; first < end; first += kTightRun) {
    const int64_t count = std::min(kTightRun, end - first);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t id = static_cast<int64_t>(keys[first + i] & 0xffffffffu);
      run.points[i] = {{points[3 * id], points[3 * id + 1], points[3 * id + 2]}, static_cast<int32_t>(id)};
    }
    run.halve(0, count);
    for (int64_t i = 0; i < count; ++i) keys[first + i] = static_cast<uint64_t>(run.points[i].id);
  }
}

template void tighten_keys<float>(const float*, uint64_t*, int64_t, int64_t);
template void tighten_keys<double>(const double*, uint64_t*, int64_t, int64_t);

}  // namespace twodasl::cpu
