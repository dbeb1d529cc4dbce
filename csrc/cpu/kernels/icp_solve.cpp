// From the sums over the pairs to the next pose; see icp.h.
#include <algorithm>
#include <cmath>

#include "../../common/icp_solve.h"
#include "icp.h"

namespace twodasl::cpu {

template <class T>
void icp_solve(const IcpUpdateParams<T>& params, int64_t begin, int64_t end) {
  const int64_t parts = icp_parts(params.source_count), count = icp_sums(params);
  for (int64_t element = begin; element < end; ++element) {
    double sums[kPlaneSums] = {};
    for (int64_t part = 0; part < parts; ++part) {
      const double* partial = params.partial + (element * parts + part) * count;
      for (int64_t i = 0; i < count; ++i) sums[i] += partial[i];
    }
    const double counted = sums[0], used = sums[1];
    double* statistics = params.statistics + kIcpStatistics * element;
    statistics[0] = counted > 0.0 ? sums[2] / counted : 0.0;
    statistics[1] = counted;
    statistics[2] = used;
    const double* pose = params.pose + kPoseNumbers * element;
    double* next = params.next + kPoseNumbers * element;
    for (int64_t i = 0; i < kPoseNumbers; ++i) next[i] = pose[i];
    if (!(used > 0.0)) continue;
    const double *pc = params.source_frame + kFrameNumbers * element,
                 *qc = params.target_frame + kFrameNumbers * element;
    if (params.normals) {
      icp::point_to_plane(sums + 3, qc, params.scale, pose, next);
    } else {
      icp::point_to_point(used, sums + 3, pc, qc, params.scale, params.recenter, pose, next);
    }
    // The numbers overflowed for clouds of such a size: no step is better than an invalid pose.
    bool finite = true;
    for (int64_t i = 0; i < kPoseNumbers; ++i) finite = finite && std::isfinite(next[i]);
    for (int64_t i = 0; i < kPoseNumbers && !finite; ++i) next[i] = pose[i];
  }
}

template void icp_solve<float>(const IcpUpdateParams<float>&, int64_t, int64_t);
template void icp_solve<double>(const IcpUpdateParams<double>&, int64_t, int64_t);

}  // namespace twodasl::cpu
