#!/usr/bin/env bash
# bench/compare.sh MOESAIC COMBINED.json [TURNS] [OPTION...]: the grouped GEMM by the program MOESAIC, by Triton and by torch on the
# GPU of this machine, in turns (3 unless given); OPTIONs go to `moesaic bench gemm`. COMBINED.json gets every sample of every turn.
# Needs python3 with torch and triton.
set -euo pipefail
if [ $# -lt 2 ]; then
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
program=$1
combined=$2
shift 2
turns=3
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
  turns=$1
  shift
fi
ours=$(mktemp)
trap 'rm -f "$ours"' EXIT
rm -f "$combined"
for ((turn = 1; turn <= turns; ++turn)); do
  echo "== turn $turn of $turns"
  "$program" bench gemm --json "$ours" "$@"
  python3 "$(dirname "$0")/triton_moe.py" "$ours" "$combined"
done
