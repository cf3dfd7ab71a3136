#!/usr/bin/env bash
# scripts/fuzz.sh [SECONDS [TARGET...]]: feeds each fuzz target (fuzz/TARGET_fuzz.cpp; all of them by default, at the
# same time) for so many seconds (60), from the seeds in fuzz/corpus/TARGET, under the address and undefined-behaviour
# sanitizers. Exits with 1 when an input makes one crash, leak, hang or take 2 GB; that input then lies in build/fuzz/.
# Needs clang++-14 with libFuzzer: the set "fuzz" of packages.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true

all_targets() {
  find fuzz -name '*_fuzz.cpp' -printf '%f\n' | sed 's/_fuzz\.cpp$//' | sort | tr '\n' ' '
}

out=build/fuzz
flags=(-std=c++20 -O1 -g -Isrc -DFMT_HEADER_ONLY -ffp-contract=off -fsanitize=fuzzer-no-link,address,undefined
       -fno-sanitize-recover=all -fno-omit-frame-pointer)
compiler=(clang++-14)
command -v ccache >/dev/null && compiler=(ccache clang++-14)

# The object of a source; its name says which.
object_of() { echo "$out/objects/${1//\//_}.o"; }

compile() { "${compiler[@]}" "${flags[@]}" -c "$1" -o "$(object_of "$1")"; }

# Compiles the sources, as many at a time as there are processors.
compile_all() {
  local source pending=()
  for source in "$@"; do
    compile "$source" &
    pending+=($!)
    if [ ${#pending[@]} -ge "$(nproc)" ]; then
      wait "${pending[0]}"
      pending=("${pending[@]:1}")
    fi
  done
  for source in "${pending[@]}"; do wait "$source"; done
}

# What the targets are linked from: an archive, out of which the linker takes what a target needs. What writes checkpoints
# and what stands in for libcuda reads no file of a stranger's, and is left out.
build() {
  local sources own=() objects=() source target
  mkdir -p "$out/objects"
  mapfile -t sources < <(
    find src/checkpoint -name '*.cpp' ! -name 'synth*' ! -name 'models.cpp'
    find src/emulator -name '*.cpp' ! -name 'driver*'
    find src/reference -name 'tensor_core*.cpp')
  for target in "$@"; do own+=("fuzz/${target}_fuzz.cpp"); done
  compile_all "${sources[@]}" "${own[@]}"
  for source in "${sources[@]}"; do objects+=("$(object_of "$source")"); done
  rm -f "$out/libmoesaic.a"
  ar rcs "$out/libmoesaic.a" "${objects[@]}"
  for target in "$@"; do
    clang++-14 -fsanitize=fuzzer,address,undefined "$(object_of "fuzz/${target}_fuzz.cpp")" "$out/libmoesaic.a" \
      -lpcre2-8 -lzstd -llz4 -lpthread -o "$out/${target}_fuzz"
  done
}

# The corpus that grows stays in the build tree; the seeds are only read.
run() {
  mkdir -p "$out/corpus/$1" "fuzz/corpus/$1"
  "$out/$1_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="$out/$1-" "$out/corpus/$1" "fuzz/corpus/$1" 2>"$out/$1.log" || {
    tail -n 60 "$out/$1.log" >&2
    echo "scripts/fuzz.sh: $1 failed; the input lies in $out/$1-*" >&2
    return 1
  }
  grep -E 'number_of_executed_units|DONE' "$out/$1.log" | tail -n 2 | sed "s/^/$1: /"
}

targets=("$@")
[ ${#targets[@]} != 0 ] || read -ra targets <<<"$(all_targets)"
for target in "${targets[@]}"; do
  [ -f "fuzz/${target}_fuzz.cpp" ] || {
    echo "scripts/fuzz.sh: no target $target; those there are: $(all_targets)" >&2
    exit 2
  }
done
build "${targets[@]}"
running=()
for target in "${targets[@]}"; do
  run "$target" &
  running+=($!)
done
failed=0
for pid in "${running[@]}"; do wait "$pid" || failed=1; done
exit "$failed"
