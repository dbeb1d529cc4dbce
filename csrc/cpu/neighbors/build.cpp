// The order of points along a space-filling curve, and the tree over it.
#include <algorithm>
#include <utility>

#include "../../common/curve.h"
#include "neighbors.h"

namespace twodasl::cpu {

namespace {

constexpr int kAxisBits = 10;
constexpr int kDigitBits = 10;
constexpr int kDigits = 1 << kDigitBits;

// Every third bit of the result is a bit of x, which has ten.
inline uint32_t spread(uint32_t x) {
  x = (x | x << 16) & 0x030000ffu;
  x = (x | x << 8) & 0x0300f00fu;
  x = (x | x << 4) & 0x030c30c3u;
  return (x | x << 2) & 0x09249249u;
}

// The place of a cell on the curve from the interleaved bits of its coordinates, two levels at a time.
struct Hilbert {
  static constexpr int kStep = 6;
  uint16_t next[24][1 << kStep] = {};  // the following state, then six bits of the place

  constexpr Hilbert() {
    for (int number = 0; number < 24; ++number) {
      for (int octants = 0; octants < 1 << kStep; ++octants) {
        CurveState state{number / 3, number % 3};
        int place = 0;
        for (int shift = kStep - 3; shift >= 0; shift -= 3) {
          const int along = curve_step(state, octants >> shift & 7);
          place = place << 3 | along;
        }
        next[number][octants] = static_cast<uint16_t>((state.entry * 3 + state.axis) << kStep | place);
      }
    }
  }
  uint32_t place(uint32_t octants) const {
    uint32_t found = 0, state = 0;
    for (int shift = 3 * kAxisBits - kStep; shift >= 0; shift -= kStep) {
      const uint32_t entry = next[state][octants >> shift & ((1 << kStep) - 1)];
      found = found << kStep | (entry & ((1 << kStep) - 1));
      state = entry >> kStep;
    }
    return found;
  }
};
constexpr Hilbert kHilbert;

struct Cells : CurveCells {
  template <class T>
  explicit Cells(const T* box) : CurveCells(box, kAxisBits) {}

