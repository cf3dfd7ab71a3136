#!/usr/bin/env bash
# Remakes tests/fixtures/{silicon,programs} on a machine with an H200 (gpu:0): what the card answers to single instructions and wrong
# calls, and to every form of its instruction set (silicon_record), the digests of whole layers (layer_probe) and of
# whole programs (programs_record). CI holds the emulated H200 to these files.
#   scripts/record_silicon.sh build [FOLDER]    builds the programs so that they run on another Linux machine too
#   scripts/record_silicon.sh record [FOLDER [DIFFERENCES]]   runs them from FOLDER and writes the fixtures, and into the
#                                               file DIFFERENCES what an emulated H200 answers otherwise
# FOLDER is build/portable/tests unless given: the second step needs it and this script's checkout, nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${2:-build/portable/tests}
fixtures=tests/fixtures/silicon

case ${1:-} in
  build)
    cmake --preset release -B build/portable -D MOESAIC_PORTABLE=ON >/dev/null
    cmake --build build/portable --target silicon_record layer_probe programs_record
    ;;
  record)
    "$folder/silicon_record" gpu:0 $fixtures "${@:3}"
    "$folder/layer_probe" gpu:0 >$fixtures/layers.json.partial
    mv $fixtures/layers.json.partial $fixtures/layers.json
    "$folder/programs_record" gpu:0 tests/fixtures/programs/h200.txt
    ;;
  *)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
