// The nearest neighbor of every level against a plain loop, bit for bit; and the invariants of the tree.
#include "../../csrc/cpu/neighbors/neighbors.h"

#include "arrays.h"
#include "levels.h"
#include "oracle.h"

namespace twodasl::test {

namespace {

const cpu::NeighborLevel& neighbors(int level) {
  using Get = const cpu::NeighborLevel& (*)();
  static constexpr Get kLevels[] = {
      &cpu::neighbors_baseline,
#if defined(TWODASL_WITH_AVX2)
      &cpu::neighbors_avx2,
#endif
#if defined(TWODASL_WITH_AVX512)
      &cpu::neighbors_avx512,
#endif
  };
  return kLevels[level]();
}
template <class T>
const cpu::NeighborKernels<T>& kernels(int level) {
  if constexpr (sizeof(T) == 4) {
    return neighbors(level).f32;
  } else {
    return neighbors(level).f64;
  }
}

enum class Cloud { any, equal, lattice, crowds, huge };
constexpr Cloud kClouds[] = {Cloud::any, Cloud::equal, Cloud::lattice, Cloud::crowds, Cloud::huge};

template <class T>
void fill(Array<T>& points, Cloud cloud, uint64_t seed) {
  Random random(seed);
  for (int64_t i = 0; i < points.size(); ++i) {
    double x = random.uniform(-2.0, 2.0);
    if (cloud == Cloud::equal) x = 0.5;
    if (cloud == Cloud::lattice) x = std::round(x);
    if (cloud == Cloud::crowds) x = i < 3 ? 1e6 : x * std::pow(10.0, -double(random.below(30)));
    if (cloud == Cloud::huge) x *= sizeof(T) == 4 ? 1e37 : 1e307;
    points[i] = static_cast<T>(x);
  }
}

int64_t cut(int64_t count) { return (count + cpu::kTightRun - 1) / cpu::kTightRun; }

template <class T>
struct Tree {
  Array<T> leaves, boxes;
  Array<int32_t> ids, lowest;

