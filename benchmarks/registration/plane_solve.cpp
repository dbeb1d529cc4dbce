// The solve of an iteration of point-to-plane: by L D L^T where the surface holds the source, as icp.h does it, beside the
// eigenvectors that it takes elsewhere. In turn, on one core; microseconds.
//
//   c++ -std=c++17 -O3 -I csrc benchmarks/registration/plane_solve.cpp -o plane_solve && ./plane_solve
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "common/icp_solve.h"

namespace {

using namespace twodasl;

constexpr int kSums = 35, kSets = 256, kRounds = 101;

// The normal equations of 200 pairs on a sheet of this relief.
void fill(double relief, std::mt19937& generator, double* sums) {
  std::normal_distribution<double> normal;
  for (int pair = 0; pair < 200; ++pair) {
    const double x = normal(generator), y = normal(generator), at[3] = {x, y, relief * std::sin(2 * x) * std::cos(y)};
    double n[3] = {-2 * relief * std::cos(2 * x) * std::cos(y), relief * std::sin(2 * x) * std::sin(y), 1.0}, row[8];
    const double length = std::sqrt(n[0] * n[0] + n[1] * n[1] + 1.0);
    for (double& component : n) component /= length;
    for (int r = 0; r < 3; ++r) {
      const int a = (r + 1) % 3, b = (r + 2) % 3;
      row[r] = at[a] * n[b] - at[b] * n[a];
      row[3 + r] = n[r];
    }
    row[6] = n[0] * at[0] + n[1] * at[1] + n[2] * at[2];
    row[7] = 0.01 * normal(generator);
    int k = 0;
    for (int r = 0; r < 7; ++r) {
      for (int c = r; c < 7; ++c) sums[k++] += row[r] * row[c];
    }
    for (int r = 0; r < 7; ++r) sums[k++] += row[r] * row[7];
  }
}

}  // namespace

int main() {
  const double qc[kFrameNumbers] = {0, 0, 0, 1.4}, pose[kPoseNumbers] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1};
  std::mt19937 generator(1);
  for (const double relief : {1.0, 0.1, 0.01, 0.001, 0.0}) {
    std::vector<double> sums(kSets * kSums, 0.0), times[2];
    for (int set = 0; set < kSets; ++set) fill(relief, generator, sums.data() + set * kSums);
    double next[2][kPoseNumbers] = {}, apart = 0.0, step[icp::kPlaneUnknowns];
    for (int round = 0; round < kRounds; ++round) {
      for (int way = 0; way < 2; ++way) {
        const auto start = std::chrono::steady_clock::now();
        for (int set = 0; set < kSets; ++set) {
          const double* of = sums.data() + set * kSums;
          if (way == 0) {
            icp::held_plane_step(of, set % 2, step);
            icp::take_plane_step(step, qc, pose, next[way]);
          } else {
            icp::point_to_plane(of, qc, set % 2, pose, next[way]);
          }
        }
        const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
        times[way].push_back(taken.count() / kSets);
      }
      for (int i = 0; i < kPoseNumbers; ++i) apart = std::max(apart, std::fabs(next[0][i] - next[1][i]));
    }
    for (auto& of : times) std::sort(of.begin(), of.end());
    std::printf("relief %-5g  eigenvectors %.2f (least %.2f)  as it is %.2f (least %.2f)  poses apart %.1g\n", relief,
                times[0][kRounds / 2], times[0][0], times[1][kRounds / 2], times[1][0], apart);
  }
}
