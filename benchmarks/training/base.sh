#!/usr/bin/env bash
# Trains the weights `base` that come with the package, from nothing to the two files:
#
#   benchmarks/training/base.sh PHOTOS OUT
#
# PHOTOS is a folder of the kind mesh478 (docs/data-formats.md), OUT a new one. Each step is left out where its result
# is there already, and trainings go on from their last checkpoint, so that the script can be stopped and started again.
# About four hours on two cores; SEED=1 gives other faces and another order.
set -euo pipefail
photos=$(realpath "$1") out=$2 seed=${SEED:-0}
mkdir -p "$out"
cd "$out"

# A training: name, preset, what else to set.
train() {
  local name=$1 preset=$2
  shift 2
  local settings=()
  for setting in "photo_source=mesh478:$photos" "$@"; do
    case $setting in photo_source=* | fitted_source=* | faces=*) setting=data.$setting ;; esac
    settings+=(--set "$setting")
  done
  twodasl train --preset "$preset" -o "$name" --resume "${settings[@]}"
}

# 3D annotation of the photos by a network, and the same heads turned towards profiles.
annotate() {
  local name=$1 network=$2
  [ -e "photos-$name/fitted.json" ] || twodasl data annotate mesh478 "$photos" -c "$network" -o "photos-$name"
  [ -e "profiles-$name/fitted.json" ] || twodasl data turn "photos-$name" -o "profiles-$name" --seed "$name"
}

train first base-start "seed=$seed"
annotate 1 first/checkpoint.pt
train second base "seed=$((seed + 1))" network.start=first/checkpoint.pt fitted_source=fitted:photos-1,fitted:profiles-1 \
  stage2.steps=7000 stage2.learning_rate=7e-4 stage2.final_learning_rate=1.2e-4
annotate 2 second/checkpoint.pt
train third base "seed=$((seed + 2))" network.start=second/checkpoint.pt fitted_source=fitted:photos-2,fitted:profiles-2
twodasl weights export -c third/checkpoint.pt -o base.safetensors --confidence-on "mesh478:$photos"
