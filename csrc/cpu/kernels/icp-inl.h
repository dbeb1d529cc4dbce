// The sums over the pairs of a part, at one instruction-set level; see icp.h. Pairs that affect the motion are gathered
// in double precision, kPairs at a time and axis by axis, and then summed a vector at a time.
#pragma once

#include "icp.h"

namespace twodasl::cpu::TWODASL_LEVEL {

constexpr int kPairs = 64;
using Doubles = Vec<double>;

// `count` pairs still to be summed, and the sums so far.
struct PairSums {
  static constexpr int kRows = 8;
  alignas(64) double source[3][kPairs], target[3][kPairs], normal[3][kPairs];  // about the centroids
  alignas(64) double rows[kRows][kPairs];
  alignas(64) double lanes[kPlaneSums - 2][Doubles::lanes];  // of the error, then of what icp_solve() takes
  double matrix[9], offset[3], size;
  int count;

  explicit PairSums(const double* pose, const double* source_center, const double* target_frame) : count(0) {
    for (auto& sum : lanes) {
      for (double& x : sum) x = 0.0;
    }
    size = target_frame[3] > 0.0 ? 1.0 / target_frame[3] : 1.0;
    for (int i = 0; i < 9; ++i) matrix[i] = pose[12] * pose[i];
    for (int r = 0; r < 3; ++r) {
      const double* m = matrix + 3 * r;
      offset[r] = m[0] * source_center[0] + m[1] * source_center[1] + m[2] * source_center[2] +
                  (pose[9 + r] - target_frame[r]);
    }
  }

  void add_to(int k, Doubles sum) { store(lanes[k], add(load(lanes[k]), sum)); }

  // Where the pose takes the sources of pairs [i, i + lanes), and how far that is from their targets.
  void move(int i, Doubles (&moved)[3], Doubles (&difference)[3]) const {
    const Doubles x = load(source[0] + i), y = load(source[1] + i), z = load(source[2] + i);
    for (int r = 0; r < 3; ++r) {
      const double* m = matrix + 3 * r;
      moved[r] = fma(broadcast(m[0]), x, fma(broadcast(m[1]), y, fma(broadcast(m[2]), z, broadcast(offset[r]))));
      difference[r] = sub(moved[r], load(target[r] + i));
    }
  }

  // Pads with pairs that add nothing to a sum; their error is cleared.
  int pad() {
    const int padded = (count + Doubles::lanes - 1) / Doubles::lanes * Doubles::lanes;
    for (int i = count; i < padded && i < kPairs; ++i) {
      for (int c = 0; c < 3; ++c) source[c][i] = target[c][i] = normal[c][i] = 0.0;
    }
    return padded;
  }

  void add_points() {
    const int padded = pad();
    double* const error = rows[0];
    for (int i = 0; i < padded; i += Doubles::lanes) {
      Doubles moved[3], d[3];
      move(i, moved, d);
      store(error + i, fma(d[0], d[0], fma(d[1], d[1], mul(d[2], d[2]))));
    }
    for (int i = count; i < padded; ++i) error[i] = 0.0;
    Doubles sums[8];
    for (Doubles& sum : sums) sum = broadcast(0.0);
    for (int i = 0; i < padded; i += Doubles::lanes) {
      sums[0] = add(sums[0], load(error + i));
      for (int r = 0; r < 3; ++r) {
        const Doubles p = load(source[r] + i);
        sums[1 + r] = add(sums[1 + r], p);
        sums[4 + r] = add(sums[4 + r], load(target[r] + i));
        sums[7] = fma(p, p, sums[7]);
      }
    }
    for (int k = 0; k < 7; ++k) add_to(k, sums[k]);
    add_to(16, sums[7]);
    Doubles products[9];
    for (Doubles& sum : products) sum = broadcast(0.0);
    for (int i = 0; i < padded; i += Doubles::lanes) {
      for (int c = 0; c < 3; ++c) {
        const Doubles p = load(source[c] + i);
        for (int r = 0; r < 3; ++r) products[3 * r + c] = fma(load(target[r] + i), p, products[3 * r + c]);
      }
    }
    for (int k = 0; k < 9; ++k) add_to(7 + k, products[k]);
    count = 0;
  }

