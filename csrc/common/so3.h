// Rotations by a rotation vector: the exponential, its left Jacobian, and second derivatives.
#pragma once

#include <cmath>

#include "host_device.h"

namespace twodasl {

// Of the squared angle t: sin(a) / a, (1 - cos a) / a^2, (a - sin a) / a^3, and what the second derivatives need.
struct TurnSeries {
  double sine, cosine, cubic;                // the coefficients of [w] and [w]^2 in exp([w]) and in its Jacobian
  double d_sine, d_cosine;                   // d / dt of the first two
  double d2_sine, d2_cosine;
};

TWODASL_HOST_DEVICE inline TurnSeries turn_series(double t) {
  TurnSeries s{};
  if (t < 1.0) {
    // sum (-t)^n / (2n + 1)!, and so on: the closed forms cancel here. The eleventh term is below the roundoff.
    constexpr int kTerms = 11;
    double term = 1.0;  // 1 / (2n + 1)!
    double power[3] = {1.0, 0.0, 0.0};  // (-t)^n, n (-1)^n t^(n - 1), n (n - 1) (-1)^n t^(n - 2)
    for (int n = 0; n < kTerms; ++n) {
      const double next = term / (2.0 * n + 2.0), last = next / (2.0 * n + 3.0);
      s.sine += term * power[0], s.cosine += next * power[0], s.cubic += last * power[0];
      s.d_sine += term * power[1], s.d_cosine += next * power[1];
      s.d2_sine += term * power[2], s.d2_cosine += next * power[2];
      power[2] = -(t * power[2] + 2.0 * power[1]);
      power[1] = -(t * power[1] + power[0]);
      power[0] = -t * power[0];
      term = last;
    }
    return s;
  }
  const double angle = std::sqrt(t), cosine = std::cos(angle);
  s.sine = std::sin(angle) / angle;
  s.cosine = (1.0 - cosine) / t;
  s.cubic = (1.0 - s.sine) / t;
  s.d_sine = (cosine - s.sine) / (2.0 * t);
  s.d_cosine = (s.sine - 2.0 * s.cosine) / (2.0 * t);
  s.d2_sine = (-0.5 * s.sine - 3.0 * s.d_sine) / (2.0 * t);
  s.d2_cosine = (s.d_sine - 4.0 * s.d_cosine) / (2.0 * t);
  return s;
}

// one I + first [w] + second [w]^2, row-major; [w]^2 = w w^T - t I.
TWODASL_HOST_DEVICE inline void turn_matrix(const double (&w)[3], double t, double first, double second,
                                            double (&m)[9]) {
  const double skew[9] = {0.0, -w[2], w[1], w[2], 0.0, -w[0], -w[1], w[0], 0.0};
  TWODASL_UNROLL
  for (int i = 0; i < 9; ++i) {
    const double identity = i % 4 == 0 ? 1.0 : 0.0;
    m[i] = identity + first * skew[i] + second * (w[i / 3] * w[i % 3] - identity * t);
  }
}

// rotation = exp([w]), and the left Jacobian J: exp([w + dw]) = exp([J dw]) exp([w]) to first order.
TWODASL_HOST_DEVICE inline void turn_by(const double (&w)[3], double (&rotation)[9], double (&jacobian)[9]) {
  const double t = w[0] * w[0] + w[1] * w[1] + w[2] * w[2];
  const TurnSeries s = turn_series(t);
  turn_matrix(w, t, s.sine, s.cosine, rotation);
  turn_matrix(w, t, s.cosine, s.cubic, jacobian);
}

// The second derivatives of tr(N^T exp([w])) with respect to w, symmetric. With n the axis of N's skew part,
// tr(N^T exp([w])) = tr N + sine(t) n.w + cosine(t) (w^T N w - t tr N).
TWODASL_HOST_DEVICE inline void turn_second(const double (&w)[3], const double (&n)[9], double (&second)[9]) {
  const double t = w[0] * w[0] + w[1] * w[1] + w[2] * w[2], trace = n[0] + n[4] + n[8];
  const TurnSeries s = turn_series(t);
  const double axis[3] = {n[7] - n[5], n[2] - n[6], n[3] - n[1]};
  double form[9], slope[3], along = 0.0, square = 0.0;  // the quadratic form's second derivatives, its first, n.w, itself
  TWODASL_UNROLL
  for (int i = 0; i < 9; ++i) form[i] = n[i] + n[i % 3 * 3 + i / 3] - (i % 4 == 0 ? 2.0 * trace : 0.0);
  TWODASL_UNROLL
  for (int i = 0; i < 3; ++i) {
    slope[i] = form[3 * i] * w[0] + form[3 * i + 1] * w[1] + form[3 * i + 2] * w[2];
    along += axis[i] * w[i];
    square += 0.5 * slope[i] * w[i];
  }
  TWODASL_UNROLL
  for (int i = 0; i < 9; ++i) {
    const int a = i / 3, b = i % 3;
    const double both = w[a] * w[b], identity = a == b ? 1.0 : 0.0;
    second[i] = 2.0 * s.d_sine * (w[a] * axis[b] + axis[a] * w[b] + along * identity) + 4.0 * s.d2_sine * along * both +
                s.cosine * form[i] + 2.0 * s.d_cosine * (w[a] * slope[b] + slope[a] * w[b] + square * identity) +
                4.0 * s.d2_cosine * square * both;
  }
}

}  // namespace twodasl