  Tree(Place place, const Array<T>& points, int64_t count, int64_t capacity, int threads, bool tight)
      : leaves(place, tree_leaves(capacity) * kBlockRow),
        boxes(place, tree_nodes(capacity) * 6 * kBlock),
        ids(place, tree_leaves(capacity) * kBlock),
        lowest(place, tree_nodes(capacity) * kBlock) {
    Array<uint64_t> keys(place, count), other(place, count);
    T box[6] = {};
    if (count > 0) {
      EXPECT_TRUE(cpu::bounding_box(points.data(), 0, count, box));
    }
    split(count, threads, [&](int64_t begin, int64_t end) {
      cpu::curve_keys(points.data(), box, keys.data(), begin, end);
    });
    uint64_t* const sorted = cpu::sort_keys(keys.data(), other.data(), count);
    cpu::refine_keys(points.data(), sorted, sorted == keys.data() ? other.data() : keys.data(), count);
    if (tight) {
      split(cut(count), threads, [&](int64_t begin, int64_t end) {
        cpu::tighten_keys(points.data(), sorted, begin * cpu::kTightRun, std::min(count, end * cpu::kTightRun));
      });
    }
    const int64_t total = tree_leaves(capacity);
    split(block_count(total), threads, [&](int64_t begin, int64_t end) {
      cpu::fill_leaves(points.data(), sorted, count, leaves.data(), ids.data(), boxes.data(), lowest.data(),
                       begin * kBlock, std::min(total, end * kBlock));
    });
    cpu::fill_levels(boxes.data(), lowest.data(), capacity);
  }
};

template <class T>
T distance(const T* q, const T* p, T scale) {
  volatile T total = 0;  // rounded after every operation, whatever the compiler would contract
  T squares[3];
  for (int c = 0; c < 3; ++c) {
    volatile T difference = q[c] * scale - p[c] * scale;
    volatile T square = difference * difference;
    squares[c] = square;
  }
  total = squares[0] + squares[1];
  total = total + squares[2];
  return total;
}

template <class T>
void check(int level, Cloud cloud, int64_t count, int64_t capacity, int64_t queries, int64_t real) {
  SCOPED_TRACE(testing::Message() << "cloud " << int(cloud) << ", " << count << " of " << capacity << " points, " << real
                                  << " of " << queries << " queries");
  for (const Place place : kPlaces) {
    Array<T> points(place, 3 * capacity), query(place, 3 * queries);
    fill(points, cloud, 1);
    fill(query, queries % 2 == 0 ? cloud : Cloud::any, 2);
    Array<int64_t> lengths(place, 1), hint(place, queries);
    lengths[0] = real;
    for (int64_t m = 0; m < queries; ++m) hint[m] = count > 0 ? m * 7 % count : 0;
    for (const int threads : splits(place)) {
      // Ragged leaves without hints, tight ones with.
      for (const bool hinted : {false, true}) {
        const Tree<T> tree(place, points, count, capacity, threads, hinted);
        Array<T> found(place, queries);
        Array<int64_t> index(place, queries);
        const NearestParams<T> params{query.data(),
                                      points.data(),
                                      {tree.leaves.data(), tree.ids.data(), tree.boxes.data(), tree.lowest.data()},
                                      lengths.data(),
                                      hinted ? hint.data() : nullptr,
                                      nullptr,
                                      found.data(),
                                      index.data(),
                                      1,
                                      queries,
                                      capacity};
        split(queries, threads,
              [&](int64_t begin, int64_t end) { kernels<T>(level).nearest(params, 0, begin, end); });
        ASSERT_TRUE(found.untouched_around() && index.untouched_around());
        for (int64_t m = 0; m < queries; ++m) {
          if (m >= real) {
            ASSERT_EQ(index[m], -1);
            ASSERT_EQ(found[m], T(0));
            continue;
          }
          for (const T scale : {T(1), cpu::kShrink<T>}) {
            T best = std::numeric_limits<T>::infinity();
            int64_t winner = -1;
            for (int64_t n = 0; n < count; ++n) {
              const T d = distance(query.data() + 3 * m, points.data() + 3 * n, scale);
              if (d < best) {
                best = d;
                winner = n;
              }
            }
            if (scale == T(1)) {
              ASSERT_EQ(found[m], best) << "query " << m;
            }
            if (winner < 0) continue;  // all overflow: once more, scaled
            ASSERT_EQ(index[m], winner) << "query " << m;
            break;
          }
        }
      }
    }
  }
}

class Neighbors : public LevelTest {};
TWODASL_FOR_EVERY_LEVEL(Neighbors);

template <class T>
void check_all(int level) {
  for (const Cloud cloud : kClouds) {
    for (const auto& [count, capacity] : {std::pair{1, 1}, {16, 16}, {17, 40}, {300, 300}, {700, 4200}}) {
      check<T>(level, cloud, count, capacity, 37, 37);
      check<T>(level, cloud, count, capacity, 20, 3);
    }
  }
  check<T>(level, Cloud::any, 0, 0, 0, 0);
  check<T>(level, Cloud::any, 0, 20, 5, 0);
}

TEST_P(Neighbors, Float32) { check_all<float>(GetParam()); }
TEST_P(Neighbors, Float64) { check_all<double>(GetParam()); }

// Neighboring places on the curve are neighboring cells, and every cell has its own.
TEST(Curve, NeverJumps) {
  constexpr int64_t kSide = 32;
  Array<float> points(Place::exact, 3 * kSide * kSide * kSide + 3);
  int64_t n = 0;
  for (int64_t x = 0; x < kSide; ++x) {
    for (int64_t y = 0; y < kSide; ++y) {
      for (int64_t z = 0; z < kSide; ++z, ++n) {
        points[3 * n] = float(x), points[3 * n + 1] = float(y), points[3 * n + 2] = float(z);
      }
    }
  }
  for (int c = 0; c < 3; ++c) points[3 * n + c] = 1023.0f;  // so that a cell is a unit
  float box[6];
  ASSERT_TRUE(cpu::bounding_box(points.data(), 0, n + 1, box));
  Array<uint64_t> keys(Place::exact, n), other(Place::exact, n);
  cpu::curve_keys(points.data(), box, keys.data(), 0, n);
  const uint64_t* const sorted = cpu::sort_keys(keys.data(), other.data(), n);
  for (int64_t i = 1; i < n; ++i) {
    ASSERT_EQ(sorted[i] >> 32, (sorted[i - 1] >> 32) + 1);
    const float* p = points.data() + 3 * (sorted[i] & 0xffffffffu);
    const float* q = points.data() + 3 * (sorted[i - 1] & 0xffffffffu);
    ASSERT_EQ(distance(p, q, 1.0f), 1.0f) << "place " << i;
  }
}

// Every run keeps its points, whatever they are, and in the same order for every split.
template <class T>
void check_tight() {
  for (const Cloud cloud : kClouds) {
    for (const int64_t count : {1, 16, 17, 33, 1000, 1024, 1025, 2077}) {
      std::vector<unsigned char> first;
      for (const Place place : kPlaces) {
        Array<T> points(place, 3 * count);
        fill(points, cloud, 3);
        for (const int threads : splits(place)) {
          Array<uint64_t> keys(place, count), other(place, count);
          T box[6];
          ASSERT_TRUE(cpu::bounding_box(points.data(), 0, count, box));
          cpu::curve_keys(points.data(), box, keys.data(), 0, count);
          uint64_t* const sorted = cpu::sort_keys(keys.data(), other.data(), count);
          if (sorted != keys.data()) std::copy(sorted, sorted + count, keys.data());
          std::vector<uint64_t> before;
          for (const uint64_t key : keys) before.push_back(key & 0xffffffffu);
          split(cut(count), threads, [&](int64_t begin, int64_t end) {
            cpu::tighten_keys(points.data(), keys.data(), begin * cpu::kTightRun,
                              std::min(count, end * cpu::kTightRun));
          });
          ASSERT_TRUE(keys.untouched_around());
          if (first.empty()) first = keys.bits();
          ASSERT_EQ(keys.bits(), first);
          for (int64_t run = 0; run < count; run += cpu::kTightRun) {
            const int64_t end = std::min(count, run + cpu::kTightRun);
            ASSERT_TRUE(std::is_permutation(keys.begin() + run, keys.begin() + end, before.begin() + run));
          }
        }
      }
    }
  }
}
TEST(Tighten, KeepsThePointsOfARunFloat32) { check_tight<float>(); }
TEST(Tighten, KeepsThePointsOfARunFloat64) { check_tight<double>(); }

// The purpose: on a surface it makes the boxes of the leaves shorter.
TEST(Tighten, ShortensTheBoxes) {
  constexpr int64_t kCount = 8192;
  Array<double> points(Place::exact, 3 * kCount);
  Random random(4);
  for (int64_t n = 0; n < kCount; ++n) {
    const double x = random.uniform(-1.0, 1.0), y = random.uniform(-1.0, 1.0);
    points[3 * n] = x, points[3 * n + 1] = y, points[3 * n + 2] = 0.7 * x * x - 0.4 * x * y;
  }
  double length[2];
  for (const bool tight : {false, true}) {
    const Tree<double> tree(Place::exact, points, kCount, kCount, 1, tight);
    length[tight] = 0.0;
    for (int64_t leaf = 0; leaf < kCount / kBlock; ++leaf) {
      const double* box = tree.boxes.data() + leaf / kBlock * 6 * kBlock + leaf % kBlock;
      for (int c = 0; c < 3; ++c) length[tight] += box[(3 + c) * kBlock] - box[c * kBlock];
    }
  }
  EXPECT_LT(length[1], 0.8 * length[0]);
}

TEST(BoundingBox, SeesEveryNumberThatIsNotFinite) {
  for (const Place place : kPlaces) {
    for (const int64_t count : {1, 2, 3, 4, 5, 9}) {
      Array<double> points(place, 3 * count);
      for (double& x : points) x = 1.0;
      double box[6];
      EXPECT_TRUE(cpu::bounding_box(points.data(), 0, count, box));
      for (double& x : points) {
        for (const double bad : {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
          x = bad;
          EXPECT_FALSE(cpu::bounding_box(points.data(), 0, count, box));
        }
        x = 1.0;
      }
    }
  }
}

}  // namespace

}  // namespace twodasl::test