  // Row kFirst of the normal equations, and all that follow. Its last number is the residual.
  template <int kFirst>
  void add_rows(int padded, int k) {
    Doubles sums[kRows - kFirst];
    for (Doubles& sum : sums) sum = broadcast(0.0);
    for (int i = 0; i < padded; i += Doubles::lanes) {
      const Doubles first = load(rows[kFirst] + i);
      for (int c = kFirst; c < kRows; ++c) sums[c - kFirst] = fma(first, load(rows[c] + i), sums[c - kFirst]);
    }
    constexpr int kUnknowns = kRows - 1, kRight = 1 + kUnknowns * (kUnknowns + 1) / 2;
    for (int c = kFirst; c < kUnknowns; ++c) add_to(k++, sums[c - kFirst]);
    if constexpr (kFirst < kUnknowns) {
      add_to(kRight + kFirst, sums[kUnknowns - kFirst]);
      add_rows<kFirst + 1>(padded, k);
    } else {
      add_to(0, sums[0]);
    }
  }

  void add_planes() {
    const int padded = pad();
    for (int i = 0; i < padded; i += Doubles::lanes) {
      Doubles at[3], d[3];
      move(i, at, d);
      const Doubles n[3] = {load(normal[0] + i), load(normal[1] + i), load(normal[2] + i)};
      for (Doubles& x : at) x = mul(x, broadcast(size));
      // d residual / d (turn, shift, log scale), all as lengths at the target's size; then the residual.
      for (int r = 0; r < 3; ++r) {
        const int a = (r + 1) % 3, b = (r + 2) % 3;
        store(rows[r] + i, sub(mul(at[a], n[b]), mul(at[b], n[a])));
        store(rows[3 + r] + i, n[r]);
      }
      store(rows[6] + i, fma(n[0], at[0], fma(n[1], at[1], mul(n[2], at[2]))));
      store(rows[7] + i, fma(n[0], d[0], fma(n[1], d[1], mul(n[2], d[2]))));
    }
    add_rows<0>(padded, 1);
    count = 0;
  }
};

template <class T>
void icp_accumulate(const IcpUpdateParams<T>& params, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    const IcpPart part = icp_part(task, params.source_count, params.counts);
    const int64_t element = part.element, first = element * params.source_count;
    const T *source = params.source + 3 * first, *squared = params.squared + first;
    const T* target = params.target + 3 * element * params.target_count;
    const T* normals = params.normals ? params.normals + 3 * element * params.target_count : nullptr;
    const int64_t* indices = params.indices + first;
    const double *pc = params.source_frame + kFrameNumbers * element,
                 *qc = params.target_frame + kFrameNumbers * element;
    PairSums sums(params.pose + kPoseNumbers * element, pc, qc);
    const T threshold = params.threshold[element];
    double counted = 0.0, used = 0.0;
    constexpr int64_t kAhead = 16;
    for (int64_t i = part.first; i < part.last; ++i) {
      if (i + kAhead < part.last && indices[i + kAhead] >= 0 && indices[i + kAhead] < params.target_count) {
        __builtin_prefetch(target + 3 * indices[i + kAhead]);
      }
      if (!(squared[i] <= threshold)) continue;
      const int64_t j = indices[i];
      if (j < 0 || j >= params.target_count) continue;
      const T* n = normals ? normals + 3 * j : nullptr;
      if (n && n[0] == T(0) && n[1] == T(0) && n[2] == T(0)) continue;  // a vertex without triangles has no plane
      counted += 1.0;
      if (!(static_cast<double>(squared[i]) <= params.max_squared)) continue;
      used += 1.0;
      for (int c = 0; c < 3; ++c) {
        sums.source[c][sums.count] = static_cast<double>(source[3 * i + c]) - pc[c];
        sums.target[c][sums.count] = static_cast<double>(target[3 * j + c]) - qc[c];
        if (n) sums.normal[c][sums.count] = static_cast<double>(n[c]);
      }
      if (++sums.count < kPairs) continue;
      n ? sums.add_planes() : sums.add_points();
    }
    if (sums.count > 0) normals ? sums.add_planes() : sums.add_points();
    double* output = params.partial + task * icp_sums(params);
    output[0] = counted;
    output[1] = used;
    for (int64_t k = 2; k < icp_sums(params); ++k) output[k] = sum(load(sums.lanes[k - 2]));
    if (counted > used) output[2] += (counted - used) * params.max_squared;
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
