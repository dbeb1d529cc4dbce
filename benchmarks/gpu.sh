#!/usr/bin/env bash
# Everything that only a GPU can tell, in stages of at most ten minutes: builds the package as it would be installed,
# runs the tests that are marked `cuda`, NVIDIA's checkers on some of them, and measures. Needs no network and changes
# nothing outside its two folders.
#
#   benchmarks/gpu.sh [--dry-run] [--stages LIST] [--build DIR] [OUT]
#
# OUT (default gpu-results) receives six files: verdicts.txt, logs.tar.gz, and .json and .md of both benchmarks.
# --stages   some of them, separated by commas; a build that is still there is not made again, so that the stages can be
#            run in several calls. Default: all, in this order:
#              versions build machine-code semantics tests slow-tests memcheck racecheck vertices operators
# --build    the folder in which the build and the logs of earlier calls stay (default OUT/build)
# --dry-run  without a GPU, to try this script and the benchmark's program
#
# Needs a python with torch >= 2.10, pytest, numpy; nvcc, a C++ compiler and CMake; scikit-build-core and pybind11, which
# may also lie as wheels in the folder that WHEELS names. PYTHON names another python. SECONDS_EACH (default 0.25) is
# spent on every way of computing every row of the benchmark.
# A stage that fails does not stop the next; the last lines say which did, and the exit code is then 1.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
all=(versions build machine-code semantics tests slow-tests memcheck racecheck vertices operators)
limit=600  # seconds for a stage
dry="" build="" out=gpu-results
stages=("${all[@]}")
wrong() { echo "benchmarks/gpu.sh: $1" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry=--dry-run ;;
    --stages) IFS=, read -ra stages <<< "${2:-}"; shift ;;
    --build) build=${2:-}; shift ;;
    -*) wrong "unknown option $1" ;;
    *) out=$1 ;;
  esac
  shift || wrong "the last option lacks its value"
done
for stage in "${stages[@]}"; do
  [[ " ${all[*]} " == *" $stage "* ]] || wrong "--stages: expected some of ${all[*]}, got '$stage'"
done
[ "${#stages[@]}" -gt 0 ] || wrong "--stages: expected at least one of ${all[*]}"
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
mkdir -p "${build:=$out/build}" && build=$(cd "$build" && pwd) || exit 2
python=$(command -v "${PYTHON:-python3}") || wrong "no python"
[ ! -x /usr/local/cuda/bin/nvcc ] || PATH=$PATH:/usr/local/cuda/bin
site=$build/site
mkdir -p "$build/logs" "$build/verdicts"

versions() {
  uname -sr
  "$python" -c 'import sys, torch; print("python", sys.version.split()[0], "torch", torch.__version__, "CUDA", torch.version.cuda)'
  command -v nvcc && nvcc --version | tail -n 2
  command -v nvidia-smi && nvidia-smi
  [ -n "$dry" ] || "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'
}

