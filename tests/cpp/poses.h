// Poses whose shape can be recovered from the posed vertices, and poses whose shape cannot.
#pragma once

#include "oracle.h"

namespace twodasl::test {

enum class Pose {
  easy,        // a scaled rotation, mirrored at times, and a translation of the shape's size
  flat,        // the third row zero: a projection into the image
  singular,    // rows along one line
  zero,
  nearly_flat, // invertible, at the cost of most digits
  far_away,    // a translation that leaves the shape few digits
  not_finite,  // a NaN in M
};
inline constexpr Pose kHardPoses[] = {Pose::flat, Pose::singular, Pose::zero, Pose::nearly_flat, Pose::far_away};
inline constexpr int64_t kHardPoseCount = sizeof(kHardPoses) / sizeof(kHardPoses[0]);

template <class T>
void set_pose(Pose pose, Random& random, T* output) {
  // A rotation from a unit quaternion.
  double q[4], squares = 0.0;
  do {
    squares = 0.0;
    for (double& x : q) {
      x = random.uniform(-1.0, 1.0);
      squares += x * x;
    }
  } while (squares < 0.1);
  const double s = 2.0 / squares, scale = std::exp(random.uniform(-3.0, 3.0)) * (random.below(2) ? 1.0 : -1.0);
  const double w = q[0], x = q[1], y = q[2], z = q[3];
  double m[9] = {1 - s * (y * y + z * z), s * (x * y - z * w),     s * (x * z + y * w),
                 s * (x * y + z * w),     1 - s * (x * x + z * z), s * (y * z - x * w),
                 s * (x * z - y * w),     s * (y * z + x * w),     1 - s * (x * x + y * y)};
  for (int i = 6; i < 9; ++i) m[i] *= pose == Pose::flat ? 0.0 : pose == Pose::nearly_flat ? 1e-2 : 1.0;
  for (int i = 3; pose == Pose::singular && i < 9; ++i) m[i] = (i / 3 + 0.5) * m[i % 3];
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) output[4 * r + c] = static_cast<T>(pose == Pose::zero ? 0.0 : scale * m[3 * r + c]);
    const double far_off = pose == Pose::far_away ? 1e5 : 1.0;
    output[4 * r + 3] = static_cast<T>(far_off * scale * random.uniform(0.1, 0.5));
  }
  if (pose == Pose::not_finite) output[5] = std::numeric_limits<T>::quiet_NaN();
}

}  // namespace twodasl::test
