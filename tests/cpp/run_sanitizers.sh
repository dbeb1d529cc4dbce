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

cmake -S "$root" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DTWODASL_TESTS=ON \
  "-DTWODASL_SANITIZERS=address;thread" > "$work/build.log" &&
  cmake --build "$work/build" --parallel 2 >> "$work/build.log" 2>&1 ||
  { tail -n 40 "$work/build.log"; echo "the kernels' tests do not build"; exit 1; }

# half NAME INDEX COMMAND...: every second test, its output in $work/NAME.INDEX.
half() { GTEST_TOTAL_SHARDS=2 GTEST_SHARD_INDEX=$2 "${@:3}" --gtest_brief=1 > "$work/$1.$2" 2>&1; }

# both NAME COMMAND...: the two halves side by side.
both() {
  local first status=0
  half "$1" 0 "${@:2}" & first=$!
  half "$1" 1 "${@:2}" || status=1
  wait "$first" || status=1
  return "$status"
}

# check NAME COMMAND...: runs, adds up GoogleTest's own summaries; everything else only where it fails.
check() {
  local name=$1 log="$work/$1"
  if ! both "$@"; then
    # Leaks are found by tracing the process, which some containers forbid: then everything but leaks.
    if grep -q 'LeakSanitizer has encountered a fatal error' "$log".? && ASAN_OPTIONS=detect_leaks=0 both "$@"; then
      echo "$name: this machine does not let LeakSanitizer trace; leaks were not looked for"
    else
      head -n 100 "$log".?
      echo "$name: FAILED"
      return 1
    fi
  fi
  # Also how many tests were skipped, where this processor lacks a level.
  awk -v name="$name" '/^\[==========\] [0-9]+ tests? .* ran/ { tests += $2 }
    /^\[  PASSED  \]/ { passed += $4 } /^\[  SKIPPED \]/ { skipped += $4 }
    END { print name ": " tests " tests, " passed " passed" (skipped ? ", " skipped " skipped" : "") }' "$log".?
}

failed=0
program=$work/build/tests/cpp/twodasl_kernel_tests
check release "$program" || failed=1
check address+undefined "${program}_address" || failed=1
check thread "${steady[@]}" "${program}_thread" || failed=1
exit "$failed"
