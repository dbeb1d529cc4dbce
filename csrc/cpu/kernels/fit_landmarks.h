// fit_landmarks on the CPU: what every level shares, and the memory that a task works in. A task is a group of faces.
#pragma once

#include "../../common/fit_point.h"

namespace twodasl::cpu {

// Not inline, so that no level has its own: it takes a sine.
template <class T>
void fit_place(const FitProblem<T>& problem, int64_t face, const double* pose, FitPlace& place);

void fit_turn_second(const double* pose, const double (&spread)[9], double (&second)[9]);

// mean - center and the modes as the kernels read them: (R, 3, width), the modes in the columns of FitLayout and the
// mean in that of the right side, so that one product with (coefficients, 1) is a point.
template <class T, class P>
void fit_pack(const FitProblem<T>& problem, P* packed);

// Numbers of a face and of a task in a scratch of 64-byte lines; `T` is the kernel's arithmetic.
template <class T>
struct FitMemory {
  FitLayout layout;
  int64_t points, padded_points;
  explicit FitMemory(const FitLayout& layout, int64_t points)
      : layout(layout), points(points), padded_points(padded(points)) {}

  static constexpr int64_t kChunkPoints = 32;  // whose rows are in the first-level cache together
  int64_t width() const { return layout.width(); }
  int64_t matrix(int64_t rows) const { return rows * width(); }
  // Of a state: coefficients, pull, arm (3), image error (3), its size, the point's rows.
  int64_t state() const { return 2 * width() + 8 * padded_points; }
  // Of a face: its factor, 1 / diagonal, diagonal, step; target (3), 1 / sigma; two states.
  int64_t face() const { return matrix(layout.local()) + 3 * width() + 4 * padded_points + 2 * state(); }
  // Of a task: rows twice, two blocks of what is shared, its 1 / diagonal and diagonal, prior, whole factor and its
  // inverse, the points before the pose, scales.
  int64_t work() const {
    return 2 * matrix(3 * kChunkPoints) + 2 * matrix(layout.shared) + 3 * width() + 2 * matrix(layout.unknowns()) +
           4 * padded_points;
  }
};

// Bytes on a 64-byte boundary that a task of so many faces works in.
template <class T>
int64_t fit_scratch_bytes(const FitMemory<T>& memory, int64_t faces) {
  constexpr int64_t kFaceRecord = 1024;  // at least what the kernels' own record of a face takes
  return faces * kFaceRecord + int64_t(sizeof(T)) * (memory.work() + faces * memory.face());
}

// The same for the gradients, with the numbers of a face in double precision and slack for whole cache lines.
inline int64_t fit_backward_bytes(const FitMemory<double>& memory, int64_t faces, bool full_precision) {
  const int64_t k = memory.layout.modes, numbers = 4 * memory.points + 64 + (full_precision ? k * k : k) + 3 * k;
  const int64_t task = 4 * memory.width() + 3 * memory.padded_points + 64;
  constexpr int64_t kFaceRecord = 512;  // at least what the kernels' own record of a face's inputs takes
  return fit_scratch_bytes(memory, faces) + faces * kFaceRecord + int64_t(sizeof(double)) * (faces * (numbers + 128) + task);
}

}  // namespace twodasl::cpu
