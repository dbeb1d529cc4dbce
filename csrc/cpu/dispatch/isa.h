// Which instruction-set levels were compiled, which this processor runs, and which is in use.
#pragma once

namespace twodasl::cpu {

// Names of the compiled levels, lowest first; `count` receives their number.
const char* const* compiled_levels(int* count);

// Indices into compiled_levels().
int best_level();    // the highest that this processor runs
int chosen_level();  // the same, lowered by the environment variable TWODASL_ISA when that names a lower one

}  // namespace twodasl::cpu
