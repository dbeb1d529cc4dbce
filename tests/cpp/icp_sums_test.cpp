// What the steps of iterative_closest_point sum up, against loops in extended precision.
#include "icp.h"
#include "levels.h"

namespace twodasl::test {

namespace {

constexpr double kUnit = kRoundoff<double>;

template <class T>
const cpu::Kernels<T>& kernels(const cpu::Level& level) {
  if constexpr (sizeof(T) == 4) {
    return level.f32;
  } else {
    return level.f64;
  }
}

// ---- the frame of a cloud ---------------------------------------------------------------------------------------
template <class T>
void check_frame() {
  for (const Counts& sizes : cloud_sizes()) {
    std::vector<unsigned char> first;
    for (const Place place : kPlaces) {
      const Clouds<T> clouds(place, sizes);
      for (const int threads : splits(place)) {
        const int64_t tasks = clouds.batch * icp_parts(clouds.n);
        Array<double> partial(place, 3 * tasks), frame(place, kFrameNumbers * clouds.batch);
        const IcpFrameParams<T> params{clouds.source.data(), clouds.counts.data(), partial.data(), frame.data(),
                                       clouds.batch, clouds.n};
        for (int pass = 0; pass < 2; ++pass) {
          split(tasks, threads, [&](int64_t begin, int64_t end) { cpu::icp_frame(params, pass, begin, end); });
          cpu::icp_frame_finish(params, pass);
        }
        ASSERT_TRUE(partial.untouched_around() && frame.untouched_around());
        if (first.empty()) first = frame.bits();
        ASSERT_EQ(frame.bits(), first);
        for (int64_t b = 0; b < clouds.batch; ++b) {
          const int64_t count = clouds.counts[b];
          const double share = 1.0 / static_cast<double>(std::max<int64_t>(count, 1));
          Term squares;
          for (int64_t c = 0; c < 3; ++c) {
            Term center;
            for (int64_t i = 0; i < count; ++i) center = center + Term(widen(clouds.source[3 * (b * clouds.n + i) + c]));
            center = center * Term(share);
            // As many additions as points meet the first one, and the division.
            EXPECT_TRUE(near(frame[kFrameNumbers * b + c], center, count + 2, kUnit));
            for (int64_t i = 0; i < count; ++i) {
              const Term d = Term(widen(clouds.source[3 * (b * clouds.n + i) + c])) - center;
              squares = squares + d * d * Term(share);
            }
          }
          // The centroid's own error enters twice; the root halves all.
          const double square = frame[kFrameNumbers * b + 3] * frame[kFrameNumbers * b + 3];
          EXPECT_TRUE(near(square, squares, 5 * count + 10, kUnit));
        }
      }
    }
  }
}
TEST(IcpFrame, Float32) { check_frame<float>(); }
TEST(IcpFrame, Float64) { check_frame<double>(); }

// ---- the move ---------------------------------------------------------------------------------------------------
template <class T>
void check_move() {
  for (const Counts& sizes : cloud_sizes()) {
    for (const Place place : kPlaces) {
      const Clouds<T> clouds(place, sizes);
      for (const int threads : splits(place)) {
        Array<T> moved(place, 3 * clouds.batch * clouds.n);
        const IcpMoveParams<T> params{clouds.source.data(), clouds.pose.data(), moved.data(), clouds.batch, clouds.n};
        split(clouds.batch * clouds.n, threads, [&](int64_t begin, int64_t end) { cpu::icp_move(params, begin, end); });
        ASSERT_TRUE(moved.untouched_around());
        for (int64_t b = 0; b < clouds.batch; ++b) {
          const double* pose = clouds.pose.data() + kPoseNumbers * b;
          for (int64_t i = 0; i < clouds.counts[b]; ++i) {
            for (int64_t r = 0; r < 3; ++r) {
              Term sum(pose[9 + r]);
              for (int64_t c = 0; c < 3; ++c) {
                sum = sum + Term(pose[12]) * Term(pose[3 * r + c]) * Term(widen(clouds.source[3 * (b * clouds.n + i) + c]));
              }
              // Five roundings in double precision, and one to T of the result, no larger than its terms.
              EXPECT_TRUE(near(widen(moved[3 * (b * clouds.n + i) + r]), sum, 1, kRoundoff<T> + 6 * kUnit));
            }
          }
        }
      }
    }
  }
}
TEST(IcpMove, Float32) { check_move<float>(); }
TEST(IcpMove, Float64) { check_move<double>(); }

// ---- trimming ---------------------------------------------------------------------------------------------------
template <class T>
void check_trim() {
  const T infinity = std::numeric_limits<T>::infinity();
  for (const Counts& sizes : cloud_sizes()) {
    for (const Place place : kPlaces) {
      for (const int kind : {0, 1, 2, 3}) {
        Clouds<T> clouds(place, sizes);
        Random random(7);
        for (int64_t i = 0; i < clouds.squared.size(); ++i) {
          if (kind == 1) clouds.squared[i] = static_cast<T>(random.uniform(0.0, 1e-6) * random.uniform(0.0, 1e6));
          if (kind == 2) clouds.squared[i] = random.below(2) ? infinity : T(0);
          if (kind == 3) clouds.squared[i] = std::numeric_limits<T>::denorm_min() * static_cast<T>(random.below(50));
        }
        for (const double trim : {0.0, 1e-9, 0.2, 0.5, 0.999}) {
          Step<T> step(place, clouds, false, trim, 1.0);
          split(clouds.batch, 1, [&](int64_t begin, int64_t end) { cpu::icp_trim(step.params, begin, end); });
          ASSERT_TRUE(step.untouched_around());
          for (int64_t b = 0; b < clouds.batch; ++b) {
            std::vector<T> values(clouds.squared.begin() + b * clouds.n, clouds.squared.begin() + b * clouds.n + clouds.counts[b]);
            std::sort(values.begin(), values.end());
            T expected = infinity;
            if (trim > 0.0 && !values.empty()) {
              const double kept = std::ceil((1.0 - trim) * static_cast<double>(values.size()));
              expected = values[static_cast<size_t>(std::max(kept, 1.0)) - 1];
            }
            ASSERT_EQ(step.threshold[b], expected) << "trim " << trim << ", " << values.size() << " values";
          }
        }
      }
    }
  }
}
TEST(IcpTrim, Float32) { check_trim<float>(); }
TEST(IcpTrim, Float64) { check_trim<double>(); }

// ---- the sums ---------------------------------------------------------------------------------------------------
// All sums of a part, pair by pair.
template <class T>
std::vector<Term> sums_of(const Clouds<T>& clouds, const Step<T>& step, int64_t task) {
  const IcpUpdateParams<T>& params = step.params;
  const int64_t parts = icp_parts(clouds.n), b = task / parts, first = task % parts * kIcpPart;
  const double *pose = clouds.pose.data() + kPoseNumbers * b, *pc = clouds.source_frame.data() + kFrameNumbers * b,
               *qc = clouds.target_frame.data() + kFrameNumbers * b;
  std::vector<Term> sums(static_cast<size_t>(cpu::icp_sums(params)));
  const auto add = [&](int64_t k, Term term) { sums[static_cast<size_t>(k)] = sums[static_cast<size_t>(k)] + term; };
  for (int64_t i = first; i < std::min(first + kIcpPart, clouds.counts[b]); ++i) {
    const int64_t m = b * clouds.n + i, j = clouds.indices[m];
    if (clouds.squared[m] > step.threshold[b] || j < 0 || j >= clouds.p) continue;
    const T* normal = clouds.normals.data() + 3 * (b * clouds.p + j);
    if (params.normals && normal[0] == 0 && normal[1] == 0 && normal[2] == 0) continue;
    add(0, 1.0);
    if (widen(clouds.squared[m]) > params.max_squared) {
      add(2, params.max_squared);
      continue;
    }
    add(1, 1.0);
    Term p[3], q[3], at[3], d[3], n[3];
    for (int c = 0; c < 3; ++c) {
      p[c] = Term(widen(clouds.source[3 * m + c])) - Term(pc[c]);
      q[c] = Term(widen(clouds.target[3 * (b * clouds.p + j) + c])) - Term(qc[c]);
      n[c] = Term(widen(normal[c]));
    }
    for (int r = 0; r < 3; ++r) {
      at[r] = Term(pose[9 + r]) - Term(qc[r]);
      for (int c = 0; c < 3; ++c) at[r] = at[r] + Term(pose[12]) * Term(pose[3 * r + c]) * (p[c] + Term(pc[c]));
      d[r] = at[r] - q[r];
    }
    if (!params.normals) {
      for (int r = 0; r < 3; ++r) {
        add(2, d[r] * d[r]);
        add(3 + r, p[r]);
        add(6 + r, q[r]);
        for (int c = 0; c < 3; ++c) add(9 + 3 * r + c, q[r] * p[c]);
        add(18, p[r] * p[r]);
      }
      continue;
    }
    const Term size(1.0 / qc[3]);
    Term row[7], residual;
    for (int r = 0; r < 3; ++r) {
      const int s = (r + 1) % 3, t = (r + 2) % 3;
      row[r] = size * (at[s] * n[t] - at[t] * n[s]);
      row[3 + r] = n[r];
      row[6] = row[6] + size * n[r] * at[r];
      residual = residual + n[r] * d[r];
    }
    add(2, residual * residual);
    int64_t k = 3;
    for (int r = 0; r < 7; ++r) {
      for (int c = r; c < 7; ++c) add(k++, row[r] * row[c]);
    }
    for (int r = 0; r < 7; ++r) add(k++, row[r] * residual);
  }
  return sums;
}

class IcpSums : public LevelTest {};
TWODASL_FOR_EVERY_LEVEL(IcpSums);

template <class T>
void check_sums(const cpu::Level& level) {
  for (const Counts& sizes : cloud_sizes()) {
    for (const bool planes : {false, true}) {
      for (const auto& [trim, max_squared] :
           {std::pair{0.0, HUGE_VAL}, {0.3, HUGE_VAL}, {0.0, 4.0}, {0.3, 2.0}, {0.0, 1e-3}}) {
        SCOPED_TRACE(testing::Message() << "N = " << sizes.source << ", " << (planes ? "planes" : "points") << ", trim "
                                        << trim << ", max " << max_squared);
        std::vector<unsigned char> first;
        for (const Place place : kPlaces) {
          Clouds<T> clouds(place, sizes);
          if (clouds.batch > 0 && clouds.counts[0] > 5) clouds.indices[4] = -1, clouds.indices[5] = clouds.p;
          for (const int threads : splits(place)) {
            Step<T> step(place, clouds, planes, trim, max_squared);
            cpu::icp_trim(step.params, 0, clouds.batch);
            split(step.tasks(), threads,
                  [&](int64_t begin, int64_t end) { kernels<T>(level).icp_accumulate(step.params, begin, end); });
            ASSERT_TRUE(step.untouched_around());
            if (first.empty()) first = step.partial.bits();
            ASSERT_EQ(step.partial.bits(), first);
            if (threads != 1) continue;
            for (int64_t task = 0; task < step.tasks(); ++task) {
              const std::vector<Term> expected = sums_of(clouds, step, task);
              for (int64_t k = 0; k < cpu::icp_sums(step.params); ++k) {
                // A term meets an addition a pair, and twice 16 roundings where it is a square of rows or residuals.
                ASSERT_TRUE(near(step.partial[task * cpu::icp_sums(step.params) + k], expected[static_cast<size_t>(k)],
                                 kIcpPart + 32, kUnit))
                    << "sum " << k << " of part " << task;
              }
            }
          }
        }
      }
    }
  }
}

TEST_P(IcpSums, Float32) { check_sums<float>(level()); }
TEST_P(IcpSums, Float64) { check_sums<double>(level()); }

}  // namespace

}  // namespace twodasl::test
