#include "fit_landmarks.h"

namespace twodasl::cpu {

template <class T>
void fit_place(const FitProblem<T>& problem, int64_t face, const double* pose, FitPlace& place) {
  place_face(problem.start.of(face), problem.center, pose, place);
}

void fit_turn_second(const double* pose, const double (&spread)[9], double (&second)[9]) {
  second_by_turn(pose, spread, second);
}

template <class T, class P>
void fit_pack(const FitProblem<T>& problem, P* packed) {
  const FitLayout layout = problem.layout();
  const int64_t numbers = 3 * problem.rows_count, width = layout.width();
  for (int64_t j = 0; j < numbers; ++j) {
    P* const row = packed + j * width;
    for (int64_t i = 0; i < width; ++i) row[i] = P(0);
    for (int64_t k = 0; k < layout.modes; ++k) row[layout.column(k)] = static_cast<P>(problem.modes[k * numbers + j]);
    row[layout.right()] = static_cast<P>(problem.mean[j]) - static_cast<P>(problem.center[j % 3]);
  }
}

template void fit_place(const FitProblem<float>&, int64_t, const double*, FitPlace&);
template void fit_place(const FitProblem<double>&, int64_t, const double*, FitPlace&);
template void fit_pack(const FitProblem<float>&, float*);
template void fit_pack(const FitProblem<double>&, double*);
template void fit_pack(const FitProblem<float>&, double*);

}  // namespace twodasl::cpu
