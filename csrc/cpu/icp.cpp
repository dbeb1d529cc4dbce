// The passes over the points; see icp.h.
#include "icp.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace twodasl::cpu {

namespace {

struct Part {
  int64_t element, first, last;  // points [first, last) of the element, none past its count
};

inline Part part_of(int64_t task, int64_t points_count, const int64_t* counts) {
  const int64_t parts = icp_parts(points_count), element = task / parts, first = task % parts * kIcpPart;
  return {element, first, std::max(first, std::min(first + kIcpPart, counts[element]))};
}

}  // namespace

template <class T>
void icp_frame(const IcpFrameParams<T>& params, int pass, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    const Part part = part_of(task, params.points_count, params.counts);
    const T* points = params.points + 3 * part.element * params.points_count;
    const double* centre = params.frame + kFrameNumbers * part.element;
    double sums[3] = {0.0, 0.0, 0.0};
    for (int64_t i = part.first; i < part.last; ++i) {
      for (int c = 0; c < 3; ++c) {
        const double x = static_cast<double>(points[3 * i + c]);
        sums[c] += pass == 0 ? x : (x - centre[c]) * (x - centre[c]);
      }
    }
    for (int c = 0; c < 3; ++c) params.partial[3 * task + c] = sums[c];
  }
}

template <class T>
void icp_frame_finish(const IcpFrameParams<T>& params, int pass) {
  const int64_t parts = icp_parts(params.points_count);
  for (int64_t element = 0; element < params.batch; ++element) {
    double sums[3] = {0.0, 0.0, 0.0};
    for (int64_t part = 0; part < parts; ++part) {
      for (int c = 0; c < 3; ++c) sums[c] += params.partial[3 * (element * parts + part) + c];
    }
    const double count = static_cast<double>(std::max<int64_t>(params.counts[element], 1));
    double* frame = params.frame + kFrameNumbers * element;
    if (pass == 0) {
      for (int c = 0; c < 3; ++c) frame[c] = sums[c] / count;
    } else {
      frame[3] = std::sqrt((sums[0] + sums[1] + sums[2]) / count);
    }
  }
}

template <class T>
void icp_move(const IcpMoveParams<T>& params, int64_t begin, int64_t end) {
  while (begin < end) {
    const int64_t element = begin / params.points_count;
    const int64_t last = std::min(end, (element + 1) * params.points_count);
    const double* pose = params.pose + kPoseNumbers * element;
    double m[9];
    for (int i = 0; i < 9; ++i) m[i] = pose[12] * pose[i];
    const double t0 = pose[9], t1 = pose[10], t2 = pose[11];
    for (int64_t i = begin; i < last; ++i) {
      const double x = params.points[3 * i], y = params.points[3 * i + 1], z = params.points[3 * i + 2];
      params.output[3 * i] = static_cast<T>(m[0] * x + m[1] * y + m[2] * z + t0);
      params.output[3 * i + 1] = static_cast<T>(m[3] * x + m[4] * y + m[5] * z + t1);
      params.output[3 * i + 2] = static_cast<T>(m[6] * x + m[7] * y + m[8] * z + t2);
    }
    begin = last;
  }
}

namespace {

// Squared distances are not negative, so the upper bits of a float order them: 16 bins an octave.
inline uint32_t bin_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits >> 19;
}
inline constexpr int kBins = 4096;

// The rank-th smallest (from 0): a histogram finds its bin, and only that is sorted.
template <class T>
T select(const T* values, int64_t count, int64_t rank, T* candidates) {
  int32_t histogram[kBins] = {};
  for (int64_t i = 0; i < count; ++i) ++histogram[bin_of(static_cast<float>(values[i])) % kBins];
  uint32_t bin = 0;
  while (bin + 1 < kBins && rank >= histogram[bin]) rank -= histogram[bin++];
  int64_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (bin_of(static_cast<float>(values[i])) % kBins == bin) candidates[found++] = values[i];
  }
  rank = std::min(rank, found - 1);
  std::nth_element(candidates, candidates + rank, candidates + found);
  return candidates[rank];
}

}  // namespace

template <class T>
void icp_trim(const IcpUpdateParams<T>& params, int64_t begin, int64_t end) {
  for (int64_t element = begin; element < end; ++element) {
    const int64_t count = params.counts[element], first = element * params.source_count;
    params.threshold[element] = std::numeric_limits<T>::infinity();
    if (count == 0 || !(params.trim > 0.0)) continue;
    const int64_t kept = static_cast<int64_t>(std::ceil((1.0 - params.trim) * static_cast<double>(count)));
    const int64_t rank = std::min(std::max<int64_t>(kept, 1), count) - 1;
    params.threshold[element] = select(params.squared + first, count, rank, params.candidates + first);
  }
}