  template <class T>
  uint64_t place(const T* p) const {
    return kHilbert.place(spread(cell(static_cast<double>(p[0]), 0)) | spread(cell(static_cast<double>(p[1]), 1)) << 1 |
                          spread(cell(static_cast<double>(p[2]), 2)) << 2);
  }
};

inline uint32_t place_of(uint64_t key) { return static_cast<uint32_t>(key >> 32); }
inline int64_t index_of(uint64_t key) { return static_cast<int64_t>(key & 0xffffffffu); }

// The lowest id and the box of `count` children from those below, `stride` numbers from one to the next.
template <class T>
void widen(T* box, int lane, const T* below, int32_t* lowest, const int32_t* below_lowest) {
  for (int c = 0; c < 3; ++c) {
    T least = below[c * kBlock], greatest = below[(3 + c) * kBlock];
    for (int i = 1; i < kBlock; ++i) {
      least = std::min(least, below[c * kBlock + i]);
      greatest = std::max(greatest, below[(3 + c) * kBlock + i]);
    }
    box[c * kBlock + lane] = least;
    box[(3 + c) * kBlock + lane] = greatest;
  }
  lowest[lane] = *std::min_element(below_lowest, below_lowest + kBlock);
}

// A node without children: no point is inside its boxes.
template <class T>
void clear(T* box, int32_t* lowest) {
  const T infinity = static_cast<T>(__builtin_huge_val());
  std::fill(box, box + 3 * kBlock, infinity);
  std::fill(box + 3 * kBlock, box + 6 * kBlock, -infinity);
  std::fill(lowest, lowest + kBlock, kNoPoint);
}

}  // namespace

template <class T>
bool bounding_box(const T* points, int64_t begin, int64_t end, T* box) {
  // Four points are twelve numbers: each lane keeps to one axis.
  constexpr int kLanes = 12;
  T least[kLanes], greatest[kLanes], zeros[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    least[i] = greatest[i] = points[3 * begin + i % 3];
    zeros[i] = least[i] * T(0);  // NaN where it is not finite, and stays so
  }
  int64_t n = begin;
  for (; n + 4 <= end; n += 4) {
    const T* p = points + 3 * n;
    for (int i = 0; i < kLanes; ++i) {
      least[i] = p[i] < least[i] ? p[i] : least[i];
      greatest[i] = p[i] > greatest[i] ? p[i] : greatest[i];
      zeros[i] += p[i] * T(0);
    }
  }
  for (; n < end; ++n) {
    for (int i = 0; i < 3; ++i) {
      const T x = points[3 * n + i];
      least[i] = x < least[i] ? x : least[i];
      greatest[i] = x > greatest[i] ? x : greatest[i];
      zeros[i] += x * T(0);
    }
  }
  T total = T(0);
  for (int i = 0; i < kLanes; ++i) total += zeros[i];
  for (int c = 0; c < 3; ++c) {
    box[c] = std::min(std::min(least[c], least[c + 3]), std::min(least[c + 6], least[c + 9]));
    box[3 + c] = std::max(std::max(greatest[c], greatest[c + 3]), std::max(greatest[c + 6], greatest[c + 9]));
  }
  return total == T(0);
}

template <class T>
void curve_keys(const T* points, const T* box, uint64_t* keys, int64_t begin, int64_t end) {
  const Cells cells(box);
  for (int64_t n = begin; n < end; ++n) keys[n] = cells.place(points + 3 * n) << 32 | static_cast<uint64_t>(n);
}

uint64_t* sort_keys(uint64_t* keys, uint64_t* other, int64_t count) {
  constexpr int kPasses = 3 * kAxisBits / kDigitBits;
  int32_t counts[kPasses][kDigits] = {};
  for (int64_t i = 0; i < count; ++i) {
    for (int pass = 0; pass < kPasses; ++pass) ++counts[pass][place_of(keys[i]) >> pass * kDigitBits & (kDigits - 1)];
  }
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto digit = [pass](uint64_t key) { return place_of(key) >> pass * kDigitBits & (kDigits - 1); };
    int32_t* const position = counts[pass];
    if (count == 0 || position[digit(keys[0])] == count) continue;  // all alike
    int32_t sum = 0;
    for (int d = 0; d < kDigits; ++d) sum += std::exchange(position[d], sum);
    for (int64_t i = 0; i < count; ++i) other[position[digit(keys[i])]++] = keys[i];
    std::swap(keys, other);
  }
  return keys;
}

template <class T>
void refine_keys(const T* points, uint64_t* keys, uint64_t* other, int64_t count) {
  for (int64_t begin = 0; begin + kBlock < count;) {
    if (place_of(keys[begin]) != place_of(keys[begin + kBlock])) {
      ++begin;
      continue;
    }
    int64_t end = begin + kBlock + 1;
    while (end < count && place_of(keys[end]) == place_of(keys[begin])) ++end;
    T box[6];
    for (int c = 0; c < 6; ++c) box[c] = points[3 * index_of(keys[begin]) + c % 3];
    for (int64_t i = begin; i < end; ++i) {
      const T* p = points + 3 * index_of(keys[i]);
      for (int c = 0; c < 3; ++c) {
        box[c] = std::min(box[c], p[c]);
        box[3 + c] = std::max(box[3 + c], p[c]);
      }
    }
    if (box[0] < box[3] || box[1] < box[4] || box[2] < box[5]) {  // its ends fall into different cells: this ends
      const Cells cells(box);
      const int64_t size = end - begin;
      for (int64_t i = begin; i < end; ++i) {
        keys[i] = cells.place(points + 3 * index_of(keys[i])) << 32 | static_cast<uint64_t>(index_of(keys[i]));
      }
      if (size < kDigits) {
        std::sort(keys + begin, keys + end);  // by place, then by index, as the stable sort does
      } else {
        const uint64_t* sorted = sort_keys(keys + begin, other + begin, size);
        if (sorted != keys + begin) std::copy(sorted, sorted + size, keys + begin);
      }
      refine_keys(points, keys + begin, other + begin, size);
    }
    begin = end;
  }
}

