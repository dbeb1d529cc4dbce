// rasterize: the nearest triangle at every pixel, by the rules that cpu/kernels/rasterize.h states.
#include "../../csrc/cpu/kernels/rasterize.h"
#include "oracle.h"

namespace twodasl::test {

namespace {

// Exact for the products below, of differences of a few dozen bits.
using Wide = long double;

struct Corner {
  Wide x, y, z;
};

Wide edge(const Corner& a, const Corner& b, Wide x, Wide y) {
  return (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x);
}

// Its sign a step to smaller x, and a far smaller one to larger y, from where it is zero.
int side(const Corner& a, const Corner& b, Wide x, Wide y) {
  const Wide options[] = {edge(a, b, x, y), b.y - a.y, b.x - a.x};
  for (const Wide value : options) {
    if (value != 0) return value > 0 ? 1 : -1;
  }
  return 0;
}

// The size of its two products, seen from whichever end is the worse.
double edge_size(const Corner& a, const Corner& b, Wide x, Wide y) {
  const auto from = [&](const Corner& end) {
    return std::fabs((b.x - a.x) * (y - end.y)) + std::fabs((b.y - a.y) * (x - end.x));
  };
  return static_cast<double>(std::max(from(a), from(b)));
}

// A triangle's values at a pixel, with bounds for the kernel's rounding.
struct Sample {
  bool covered = false;
  double weight[3] = {}, weight_error[3] = {};
  double z = 0.0, z_error = 0.0;
};

Sample sample(const Corner (&p)[3], Wide x, Wide y) {
  Sample s;
  const Wide area = edge(p[0], p[1], p[2].x, p[2].y);
  if (area == 0) return s;
  const int turn = area > 0 ? 1 : -1;
  for (int i = 0; i < 3; ++i) {
    if (side(p[(i + 1) % 3], p[(i + 2) % 3], x, y) != turn) return s;
  }
  s.covered = true;
  const double area_size = edge_size(p[0], p[1], p[2].x, p[2].y), unit = kRoundoff<double>;
  const double inverse = static_cast<double>(1 / std::fabs(area));
  Wide z = p[0].z;
  for (int i = 0; i < 3; ++i) {
    const Corner &a = p[(i + 1) % 3], &b = p[(i + 2) % 3];
    const Wide weight = edge(a, b, x, y) / area;
    s.weight[i] = static_cast<double>(weight);
    // Four roundings of either edge function, relative to its two products; the area divides the error of the first
    // and scales, by the weight, that of the second. Then the reciprocal, and two products.
    s.weight_error[i] = unit * (4 * edge_size(a, b, x, y) * inverse + (4 * area_size * inverse + 3) * s.weight[i]);
    z += weight * (p[i].z - p[0].z);
  }
  s.z = static_cast<double>(z);
  s.weight_error[0] += s.weight_error[1] + s.weight_error[2] + 2 * unit;  // it is what the others leave of one
  for (int i = 1; i < 3; ++i) {
    const double step = static_cast<double>(std::fabs(p[i].z - p[0].z));
    s.z_error += s.weight_error[i] * step + 4 * unit * step;
  }
  s.z_error += 2 * unit * static_cast<double>(std::fabs(p[0].z));
  return s;
}

template <class T>
struct Scene {
  int64_t batch, count, height, width;
  Array<T> vertices;
  Array<int64_t> triangles;
  // Equal depths are equal to the last bit: the lower index must win.
  bool flat = false;

  Scene(Place place, int64_t batch_, int64_t count_, int64_t triangles_, int64_t height_, int64_t width_)
      : batch(batch_), count(count_), height(height_), width(width_), vertices(place, 3 * batch_ * count_),
        triangles(place, 3 * triangles_) {}

