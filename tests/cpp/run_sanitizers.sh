#!/usr/bin/env bash
# The kernels' own tests as a plain Release build, with AddressSanitizer and UndefinedBehaviorSanitizer, and with
# ThreadSanitizer. Needs CMake, make, a C++ compiler and GoogleTest; installs them on Debian when run as root.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

has_gtest() { echo '#include <gtest/gtest.h>' | c++ -std=c++17 -x c++ -E - > /dev/null 2>&1; }
packages_missing() {
  command -v cmake > /dev/null || echo cmake
  command -v make > /dev/null || echo make
  command -v c++ > /dev/null || echo g++
  has_gtest || echo libgtest-dev
}

mapfile -t missing < <(packages_missing)
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" -eq 0 ] && [ -e /etc/debian_version ] && command -v apt-get > /dev/null; then
    { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } > "$work/apt.log" 2>&1 ||
      tail -n 5 "$work/apt.log" >&2
    hash -r
  fi
  mapfile -t missing < <(packages_missing)
  [ "${#missing[@]}" -eq 0 ] || { echo "$0: please install ${missing[*]} (Debian's names)" >&2; exit 1; }
fi

# ThreadSanitizer wants its own address ranges; some kernels place programs at random inside them.
steady=()
if setarch -R true 2> /dev/null; then steady=(setarch -R); fi

# check NAME SANITIZER: builds, runs, prints GoogleTest's own summary; everything else only where it fails.
check() {
  local name=$1 sanitizer=$2 log="$work/$1.log" build="$work/$1" program="$work/$1/tests/cpp/twodasl_kernel_tests"
  local run=("$program" --gtest_brief=1)
  [ "$sanitizer" != thread ] || run=("${steady[@]}" "${run[@]}")
  { cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DTWODASL_TESTS=ON -DTWODASL_SANITIZER="$sanitizer" &&
    cmake --build "$build" --parallel 2; } > "$log" 2>&1 ||
    { tail -n 40 "$log"; echo "$name: does not build"; return 1; }
  if ! "${run[@]}" > "$log" 2>&1; then
    # Leaks are found by tracing the process, which some containers forbid: then everything but leaks.
    if [ "$sanitizer" = address ] && grep -q 'LeakSanitizer has encountered a fatal error' "$log" &&
      ASAN_OPTIONS=detect_leaks=0 "${run[@]}" > "$log" 2>&1; then
      echo "$name: this machine does not let LeakSanitizer trace; leaks were not looked for"
    else
      head -n 100 "$log"
      echo "$name: FAILED"
      return 1
    fi
  fi
  # Also how many tests were skipped, where this processor lacks a level.
  local summary
  summary=$(grep -E '^\[(=+|  PASSED  |  SKIPPED )\] [0-9]+ test' "$log" | sed -E 's/^\[=+\] //' | paste -sd ' ' -)
  echo "$name: $summary"
}

failed=0
check release "" || failed=1
check address+undefined address || failed=1
check thread thread || failed=1
exit "$failed"
