// Which faces' shapes are taken from the forward's result, in which order, and the sums' last step for rows of both
// kinds; see cpu/kernels/recover.h and cpu/kernels/reduce.h.
#include "checked.h"
#include "poses.h"

namespace twodasl::test {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
void check_invert() {
  Random random(21);
  double inverse[9];
  for (int i = 0; i < 200; ++i) {
    Array<T> pose(kPlaces[i % 3], 12);
    set_pose(Pose::easy, random, pose.data());
    ASSERT_TRUE(checked::invert(pose.data(), inverse));
    for (int r = 0; r < 3; ++r) {
      for (int c = 0; c < 3; ++c) {
        double product = 0.0;
        for (int j = 0; j < 3; ++j) product += widen(pose[4 * r + j]) * inverse[3 * j + c];
        ASSERT_NEAR(product, r == c ? 1.0 : 0.0, 50 * kRoundoff<double>);
      }
    }
    for (const Pose hard : {Pose::flat, Pose::singular, Pose::zero, Pose::nearly_flat, Pose::not_finite}) {
      set_pose(hard, random, pose.data());
      ASSERT_FALSE(checked::invert(pose.data(), inverse)) << "pose " << static_cast<int>(hard);
    }
  }
  // The last matrix that is inverted, diag(1, 1, x), has norms whose product is 64.
  for (const double x : {0.0220, 0.0222}) {
    const double square = (2 + x * x) * (2 + 1 / (x * x));
    Array<T> pose(Place::exact, 12);
    std::fill(pose.begin(), pose.end(), T(0));
    pose[0] = pose[5] = T(1);
    pose[10] = static_cast<T>(x);
    EXPECT_EQ(checked::invert(pose.data(), inverse), square < 4096.0) << x;
  }
  for (const double x : {kInfinity, -kInfinity, widen(std::numeric_limits<T>::max()),
                         widen(std::numeric_limits<T>::denorm_min())}) {
    Array<T> pose(Place::exact, 12);
    set_pose(Pose::easy, random, pose.data());
    pose[6] = static_cast<T>(x);
    if (std::fabs(x) > 1.0) {
      EXPECT_FALSE(checked::invert(pose.data(), inverse)) << x;
    } else {
      checked::invert(pose.data(), inverse);
    }
  }
}

TEST(Invert, Float32) { check_invert<float>(); }
TEST(Invert, Float64) { check_invert<double>(); }

// A face of `vertices` vertices at `extent` from the translation (t, 0, 0).
bool recovers(int64_t vertices, double t, double extent) {
  const double pose[12] = {1, 0, 0, t, 0, 1, 0, 0, 0, 0, 1, 0};
  Array<double> posed(Place::fenced, 3 * vertices);
  for (int64_t i = 0; i < posed.size(); ++i) posed[i] = i % 3 == 0 ? t + extent : extent;
  return checked::recoverable(pose, posed.data(), vertices);
}

TEST(Recoverable, AsksForAShapeThatIsNotSmallBesideItsTranslation) {
  for (const int64_t vertices : {1, 2, 7, 8, 9, 1000}) {
    EXPECT_TRUE(recovers(vertices, 0.0, 1.0));
    EXPECT_TRUE(recovers(vertices, 15.0, 1.0));
    EXPECT_TRUE(recovers(vertices, -15.0, -1.0));
    EXPECT_FALSE(recovers(vertices, 17.0, 1.0));
    EXPECT_FALSE(recovers(vertices, -17.0, 1.0));
    EXPECT_FALSE(recovers(vertices, 0.0, 0.0));
    EXPECT_FALSE(recovers(vertices, 1.0, std::nan("")));
  }
}

template <class T>
void check_order(int64_t batch, bool (*easy)(int64_t)) {
  constexpr int64_t kVertices = 5, kModes = 3;
  Array<T> coefficients(Place::exact, batch * kModes), pose(Place::fenced, batch * 12);
  Array<T> posed(Place::fenced, batch * kVertices * 3);
  Random random(22);
  random.fill(coefficients);
  int64_t count = 0;
  for (int64_t b = 0; b < batch; ++b) {
    count += easy(b);
    set_pose(easy(b) ? Pose::easy : kHardPoses[b % kHardPoseCount], random, pose.data() + 12 * b);
    double size = 0.0;
    for (int i = 0; i < 12; ++i) size = i % 4 < 3 ? std::max(size, std::fabs(widen(pose[12 * b + i]))) : size;
    for (int64_t i = 0; i < kVertices * 3; ++i) {
      posed[b * kVertices * 3 + i] = pose[12 * b + 4 * (i % 3) + 3] + static_cast<T>(size * (i % 2 ? 1 : -1));
    }
  }
  VerticesBackwardParams<T, T> params{};
  params.basis = {nullptr, nullptr, kVertices, kModes};
  params.coefficients = coefficients.data();
  params.pose = pose.data();
  params.batch = batch;
  cpu::FaceOrder<T> order;
  checked::apply(order, params, static_cast<const T*>(posed.data()));
  ASSERT_EQ(params.recovered, count);
  ASSERT_EQ(params.vertices, count > 0 ? posed.data() : nullptr);
  std::vector<bool> seen(static_cast<size_t>(batch));
  for (int64_t row = 0; row < batch; ++row) {
    const int64_t face = params.faces[row];
    ASSERT_TRUE(face >= 0 && face < batch && !seen[static_cast<size_t>(face)]);
    seen[static_cast<size_t>(face)] = true;
    ASSERT_EQ(easy(face), row < count);
    ASSERT_TRUE(std::equal(params.pose + 12 * row, params.pose + 12 * (row + 1), pose.data() + 12 * face));
    ASSERT_TRUE(std::equal(params.coefficients + kModes * row, params.coefficients + kModes * (row + 1),
                           coefficients.data() + kModes * face));
  }
}

TEST(FaceOrder, PutsTheEasyFacesFirst) {
  for (const int64_t batch : {0, 1, 2, 7, 100}) {
    for (bool (*easy)(int64_t) : {+[](int64_t) { return true; }, +[](int64_t) { return false; },
                                  +[](int64_t face) { return face % 3 == 1; }, +[](int64_t face) { return face > 3; }}) {
      check_order<float>(batch, easy);
      check_order<double>(batch, easy);
    }
  }
}

// Rows of a range, of both kinds, in any order: each writes its own face's gradients and no other's.
template <class T>
void check_ranges(Place place) {
  constexpr int64_t kBatch = 7, kRecovered = 4, kModes = 3, kWidth = 12 + kModes, kParts = 5;
  const int64_t faces[kBatch] = {5, 0, 6, 2, 1, 4, 3};
  Array<T> partial(place, kParts * kBatch * kWidth), pose(place, kBatch * 12);
  Random random(23);
  random.fill(partial);
  for (int64_t row = 0; row < kBatch; ++row) {
    set_pose(row < kRecovered ? Pose::easy : Pose::singular, random, pose.data() + 12 * row);
  }
  VerticesBackwardParams<T, T> params{};
  params.basis.modes_count = kModes;
  params.pose = pose.data();
  params.faces = faces;
  params.partial = partial.data();
  params.batch = kBatch;
  params.recovered = kRecovered;
  params.need_coefficients = params.need_pose = true;
  for (const auto& [begin, end] : {std::pair{0, 7}, {0, 4}, {4, 7}, {2, 5}, {6, 7}, {3, 3}}) {
    SCOPED_TRACE(testing::Message() << "rows " << begin << " to " << end << ", " << name(place));
    Array<T> to_coefficients(place, kBatch * kModes), to_pose(place, kBatch * 12);
    Array<double> total(place, kWidth);
    checked::reduce_parts(params, kParts, to_coefficients.data(), to_pose.data(), total.data(), begin, end);
    for (int64_t row = 0; row < kBatch; ++row) {
      Sum sums[kWidth], turned[kWidth];
      for (int64_t i = 0; i < kWidth; ++i) {
        for (int64_t part = 0; part < kParts; ++part) sums[i].add(widen(partial[(part * kBatch + row) * kWidth + i]));
        turned[i] = sums[i];
      }
      double inverse[9];
      for (int r = 0; row < kRecovered && r < 3; ++r) {
        ASSERT_TRUE(checked::invert(pose.data() + 12 * row, inverse));
        for (int c = 0; c < 3; ++c) {
          turned[4 * r + c] = {};
          for (int j = 0; j < 3; ++j) turned[4 * r + c].add(inverse[3 * c + j], sums[4 * r + j]);
        }
      }
      for (int64_t i = 0; i < kWidth; ++i) {
        const T got = i < 12 ? to_pose[faces[row] * 12 + i] : to_coefficients[faces[row] * kModes + i - 12];
        ASSERT_EQ(std::isnan(got), row < begin || row >= end);  // as at first
        if (!std::isnan(got)) {
          ASSERT_NEAR(widen(got), turned[i].value, (kRoundoff<T> + 20 * kRoundoff<double>)*turned[i].size);
        }
      }
    }
    ASSERT_TRUE(to_coefficients.untouched_around() && to_pose.untouched_around() && total.untouched_around());
  }
}

TEST(ReduceParts, WritesTheFacesOfItsRowsAlone) {
  for (const Place place : kPlaces) {
    check_ranges<float>(place);
    check_ranges<double>(place);
  }
}

}  // namespace

}  // namespace twodasl::test
