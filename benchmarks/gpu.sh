#!/usr/bin/env bash
# Everything that only a GPU can tell, in one command: builds the package as it would be installed, runs the tests that
# are marked `cuda`, NVIDIA's checkers on some of them, and measures. Needs no network and changes nothing outside OUT.
#
#   benchmarks/gpu.sh [--dry-run] [OUT]      OUT: a new folder (default: gpu-results)
#
# Needs a python with torch >= 2.10, pytest, numpy; nvcc, a C++ compiler and CMake; scikit-build-core and pybind11, which
# may also lie as wheels in the folder that WHEELS names. PYTHON names another python. SECONDS_EACH (default 0.25) is
# spent on every way of computing every row of the benchmark.
# A stage that fails does not stop the next; the last lines say which did, and the exit code is then 1.
# --dry-run: without a GPU, to try this script and the benchmark's program.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dry=""
if [ "${1:-}" = --dry-run ]; then
  dry=--dry-run
  shift
fi
mkdir -p "${1:-gpu-results}" && out=$(cd "${1:-gpu-results}" && pwd) || exit 2
python=$(command -v "${PYTHON:-python3}") || { echo "$0: no python" >&2; exit 2; }
[ ! -x /usr/local/cuda/bin/nvcc ] || PATH=$PATH:/usr/local/cuda/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
site=$work/site
verdicts=()

# stage NAME COMMAND...: its output also in OUT/NAME.log.
stage() {
  local name=$1 began=$SECONDS status=0
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$out/$name.log"
  status=${PIPESTATUS[0]}
  local said=passed
  [ "$status" -eq 0 ] || said="FAILED (exit code $status)"
  verdicts+=("$name: $said, $((SECONDS - began)) s")
  return "$status"
}
skip() { verdicts+=("$1: skipped, $2"); }

versions() {
  uname -sr
  "$python" -c 'import sys, torch; print("python", sys.version.split()[0], "torch", torch.__version__, "CUDA", torch.version.cuda)'
  command -v nvcc && nvcc --version | tail -n 2
  command -v nvidia-smi && nvidia-smi
  [ -n "$dry" ] || "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'
}

# For the GPUs that are here alone: a few minutes less than for all that there are.
architectures() {
  "$python" -c 'import torch
seen = {"%d%d" % torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
print(",".join(sorted(seen, key=int)))'
}

build() {
  local define=TWODASL_CUDA=OFF missing=() module part
  [ -n "$dry" ] || define="TWODASL_CUDA=ON;TWODASL_CUDA_ARCHITECTURES=$(architectures)" || return 1
  for module in scikit_build_core pybind11; do
    "$python" -c "import $module" 2> /dev/null || missing+=("${module//_/-}")
  done
  if [ "${#missing[@]}" -gt 0 ]; then
    if [ -z "${WHEELS:-}" ]; then
      echo "missing: ${missing[*]}; name a folder with their wheels in WHEELS"
      return 1
    fi
    "$python" -m pip install --quiet --no-index --find-links "$WHEELS" --target "$work/tools" "${missing[@]}" || return 1
  fi
  # A copy: the build writes beside the sources.
  mkdir "$work/tree" || return 1
  for part in CMakeLists.txt pyproject.toml README.md LICENSE csrc python twodasl_ext; do
    cp -R "$root/$part" "$work/tree/" || return 1
  done
  PYTHONPATH="$work/tools${PYTHONPATH:+:$PYTHONPATH}" PATH="$work/tools/bin:$PATH" SKBUILD_CMAKE_DEFINE=$define \
    "$python" -m pip install --quiet --no-build-isolation --no-deps --no-index --target "$site" "$work/tree" || return 1
  ls -l "$site/twodasl_ext/"*.so
  (cd "$work" && in_site "$python" -c 'import twodasl_ext; print(twodasl_ext.build_info())')
}

# The installed package and, behind it, tests and benchmarks; the sources' own twodasl_ext stays out of the way.
in_site() { env PYTHONPATH="$site:$work/bench${PYTHONPATH:+:$PYTHONPATH}" "$@"; }
bench_folder() {
  mkdir -p "$work/bench" && cp -R "$root/tests" "$root/benchmarks" "$root/pyproject.toml" "$work/bench/"
}
tests() { (cd "$work/bench" && in_site timeout "$1" "$python" -m pytest -p no:cacheprovider "${@:2}"); }

# What the emulator was tested with, by a real GPU.
semantics() {
  nvcc -std=c++17 -O2 --expt-relaxed-constexpr "-arch=$("$python" -c 'import torch
print("sm_%d%d" % torch.cuda.get_device_capability(0))')" -o "$work/semantics" \
    "$root/tests/cuda/emulator/semantics.cu" && "$work/semantics"
}

# A few tests of each kind: the checkers slow kernels down a hundredfold.
short="(one and vertex and over) or brute_force or nearest_rotation or finds_a_motion"
checked() {
  (cd "$work/bench" && in_site env PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout 1500 \
    compute-sanitizer --tool "$1" --error-exitcode 9 --target-processes all \
    "$python" -m pytest -p no:cacheprovider -q tests/cuda/test_parity.py -k "$short")
}

stage versions versions
if ! stage build build; then
  verdicts+=("the rest: not tried, nothing to run")
else
  bench_folder
  if [ -n "$dry" ]; then
    skip tests "a dry run"
  else
    stage semantics semantics
    stage tests tests 1800 -m cuda tests/cuda
    if command -v compute-sanitizer > /dev/null; then
      stage memcheck checked memcheck
      stage racecheck checked racecheck
    else
      skip memcheck "compute-sanitizer is not here"
      skip racecheck "compute-sanitizer is not here"
    fi
  fi
  # shellcheck disable=SC2086
  stage benchmark env -C "$work/bench" PYTHONPATH="$site:$work/bench${PYTHONPATH:+:$PYTHONPATH}" timeout 3000 \
    "$python" -m benchmarks.gpu $dry --seconds "${SECONDS_EACH:-0.25}" --out "$out"
fi

printf '\n== verdicts\n'
printf '%s\n' "${verdicts[@]}" | tee "$out/verdicts.txt"
! grep -qE 'FAILED|not tried' "$out/verdicts.txt"
