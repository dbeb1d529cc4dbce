#!/usr/bin/env bash
# The CUDA kernels in the emulator: the operators' own tests and those of tests/cuda, with AddressSanitizer and without,
# in several orders of threads, warps and blocks. No GPU is needed, and no nvcc: a C++ compiler, CMake, and a Python with
# twodasl installed. `python` is used, or what PYTHON names.
#
#   tests/cuda/run_emulated.sh [TEST...]        default: tests/ext tests/cuda
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$(command -v "${PYTHON:-python}")
cxx=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"
tests=("$@")
[ "${#tests[@]}" -gt 0 ] || tests=(tests/ext tests/cuda)

# build NAME SANITIZERS
# shellcheck disable=SC2015
build() {
  cmake -S "$root" -B "$work/$1" -DTWODASL_EMULATOR=ON "-DTWODASL_SANITIZERS=$2" "-DPython_EXECUTABLE=$python" \
    > "$work/$1.log" 2>&1 &&
    cmake --build "$work/$1" --target twodasl_operators_emulated >> "$work/$1.log" 2>&1 ||
    { tail -n 40 "$work/$1.log"; echo "the emulated operators ($1) do not build"; return 1; }
}
build address address & first=$!
build plain "" || { wait "$first" || true; exit 1; }
wait "$first" || exit 1

# Python itself is built without the sanitizers, so their libraries have to be loaded before it.
preload=$("$cxx" -print-file-name=libasan.so):$("$cxx" -print-file-name=libubsan.so)

# part BUILD NUMBER RUNS: the output in $work/BUILD.NUMBER. The first runs list the tests that launch a kernel. The others
# choose from that list: no order of threads changes a test that has none, or what is traced. Memory that nobody has written
# is NaN (-1 in integers) with AddressSanitizer, and a huge number without. Leaks are not looked for: Python keeps objects to
# its end. The log level silences torch, which tells that kernels are replaced: that is the point.
part() {
  local -a sanitized=() tested
  if [ -e "$work/launched" ]; then
    tested=("TWODASL_EMULATED_ONLY=$work/launched")
  else
    tested=("TWODASL_EMULATED_LIST=$work/launched.$2")
  fi
  if [ "$1" = address ]; then
    sanitized=("LD_PRELOAD=$preload" "ASAN_OPTIONS=detect_leaks=0:max_malloc_fill_size=1073741824:malloc_fill_byte=255")
  else
    sanitized=(MALLOC_PERTURB_=128)
  fi
  env "${sanitized[@]}" "${tested[@]}" TORCH_CPP_LOG_LEVEL=ERROR \
    PYTHONPATH="$root/tests/cuda/emulator${PYTHONPATH:+:$PYTHONPATH}" \
    TWODASL_EMULATED_OPERATORS="$work/$1/_operators_emulated.so" TWODASL_EMULATED_RUNS="$3" OMP_NUM_THREADS=1 \
    "$python" -m pytest -q -p emulated -p no:cacheprovider "${tests[@]}" > "$work/$1.$2" 2>&1
}

failed=0
# check BUILD RUNS RUNS: two processes side by side, each with its ORDER:NUMBER/PARTS..., and one line of what came of them.
check() {
  local first status=0 log began=$SECONDS
  part "$1" 0 "$2" & first=$!
  part "$1" 1 "$3" || status=$?
  wait "$first" || status=$?
  log=("$work/$1.0" "$work/$1.1")
  # pytest's last lines: "12 passed, 3 skipped in 4.5s"; the plugin's: "emulated launches: 7".
  local summary
  summary=$(awk '/^emulated launches: / { launches += $3 }
    / in [0-9.]+s/ { for (i = 1; i < NF; ++i) if ($i ~ /^[0-9]+$/) { w = $(i + 1); sub(",", "", w); n[w] += $i } }
    END { printf "%d passed, %d failed, %d skipped, %d launches", n["passed"], n["failed"] + n["error"] + n["errors"],
      n["skipped"], launches; exit launches == 0 }' "${log[@]}") || status=1
  if [ "$status" -ne 0 ]; then
    failed=1
    grep -hE '^(FAILED|ERROR|order )|AddressSanitizer|runtime error|Error' "${log[@]}" | head -n 40 || true
    tail -n 25 "${log[@]}"
  fi
  echo "emulated, $1, order:part $2 and $3: $summary, $((SECONDS - began)) s$(
    [ "$status" -eq 0 ] || echo ": FAILED")"
}

# All of the tests once with the sanitizer; then in other orders, of which each takes a sample of its own. Most of what a
# process takes to begin is torch's import and pytest's collection, so each runs its tests in two orders.
check address "0:0/2 7:2/4" "0:1/2 7:1/4"
cat "$work"/launched.? > "$work/launched" || exit 1
check plain "1:0/4 12:3/8" "1:1/4 12:7/8"
exit "$failed"
