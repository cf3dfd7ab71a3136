#!/usr/bin/env bash
# `make run`: from a bare machine to one MoE layer computed and checked. Goes on where it was when run again.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/bootstrap.sh

if [ ! -f build/release/build.ninja ]; then
  echo "== Configuring (build/release)"
  cmake --preset release >/dev/null
fi
echo "== Building"
cmake --build --preset release --target moesaic

moesaic=build/release/src/cli/moesaic
demo=build/demo/qwen3-small
# A newer program may write another checkpoint.
if [ ! $demo/config.json -nt $moesaic ]; then
  echo
  echo "== Making a small Qwen3-MoE checkpoint with FP8 weights in $demo"
  $moesaic synth $demo --force
fi

echo
echo "== A layer of that checkpoint on the best device of this machine, checked against a double-precision reference"
$moesaic run $demo --check
echo
echo "== The same layer on an emulated NVIDIA GB10: a CPU runs the very GPU code that ships, bit for bit"
$moesaic run $demo --device emulated:gb10 --tokens 4 --check
echo
echo "== The program that the last lines call moesaic is $moesaic ($moesaic --help)"
