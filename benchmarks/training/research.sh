#!/usr/bin/env bash
# Trains the weights `research` that come with the package: on from `base`, with AFLW's photos, which are for research only:
#
#   benchmarks/training/research.sh PHOTOS AFLW OUT
#
# PHOTOS is a folder of the kind mesh478, AFLW one of the kind aflw (docs/data-formats.md), OUT a new one. Each step is left
# out where its result is there already, and the training goes on from its last checkpoint, so that the script can be stopped
# and started again. Further arguments go to `twodasl train`.
set -euo pipefail
photos=$(realpath "$1") aflw=$(realpath "$2") out=$3 seed=${SEED:-0}
shift 3
mkdir -p "$out"
cd "$out"

# 3D annotation of both sets by a network, and the same heads turned towards profiles.
annotate() {
  local name=$1 network=$2
  [ -e "photos-$name/fitted.json" ] || twodasl data annotate mesh478 "$photos" -c "$network" -o "photos-$name"
  [ -e "aflw-$name/fitted.json" ] || twodasl data annotate aflw "$aflw" -c "$network" -o "aflw-$name"
  [ -e "profiles-$name/fitted.json" ] || twodasl data turn "photos-$name" -o "profiles-$name" --seed "$name"
  [ -e "aflw-profiles-$name/fitted.json" ] || twodasl data turn "aflw-$name" -o "aflw-profiles-$name" --seed "$name"
}

annotate 1 base
twodasl train --preset research -o research --resume --set "seed=$seed" --set "data.photo_source=aflw:$aflw" \
  --set data.fitted_source=fitted:photos-1,fitted:aflw-1,fitted:profiles-1,fitted:aflw-profiles-1 "$@"
twodasl weights export -c research/checkpoint.pt -o research.safetensors --confidence-on "mesh478:$photos"
