#!/usr/bin/env bash
# Builds the package against, and runs the operators' tests under, the oldest and the newest torch and every Python that
# pyproject.toml promises, each in an environment of its own, and prints a table:
#
#   tests/compatibility.sh [PYTHON:TORCH ...]
#
# for example 3.10:2.10.0 3.13:2.14.1; without arguments the pairs of docs/development.md. A row is one build with that
# torch's headers (no build isolation: what a machine without a network does), then tests/ext. WHEEL=FILE tests that wheel
# instead of building one. Environments are kept in the folder ENVIRONMENTS where that is set, and used again.
# torch for Linux comes with CUDA where the index has no CPU build: some 7 GB for an environment. Where nvcc is, the CUDA
# operators are built too; SKBUILD_CMAKE_DEFINE=TWODASL_CUDA_ARCHITECTURES=90 builds them for one architecture.
set -euo pipefail
cd "$(dirname "$0")/.."
pairs=("$@")
[ "${#pairs[@]}" -gt 0 ] || pairs=(3.11:2.10.0 3.11:2.11.0 3.11:2.14.1 3.10:2.10.0 3.12:2.11.0 3.13:2.14.1)
work=$(mktemp -d)
environments=${ENVIRONMENTS:-$work/environments}
mkdir -p "$environments"
trap 'rm -rf "$work"' EXIT

# The interpreter of a version: on the PATH, or one that pyenv keeps.
find_python() {
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1"/bin/python; do
    if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2> /dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "compatibility.sh: Python $1 was not found on the PATH nor under pyenv" >&2
  return 1
}

environment() { # folder, Python, torch
  [ ! -e "$1/ready" ] || return 0
  "$2" -m venv --clear "$1"
  "$1/bin/pip" install --quiet --upgrade pip
  # The cache would hold the same gigabytes once more.
  "$1/bin/pip" install --quiet --no-cache-dir "torch==$3" numpy scipy pytest hypothesis \
    "scikit-build-core>=0.10,<2" "pybind11>=2.13,<4"
  touch "$1/ready"
}

# The last line of pytest, shortened; fails where pytest does.
run_tests() { # folder, log
  (cd "$work/tests" && "$1/bin/python" -m pytest -q -p no:cacheprovider --import-mode=importlib ext 2>&1 | tee "$2" |
    tail -n 1 | sed -e 's/^=* *//; s/ *=*$//; s/, [0-9]* warnings*//; s/, [0-9]* deselected//; s/ in .*//')
}

mkdir "$work/tree"
git archive HEAD | tar -xC "$work/tree"
# Away from the sources, so that the installed package is what is tested.
cp -r "$work/tree/tests" "$work/tests"
cp -r "$work/tree/benchmarks" "$work/benchmarks"
cp "$work/tree/pyproject.toml" "$work/tests"

echo "| Python | torch | wheel built with torch | numpy | tests/ext |"
echo "|---|---|---|---|---|"
status=0
for pair in "${pairs[@]}"; do
  version=${pair%%:*} torch=${pair##*:} folder=$environments/${pair/:/-} log=$work/${pair/:/-}.log
  python=$(find_python "$version")
  environment "$folder" "$python" "$torch" >&2
  wheel=${WHEEL:-}
  if [ -z "$wheel" ] && "$folder/bin/pip" wheel --quiet --no-build-isolation --no-deps --wheel-dir "$log.wheel" \
      "$work/tree" > "$log" 2>&1; then
    wheel=$(echo "$log.wheel"/*.whl)
  fi
  if [ -n "$wheel" ]; then
    "$folder/bin/pip" install --quiet --no-deps --force-reinstall "$wheel" >&2
    failed=
    result=$(run_tests "$folder" "$log") || failed=1
    about=$(cd "$work" && "$folder/bin/python" -c 'import numpy, torch, twodasl_ext as te
print(torch.__version__, "|", te.build_info()["built_with_torch"], "|", numpy.__version__)') || about="$torch | | "
  else
    failed=1 result="the build failed" about="$torch | | "
  fi
  echo "| $version | $about | $result${failed:+: FAILED} |"
  [ -z "$failed" ] || { status=1; tail -n 40 "$log" >&2; }
  [ -n "${ENVIRONMENTS:-}" ] || rm -rf "$folder"
done
exit $status
