// Sums over runs: an element's list of entries, each with a point that it counts for, sorted by point. A stable sort puts
// what belongs to one point side by side in the order of the entries' numbers. Runs of one point are then added, in double
// precision, as a tree whose shape depends on the element's sorted list alone: eight entries in a thread, 256 in a warp,
// then what warps left unfinished at their borders, and so on. So one point that all entries share takes no longer than
// many points with few entries each.
#pragma once

#include <type_traits>

#include "neighbors_box.h"
#include "sort.h"

namespace twodasl::cuda {

namespace {

constexpr int kRunThreads = 256;
constexpr int kEntries = 8;  // of a thread
constexpr int kTile = kEntries * kWarp;

// A run's point and what has been added up of it. kDropped is the point of what counts nowhere.
struct Sum {
  uint32_t point;
  double x, y, z;
};
constexpr uint32_t kDropped = 0xffffffffu;

struct RunLayout {
  size_t keys, sorted_keys, values, sorted_values, sort, sort_bytes, sums[2], bytes;
  int point_bits;

  RunLayout(int64_t batch, int64_t queries, int64_t points_count) : point_bits(1) {
    while (point_bits < 32 && (int64_t(1) << point_bits) <= points_count) ++point_bits;
    int element_bits = 0;
    while (element_bits < 64 - point_bits && (int64_t(1) << element_bits) < batch) ++element_bits;
    size_t end = 0;
    const auto take = [&end](size_t size) {
      const size_t begin = end;
      end += (size + 255) / 256 * 256;
      return begin;
    };
    const size_t all = static_cast<size_t>(batch * queries);
    keys = take(all * sizeof(uint64_t));
    sorted_keys = take(all * sizeof(uint64_t));
    values = take(all * sizeof(int32_t));
    sorted_values = take(all * sizeof(int32_t));
    sort_bits = point_bits + element_bits;
    sort_bytes = sort_pairs_scratch<uint64_t>(batch * queries, sort_bits);
    sort = take(sort_bytes);
    const int64_t left = 2 * divide_up(queries, kTile);
    sums[0] = take(static_cast<size_t>(batch * left) * sizeof(Sum));
    sums[1] = take(static_cast<size_t>(batch * 2 * divide_up(left, kTile)) * sizeof(Sum));
    bytes = end;
  }
  template <class Number>
  static Number* at(void* scratch, size_t offset) {
    return reinterpret_cast<Number*>(static_cast<unsigned char*>(scratch) + offset);
  }
  int sort_bits;
};

struct Sums {
  const Sum* sums;
  int64_t count;
  __device__ __forceinline__ Sum operator()(int64_t element, int64_t i) const { return sums[element * count + i]; }
};

// Where the sums go.
template <class T>
struct RunTarget {
  T* grad;        // (B, P, 3)
  int64_t batch;
  int64_t count;  // P
};

template <class T>
__device__ __forceinline__ void finish(const RunTarget<T>& params, int64_t element, const Sum& sum) {
  if (sum.point == kDropped) return;
  T* const grad = params.grad + 3 * (element * params.count + sum.point);
  grad[0] = static_cast<T>(sum.x);
  grad[1] = static_cast<T>(sum.y);
  grad[2] = static_cast<T>(sum.z);
}
__device__ __forceinline__ void add(Sum& sum, const Sum& other) {
  sum.x += other.x;
  sum.y += other.y;
  sum.z += other.z;
}
__device__ __forceinline__ Sum from_below(const Sum& sum, int by) {
  return {__shfl_up_sync(kFullMask, sum.point, by), __shfl_up_sync(kFullMask, sum.x, by),
          __shfl_up_sync(kFullMask, sum.y, by), __shfl_up_sync(kFullMask, sum.z, by)};
}

// A warp adds the runs of a tile. Runs inside are finished; those that touch its borders go to the next level's list,
// two places a tile: the first's, and the last's where it is another. The only tile of an element finishes all.
template <class T, class Entries>
__global__ void __launch_bounds__(kRunThreads) run_kernel(RunTarget<T> params, Entries entries, int64_t tiles,
                                                          Sum* next) {
  const int64_t number = int64_t(blockIdx.x) * (kRunThreads / kWarp) + threadIdx.x / kWarp;
  if (number >= params.batch * tiles) return;  // whole warps
  const int64_t element = number / tiles, tile = number % tiles;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t first = tile * kTile + lane * kEntries;
  Sum* const border = tiles > 1 ? next + 2 * number : nullptr;
  const auto at_border = [&](int side, const Sum& sum) {
    if (border != nullptr) {
      border[side] = sum;
    } else {
      finish(params, element, sum);
    }
  };
  // The thread's first run, its last one, and whether they are the same.
  Sum head{kDropped, 0.0, 0.0, 0.0}, tail = head;
  bool whole = true;
#pragma unroll
  for (int i = 0; i < kEntries; ++i) {
    const Sum entry = first + i < entries.count ? entries(element, first + i) : Sum{kDropped, 0.0, 0.0, 0.0};
    if (i == 0) {
      tail = entry;
    } else if (entry.point == tail.point) {
      add(tail, entry);
    } else {
      if (whole) {
        head = tail;
      } else {
        finish(params, element, tail);
      }
      whole = false;
      tail = entry;
    }
  }
  const uint32_t head_point = whole ? tail.point : head.point;
  const uint32_t before = __shfl_up_sync(kFullMask, tail.point, 1);
  const uint32_t after = __shfl_down_sync(kFullMask, head_point, 1);
  const bool joins = lane > 0 && before == head_point;
  // Every lane's last run with what lanes before it have of it; `starts` where it begins inside of the tile.
  int starts = lane == 0 ? !whole : !(whole && joins);
#pragma unroll
  for (int by = 1; by < kWarp; by *= 2) {
    Sum below = from_below(tail, by);
    const int below_starts = __shfl_up_sync(kFullMask, starts, by);
    if (lane >= by && !starts) {
      add(below, tail);
      tail = below;
    }
    if (lane >= by) starts |= below_starts;
  }
  const Sum carried = from_below(tail, 1);
  const int carried_starts = __shfl_up_sync(kFullMask, starts, 1);
  if (!whole) {
    const bool from_border = lane == 0 || (joins && !carried_starts);
    if (joins) {
      Sum sum = carried;
      add(sum, head);
      head = sum;
    }
    if (from_border) {
      at_border(0, head);
    } else {
      finish(params, element, head);
    }
  }
  if (lane == kWarp - 1) {
    at_border(starts ? 1 : 0, tail);
    if (!starts && border != nullptr) border[1] = {tail.point, 0.0, 0.0, 0.0};
  } else if (after != tail.point) {
    if (starts) {
      finish(params, element, tail);
    } else {
      at_border(0, tail);
    }
  }
}

// Sorts an element's `count` entries, whose keys are the element's number, then `point_bits` of the point, and adds them.
// entries_of(sorted_keys, sorted_values, mask) gives those of the first level.
template <class T, class Make>
Error launch_runs(const RunTarget<T>& target, int64_t count, const RunLayout& layout, void* scratch, void* stream,
                  const Make& entries_of) {
  uint64_t* const sorted_keys = RunLayout::at<uint64_t>(scratch, layout.sorted_keys);
  int32_t* const sorted_values = RunLayout::at<int32_t>(scratch, layout.sorted_values);
  Error error = sort_pairs<uint64_t>({RunLayout::at<uint64_t>(scratch, layout.keys), RunLayout::at<int32_t>(scratch, layout.values),
                            sorted_keys, sorted_values, target.batch * count, layout.sort_bits},
                           RunLayout::at<void*>(scratch, layout.sort), layout.sort_bytes, stream);
  int64_t tiles = divide_up(count, kTile);
  int to = 0;
  const auto grid = [&] { return dim3(static_cast<unsigned>(divide_up(target.batch * tiles, kRunThreads / kWarp))); };
  Sum* below = RunLayout::at<Sum>(scratch, layout.sums[to]);
  if (error == nullptr) {
    const uint32_t mask = layout.point_bits < 32 ? (1u << layout.point_bits) - 1 : ~0u;
    const auto entries = entries_of(sorted_keys, sorted_values, mask);
    error = launch(&run_kernel<T, std::decay_t<decltype(entries)>>, grid(), kRunThreads, 0, stream, target, entries,
                   tiles, below);
  }
  while (error == nullptr && tiles > 1) {
    const Sums sums_below{below, 2 * tiles};
    tiles = divide_up(2 * tiles, kTile);
    below = RunLayout::at<Sum>(scratch, layout.sums[to = 1 - to]);
    error = launch(&run_kernel<T, Sums>, grid(), kRunThreads, 0, stream, target, sums_below, tiles, below);
  }
  return error;
}

}  // namespace

}  // namespace twodasl::cuda
