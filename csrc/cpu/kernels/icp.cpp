// The passes over the points; see icp.h.
#include "icp.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace twodasl::cpu {

template <class T>
void icp_frame(const IcpFrameParams<T>& params, int pass, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    const IcpPart part = icp_part(task, params.points_count, params.counts);
    const T* points = params.points + 3 * part.element * params.points_count;
    const double* center = params.frame + kFrameNumbers * part.element;
    double sums[3] = {0.0, 0.0, 0.0};
    for (int64_t i = part.first; i < part.last; ++i) {
      for (int c = 0; c < 3; ++c) {
        const double x = static_cast<double>(points[3 * i + c]);
        sums[c] += pass == 0 ? x : (x - center[c]) * (x - center[c]);
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

#define TWODASL_INSTANTIATE(T)                                                   \
  template void icp_frame<T>(const IcpFrameParams<T>&, int, int64_t, int64_t);  \
  template void icp_frame_finish<T>(const IcpFrameParams<T>&, int);             \
  template void icp_move<T>(const IcpMoveParams<T>&, int64_t, int64_t);         \
  template void icp_trim<T>(const IcpUpdateParams<T>&, int64_t, int64_t);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)
#undef TWODASL_INSTANTIATE

}  // namespace twodasl::cpu