template <class T>
void icp_accumulate(const IcpUpdateParams<T>& params, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    const Part part = part_of(task, params.source_count, params.counts);
    const int64_t element = part.element, first = element * params.source_count;
    const T *source = params.source + 3 * first, *squared = params.squared + first;
    const T* target = params.target + 3 * element * params.target_count;
    const T* normals = params.normals ? params.normals + 3 * element * params.target_count : nullptr;
    const int64_t* indices = params.indices + first;
    const double* pose = params.pose + kPoseNumbers * element;
    const double *pc = params.source_frame + kFrameNumbers * element,
                 *qc = params.target_frame + kFrameNumbers * element;
    const double size = qc[3] > 0.0 ? 1.0 / qc[3] : 1.0;
    const T threshold = params.threshold[element];
    // The pose between the clouds about their centroids: p - pc -> m p + b, beside q - qc.
    double m[9], b[3];
    for (int i = 0; i < 9; ++i) m[i] = pose[12] * pose[i];
    for (int r = 0; r < 3; ++r) {
      b[r] = m[3 * r] * pc[0] + m[3 * r + 1] * pc[1] + m[3 * r + 2] * pc[2] + (pose[9 + r] - qc[r]);
    }
    double counted = 0.0, used = 0.0, error = 0.0;
    double sums[kPlaneSums - 3] = {};
    for (int64_t i = part.first; i < part.last; ++i) {
      if (!(squared[i] <= threshold)) continue;
      const int64_t j = indices[i];
      if (j < 0 || j >= params.target_count) continue;
      const T* n = normals ? normals + 3 * j : nullptr;
      if (n && n[0] == T(0) && n[1] == T(0) && n[2] == T(0)) continue;  // a vertex of no triangle has no plane
      counted += 1.0;
      if (!(static_cast<double>(squared[i]) <= params.max_squared)) {
        error += params.max_squared;
        continue;
      }
      used += 1.0;
      const double p[3] = {source[3 * i] - pc[0], source[3 * i + 1] - pc[1], source[3 * i + 2] - pc[2]};
      const double q[3] = {target[3 * j] - qc[0], target[3 * j + 1] - qc[1], target[3 * j + 2] - qc[2]};
      double moved[3];
      for (int r = 0; r < 3; ++r) moved[r] = m[3 * r] * p[0] + m[3 * r + 1] * p[1] + m[3 * r + 2] * p[2] + b[r];
      const double d[3] = {moved[0] - q[0], moved[1] - q[1], moved[2] - q[2]};
      if (!n) {
        error += d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
        for (int r = 0; r < 3; ++r) {
          sums[r] += p[r];
          sums[3 + r] += q[r];
          for (int c = 0; c < 3; ++c) sums[6 + 3 * r + c] += q[r] * p[c];
        }
        sums[15] += p[0] * p[0] + p[1] * p[1] + p[2] * p[2];
        continue;
      }
      const double nx = n[0], ny = n[1], nz = n[2], residual = nx * d[0] + ny * d[1] + nz * d[2];
      const double x = size * moved[0], y = size * moved[1], z = size * moved[2];
      error += residual * residual;
      // d residual / d (turn, shift, log scale), all as lengths at the target's size.
      const double row[7] = {y * nz - z * ny, z * nx - x * nz, x * ny - y * nx, nx, ny, nz, nx * x + ny * y + nz * z};
      int k = 0;
      for (int r = 0; r < 7; ++r) {
        for (int c = r; c < 7; ++c) sums[k++] += row[r] * row[c];
      }
      for (const double x_r : row) sums[k++] += x_r * residual;
    }
    double* output = params.partial + task * icp_sums(params);
    output[0] = counted;
    output[1] = used;
    output[2] = error;
    for (int64_t i = 3; i < icp_sums(params); ++i) output[i] = sums[i - 3];
  }
}

#define TWODASL_INSTANTIATE(T)                                                   \
  template void icp_frame<T>(const IcpFrameParams<T>&, int, int64_t, int64_t);  \
  template void icp_frame_finish<T>(const IcpFrameParams<T>&, int);             \
  template void icp_move<T>(const IcpMoveParams<T>&, int64_t, int64_t);         \
  template void icp_trim<T>(const IcpUpdateParams<T>&, int64_t, int64_t);       \
  template void icp_accumulate<T>(const IcpUpdateParams<T>&, int64_t, int64_t);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)
#undef TWODASL_INSTANTIATE

}  // namespace twodasl::cpu
