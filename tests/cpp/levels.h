// One test for every compiled instruction-set level; those that this processor does not run are skipped, visibly.
#pragma once

#include "../../csrc/cpu/dispatch/isa.h"
#include "../../csrc/cpu/dispatch/kernels.h"
#include "arrays.h"

namespace twodasl::test {

class LevelTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (GetParam() > cpu::best_level()) GTEST_SKIP() << "this processor does not run " << name(GetParam());
  }

 public:
  static const char* name(int index) {
    int count = 0;
    return cpu::compiled_levels(&count)[index];
  }
  static int count() {
    int count = 0;
    cpu::compiled_levels(&count);
    return count;
  }

  // In the order of compiled_levels().
  const cpu::Level& level() const {
    using Get = const cpu::Level& (*)();
    static constexpr Get kLevels[] = {
        &cpu::level_baseline,
#if defined(TWODASL_WITH_AVX2)
        &cpu::level_avx2,
#endif
#if defined(TWODASL_WITH_AVX512)
        &cpu::level_avx512,
#endif
    };
    return kLevels[GetParam()]();
  }
};

#define TWODASL_FOR_EVERY_LEVEL(Suite)                                                           \
  INSTANTIATE_TEST_SUITE_P(Levels, Suite, testing::Range(0, twodasl::test::LevelTest::count()), \
                           [](const auto& info) { return twodasl::test::LevelTest::name(info.param); })

}  // namespace twodasl::test