template <class T>
void fill_leaves(const T* points, const uint64_t* keys, int64_t count, T* leaves, int32_t* ids, T* boxes,
                 int32_t* lowest, int64_t begin, int64_t end) {
  const T infinity = static_cast<T>(__builtin_huge_val());
  for (int64_t leaf = begin; leaf < end; ++leaf) {
    const int64_t node = leaf / kBlock, lane = leaf % kBlock, first = leaf * kBlock;
    T* box = boxes + node * 6 * kBlock;
    if (lane == 0) clear(box, lowest + node * kBlock);
    T* x = leaves + leaf * kBlockRow;
    int32_t* id = ids + first;
    T least[3] = {infinity, infinity, infinity}, greatest[3] = {-infinity, -infinity, -infinity};
    for (int64_t i = 0; i < kBlock; ++i) {
      for (int c = 0; c < 3; ++c) x[c * kBlock + i] = infinity;
      id[i] = kNoPoint;
    }
    // In the order of their ids: without branches, for sixteen of them.
    int32_t unsorted[kBlock], rank[kBlock] = {};
    const int64_t filled = std::max<int64_t>(0, std::min(kBlock, count - first));
    for (int64_t i = 0; i < kBlock; ++i) {
      unsorted[i] = i < filled ? static_cast<int32_t>(index_of(keys[first + i])) : kNoPoint;
    }
    for (int64_t i = 0; i < kBlock; ++i) {
      for (int64_t j = 0; j < kBlock; ++j) rank[j] += unsorted[i] < unsorted[j] ? 1 : 0;
    }
    for (int64_t i = 0; i < filled; ++i) {
      for (int c = 0; c < 3; ++c) {
        const T value = points[3 * int64_t(unsorted[i]) + c];
        x[c * kBlock + rank[i]] = value;
        least[c] = value < least[c] ? value : least[c];
        greatest[c] = value > greatest[c] ? value : greatest[c];
      }
      id[rank[i]] = unsorted[i];
    }
    const int32_t low = id[0];
    for (int c = 0; c < 3; ++c) {
      box[c * kBlock + lane] = least[c];
      box[(3 + c) * kBlock + lane] = greatest[c];
    }
    lowest[node * kBlock + lane] = low;
  }
}

template <class T>
void fill_levels(T* boxes, int32_t* lowest, int64_t capacity) {
  int64_t below = 0, children = block_count(tree_leaves(capacity));
  for (int level = 1; level < kTreeLevels; ++level) {
    const int64_t first = below + children;
    for (int64_t child = 0; child < children; ++child) {
      T* box = boxes + (first + child / kBlock) * 6 * kBlock;
      int32_t* low = lowest + (first + child / kBlock) * kBlock;
      if (child % kBlock == 0) clear(box, low);
      widen(box, static_cast<int>(child % kBlock), boxes + (below + child) * 6 * kBlock, low,
            lowest + (below + child) * kBlock);
    }
    below = first;
    children = block_count(children);
  }
}

#define TWODASL_INSTANTIATE(T)                                                                                  \
  template bool bounding_box<T>(const T*, int64_t, int64_t, T*);                                                \
  template void curve_keys<T>(const T*, const T*, uint64_t*, int64_t, int64_t);                                 \
  template void refine_keys<T>(const T*, uint64_t*, uint64_t*, int64_t);                                        \
  template void fill_leaves<T>(const T*, const uint64_t*, int64_t, T*, int32_t*, T*, int32_t*, int64_t, int64_t); \
  template void fill_levels<T>(T*, int32_t*, int64_t);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)

}  // namespace twodasl::cpu