  Sample at(int64_t image, int64_t triangle, int64_t row, int64_t column) const {
    Corner p[3];
    for (int i = 0; i < 3; ++i) {
      const T* v = vertices.data() + 3 * (image * count + triangles[3 * triangle + i]);
      p[i] = {static_cast<Wide>(v[0]), static_cast<Wide>(v[1]), static_cast<Wide>(v[2])};
    }
    return sample(p, static_cast<Wide>(column), static_cast<Wide>(row));
  }
};

template <class T>
struct Picture {
  Array<int64_t> index;
  Array<T> barycentrics, depth;

  template <class S>
  Picture(Place place, const S& scene)
      : index(place, scene.batch * scene.height * scene.width), barycentrics(place, 3 * index.size()),
        depth(place, index.size()) {}

  bool operator==(const Picture& other) const {
    return index.bits() == other.index.bits() && barycentrics.bits() == other.barycentrics.bits() &&
           depth.bits() == other.depth.bits();
  }
};

// Tasks are the rows of all images; a run of rows of one image is one call, with its own scratch.
template <class T>
void draw_rows(Place place, const Scene<T>& scene, Picture<T>& picture, int64_t begin, int64_t end) {
  const RasterizeParams<T> params{scene.vertices.data(), scene.triangles.data(), picture.index.data(),
                                  picture.barycentrics.data(), picture.depth.data(), scene.batch, scene.count,
                                  scene.triangles.size() / 3, scene.height, scene.width};
  while (begin < end) {
    const int64_t image = begin / scene.height, first = begin % scene.height;
    const int64_t last = std::min(scene.height, first + end - begin);
    Array<double> nearest(place, (last - first) * scene.width);
    cpu::rasterize_begin(params, image, first, last, nearest.data());
    for (int64_t n = 0; n < params.triangles_count;) {
      n = cpu::rasterize_triangles(params, image, first, last, n, nearest.data());
    }
    cpu::rasterize_end<T>(params, image, first, last, nearest.data());
    begin += last - first;
  }
}

template <class T>
void draw(Place place, const Scene<T>& scene, Picture<T>& picture, int threads) {
  split(scene.batch * scene.height, threads,
        [&](int64_t begin, int64_t end) { draw_rows(place, scene, picture, begin, end); });
}

template <class T>
void check_pixel(const Scene<T>& scene, const Picture<T>& picture, int64_t pixel) {
  const int64_t column = pixel % scene.width, row = pixel / scene.width % scene.height;
  const int64_t image = pixel / (scene.width * scene.height);
  SCOPED_TRACE(testing::Message() << "image " << image << ", row " << row << ", column " << column);
  int64_t best = -1;
  Sample nearest;
  for (int64_t triangle = 0; triangle < scene.triangles.size() / 3; ++triangle) {
    const Sample s = scene.at(image, triangle, row, column);
    if (s.covered && (best < 0 || s.z > nearest.z)) {
      best = triangle;
      nearest = s;
    }
  }
  const int64_t index = picture.index[pixel];
  const T* weights = picture.barycentrics.data() + 3 * pixel;
  const double depth = widen(picture.depth[pixel]);
  if (best < 0) {
    ASSERT_EQ(index, -1);
    ASSERT_EQ(depth, -std::numeric_limits<double>::infinity());
    for (int i = 0; i < 3; ++i) ASSERT_EQ(weights[i], T(0));
    return;
  }
  ASSERT_GE(index, 0);
  if (index != best) {
    // Two triangles so close in depth that rounding decides.
    ASSERT_FALSE(scene.flat) << "triangle " << index << ", expected " << best;
    const Sample s = scene.at(image, index, row, column);
    ASSERT_TRUE(s.covered) << "triangle " << index << ", expected " << best;
    ASSERT_LE(nearest.z - s.z, nearest.z_error + s.z_error) << "triangle " << index << ", expected " << best;
    nearest = s;
  }
  // Computed in double precision, then rounded once.
  ASSERT_LE(std::fabs(depth - nearest.z), nearest.z_error + kRoundoff<T> * std::fabs(nearest.z));
  for (int i = 0; i < 3; ++i) {
    ASSERT_LE(std::fabs(widen(weights[i]) - nearest.weight[i]),
              nearest.weight_error[i] + kRoundoff<T> * nearest.weight[i]);
  }
}

template <class T, class Make>
void check_scene(const Make& make) {
  const auto first_scene = make(Place::exact);
  Picture<T> first(Place::exact, *first_scene);
  draw(Place::exact, *first_scene, first, 1);
  for (int64_t pixel = 0; pixel < first.index.size(); ++pixel) {
    check_pixel(*first_scene, first, pixel);
    if (testing::Test::HasFatalFailure()) return;
  }
  for (const Place place : kPlaces) {
    const auto scene = make(place);
    for (const int threads : splits(place)) {
      SCOPED_TRACE(testing::Message() << name(place) << ", threads " << threads);
      Picture<T> picture(place, *scene);
      draw(place, *scene, picture, threads);
      ASSERT_TRUE(picture.index.untouched_around() && picture.barycentrics.untouched_around() &&
                  picture.depth.untouched_around());
      ASSERT_TRUE(picture == first);
    }
  }
}

enum class Shape {
  any,       // corners anywhere, in and around the picture
  snapped,   // corners on pixel centers and halves, every triangle at one of five depths
  coplanar,  // corners on quarters, all in one slanted plane
  needles,   // hardly any area, or none: repeated and collinear corners
};

template <class T>
std::unique_ptr<Scene<T>> make_scene(Place place, Shape shape, int64_t height, int64_t width, uint64_t seed) {
  constexpr int64_t kTriangles = 60;
  auto scene = std::make_unique<Scene<T>>(place, 2, 3 * kTriangles, kTriangles, height, width);
  scene->flat = shape == Shape::snapped;
  Random random(seed);
  for (int64_t i = 0; i < scene->triangles.size(); ++i) scene->triangles[i] = i;
  for (int64_t triangle = 0; triangle < scene->batch * kTriangles; ++triangle) {
    T* p = scene->vertices.data() + 9 * triangle;
    const double grid = shape == Shape::snapped ? 2.0 : 4.0, level = static_cast<double>(random.below(5));
    for (int i = 0; i < 3; ++i) {
      double x = random.uniform(-0.3, 1.3) * static_cast<double>(width);
      double y = random.uniform(-0.3, 1.3) * static_cast<double>(height);
      double z = random.uniform(-50.0, 50.0);
      if (shape == Shape::snapped || shape == Shape::coplanar) {
        x = std::round(x * grid) / grid;
        y = std::round(y * grid) / grid;
        z = shape == Shape::snapped ? level : 0.25 * x - 0.5 * y;
      } else if (shape == Shape::needles && i == 2) {
        // On the line through the others: one of them, between them, or a hair beside it.
        const double t = triangle % 3 == 0 ? 1.0 : 0.5;
        x = widen(p[0]) + t * (widen(p[3]) - widen(p[0]));
        y = widen(p[1]) + t * (widen(p[4]) - widen(p[1])) + (triangle % 3 == 2 ? 1e-3 : 0.0);
      } else if (shape == Shape::needles) {
        x = std::round(x);
        y = std::round(y);
      }
      p[3 * i] = static_cast<T>(x);
      p[3 * i + 1] = static_cast<T>(y);
      p[3 * i + 2] = static_cast<T>(z);
    }
  }
  return scene;
}

template <class T>
class Rasterize : public testing::Test {};
using Numbers = testing::Types<float, double>;
TYPED_TEST_SUITE(Rasterize, Numbers);

template <class T>
void check_shape(Shape shape) {
  for (const auto& [height, width] : {std::pair{1, 1}, {17, 31}, {50, 3}, {24, 24}}) {
    SCOPED_TRACE(testing::Message() << height << " rows, " << width << " columns");
    check_scene<T>([&, h = height, w = width](Place place) { return make_scene<T>(place, shape, h, w, 11); });
  }
}

TYPED_TEST(Rasterize, AnyTriangles) { check_shape<TypeParam>(Shape::any); }
TYPED_TEST(Rasterize, TiesOfEdgesAndDepths) { check_shape<TypeParam>(Shape::snapped); }
TYPED_TEST(Rasterize, Coplanar) { check_shape<TypeParam>(Shape::coplanar); }
TYPED_TEST(Rasterize, Needles) { check_shape<TypeParam>(Shape::needles); }

TYPED_TEST(Rasterize, NothingToDraw) {
  using Make = std::unique_ptr<Scene<TypeParam>>;
  for (const auto& [batch, count, height, width] :
       {std::tuple{2, 0, 5, 7}, {2, 3, 5, 7}, {0, 0, 5, 7}, {2, 0, 0, 7}, {2, 0, 5, 0}}) {
    SCOPED_TRACE(testing::Message() << batch << " x " << count << ", " << height << " rows, " << width << " columns");
    check_scene<TypeParam>([&, b = batch, n = count, h = height, w = width](Place place) -> Make {
      auto scene = std::make_unique<Scene<TypeParam>>(place, b, n, 0, h, w);
      std::fill(scene->vertices.begin(), scene->vertices.end(), TypeParam(1));
      return scene;
    });
  }
}

// Rows outside of the range belong to others.
TYPED_TEST(Rasterize, WritesItsRowsAlone) {
  const auto scene = make_scene<TypeParam>(Place::exact, Shape::any, 17, 31, 12);
  Picture<TypeParam> whole(Place::exact, *scene), band(Place::exact, *scene);
  draw(Place::exact, *scene, whole, 1);
  draw_rows(Place::exact, *scene, band, 17 + 5, 17 + 9);
  for (int64_t i = 0; i < whole.index.size(); ++i) {
    const int64_t row = i / 31;
    if (row >= 17 + 5 && row < 17 + 9) {
      ASSERT_EQ(band.index[i], whole.index[i]);
      ASSERT_EQ(band.depth[i], whole.depth[i]);
    } else {
      ASSERT_EQ(band.index[i], int64_t(-1));  // as at first: every bit set
      ASSERT_TRUE(std::isnan(band.depth[i]) && std::isnan(band.barycentrics[3 * i + 2]));
    }
  }
}

// Finite vertices of any size: pixels are those of triangles or background, and no number is NaN.
TYPED_TEST(Rasterize, NumbersOfAnySize) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  const T choices[] = {T(0),          T(3),           T(7.5),        T(16),          T(-5),        T(1e9),
                       T(-1e9),       T(9.3e18),      T(-9.3e18),    T(1e30),        T(-1e30),     Limits::max(),
                       Limits::lowest(), Limits::min(), -Limits::min(), Limits::denorm_min(), Limits::epsilon()};
  constexpr int64_t kCount = sizeof(choices) / sizeof(choices[0]), kTriangles = 3000;
  Scene<T> scene(Place::exact, 1, 3 * kTriangles, kTriangles, 16, 16);
  Random random(13);
  for (int64_t i = 0; i < scene.triangles.size(); ++i) scene.triangles[i] = i;
  for (T& x : scene.vertices) x = choices[random.below(kCount)];
  Picture<T> together(Place::exact, scene);
  draw(Place::exact, scene, together, 1);
  for (int64_t i = 0; i < together.index.size(); ++i) {
    ASSERT_TRUE(together.index[i] >= -1 && together.index[i] < kTriangles);
    ASSERT_FALSE(std::isnan(together.depth[i]));
    if (together.index[i] < 0) {
      ASSERT_EQ(widen(together.depth[i]), -std::numeric_limits<double>::infinity());
    }
    for (int c = 0; c < 3; ++c) ASSERT_FALSE(std::isnan(together.barycentrics[3 * i + c])) << "pixel " << i;
  }
}

}  // namespace

}  // namespace twodasl::test