# For the GPUs that are here alone: a few minutes less than for all that there are. Commas, since semicolons would
# separate options.
architectures() {
  "$python" -c 'import torch
seen = {"%d%d" % torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
print(",".join(sorted(seen, key=int)))'
}

# What a build depends on: sources, torch, options.
sources=(CMakeLists.txt pyproject.toml README.md LICENSE csrc python twodasl_ext)
stamp() {
  echo "$1"
  "$python" -c 'import sys, torch; print(sys.version, torch.__version__)'
  (cd "$root" && find "${sources[@]}" -type f ! -name '*.so' ! -name '*.pyc' -print0 | sort -z | xargs -0 cksum)
}

build() {
  local define=TWODASL_CUDA=OFF missing=() module part wanted
  if [ -z "$dry" ]; then
    define=$(architectures) && [ -n "$define" ] || return 1
    define="TWODASL_CUDA=ON;TWODASL_CUDA_ARCHITECTURES=$define"
  fi
  wanted=$(stamp "$define") || return 1
  if [ -e "$build/stamp" ] && [ "$wanted" = "$(cat "$build/stamp")" ]; then
    echo "the build in $build is of these sources"
  else
    rm -rf "$build/stamp" "$site" "$build/tree"
    for module in scikit_build_core pybind11; do
      PYTHONPATH="$build/tools${PYTHONPATH:+:$PYTHONPATH}" "$python" -c "import $module" 2> /dev/null ||
        missing+=("${module//_/-}")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
      if [ -z "${WHEELS:-}" ]; then
        echo "missing: ${missing[*]}; name a folder with their wheels in WHEELS"
        return 1
      fi
      "$python" -m pip install --quiet --no-index --find-links "$WHEELS" --target "$build/tools" "${missing[@]}" ||
        return 1
    fi
    # A copy: the build writes beside the sources. Times stay, so that what has not changed is not compiled again.
    mkdir "$build/tree" || return 1
    for part in "${sources[@]}"; do
      cp -Rp "$root/$part" "$build/tree/" || return 1
    done
    PYTHONPATH="$build/tools${PYTHONPATH:+:$PYTHONPATH}" PATH="$build/tools/bin:$PATH" SKBUILD_CMAKE_DEFINE=$define \
      SKBUILD_BUILD_DIR="$build/cmake" "$python" -m pip install --quiet --no-build-isolation --no-deps --no-index \
      --target "$site" "$build/tree" || return 1
    printf '%s\n' "$wanted" > "$build/stamp"
  fi
  ls -l "$site/twodasl_ext/"*.so
  (cd "$build" && in_site "$python" -c 'import twodasl_ext; print(twodasl_ext.build_info())')
}

# The installed package and, behind it, tests and benchmarks; the sources' own twodasl_ext stays out of the way.
in_site() { env PYTHONPATH="$site:$build/bench${PYTHONPATH:+:$PYTHONPATH}" "$@"; }
bench_folder() {
  rm -rf "$build/bench" && mkdir "$build/bench" &&
    cp -R "$root/tests" "$root/benchmarks" "$root/csrc" "$root/pyproject.toml" "$build/bench/"
}
pytest() { (cd "$build/bench" && in_site "$python" -m pytest -p no:cacheprovider "$@"); }

# Wide accesses and spills in the machine code of `vertices`.
machine_code() { pytest -m slow tests/cuda/test_machine_code.py; }

# What the emulator was tested with, by a real GPU.
semantics() {
  nvcc -std=c++17 -O2 --expt-relaxed-constexpr "-arch=$("$python" -c 'import torch
print("sm_%d%d" % torch.cuda.get_device_capability(0))')" -o "$build/semantics" \
    "$root/tests/cuda/emulator/semantics.cu" && "$build/semantics"
}

# A few tests of each kind: the checkers slow kernels down a hundredfold. For one multiprocessor, so that few vertices
# reach every kernel.
short="(one and vertex and over) or brute_force or nearest_rotation or finds_a_motion or few_vertices or both_tiles"
checked() {
  (cd "$build/bench" && in_site env PYTORCH_NO_CUDA_MEMORY_CACHING=1 TWODASL_MULTIPROCESSORS=1 \
    compute-sanitizer --tool "$1" --error-exitcode 9 --target-processes all \
    "$python" -m pytest -p no:cacheprovider -q tests/cuda/test_parity.py tests/cuda/test_tiles.py -k "$short")
}

# measured NAME OPTION...: some of the rows, into OUT/NAME.json and OUT/NAME.md.
measured() {
  # shellcheck disable=SC2086
  env -C "$build/bench" PYTHONPATH="$site:$build/bench${PYTHONPATH:+:$PYTHONPATH}" "$python" -m benchmarks.gpu \
    $dry --seconds "${SECONDS_EACH:-0.25}" --out "$out" --name "$1" "${@:2}"
}

one() {
  case $1 in
    versions | build | semantics) "$1" ;;
    machine-code) machine_code ;;
    tests) pytest -m "cuda and not slow" tests/cuda ;;
    slow-tests) pytest -m "cuda and slow" tests/cuda ;;
    memcheck | racecheck) checked "$1" ;;
    vertices) measured vertices --only vertices ;;
    operators) measured operators --without vertices ;;
  esac
}

# Why a stage cannot be run here; nothing if it can.
obstacle() {
  case $1 in
    versions | build) return ;;
    machine-code) command -v cuobjdump > /dev/null || { echo "skipped, cuobjdump is not here"; return; } ;;
    semantics | tests | slow-tests) [ -z "$dry" ] || { echo "skipped, a dry run"; return; } ;;
    memcheck | racecheck)
      [ -z "$dry" ] || { echo "skipped, a dry run"; return; }
      command -v compute-sanitizer > /dev/null || { echo "skipped, compute-sanitizer is not here"; return; }
      ;;
  esac
  [ -e "$build/stamp" ] || echo "not tried, nothing is built"
}

# stage NAME: its output also in the logs; ended after ten minutes.
failed=0 running=""
trap '[ -z "$running" ] || kill -KILL -- "-$running"; exit 130' INT TERM  # a stage does not see the terminal's Ctrl-C
stage() {
  local began=$SECONDS status=0 said
  printf '\n== %s\n' "$1"
  said=$(obstacle "$1")
  if [ -z "$said" ]; then
    set -m  # a group of processes of its own, which can be ended as one
    one "$1" > "$build/logs/$1.log" 2>&1 &
    running=$!
    set +m
    while kill -0 "$running" 2> /dev/null; do
      if [ $((SECONDS - began)) -ge "$limit" ]; then
        echo "ended after $limit s" >> "$build/logs/$1.log"
        kill -KILL -- "-$running"
        break
      fi
      sleep 1
    done
    wait "$running" 2> /dev/null || status=$?
    running=""
    cat "$build/logs/$1.log"
    said=passed
    [ "$status" -eq 0 ] || said="FAILED (exit code $status)"
    said="$said, $((SECONDS - began)) s"
  fi
  case $said in FAILED* | "not tried"*) failed=1 ;; esac
  echo "$1: $said" > "$build/verdicts/$1"
}

bench_folder || wrong "the tests could not be copied"
for name in "${stages[@]}"; do
  stage "$name"
done

printf '\n== verdicts\n'
for name in "${all[@]}"; do
  [ ! -e "$build/verdicts/$name" ] || cat "$build/verdicts/$name"
done | tee "$out/verdicts.txt"
tar -czf "$out/logs.tar.gz" -C "$build" logs
exit "$failed"
