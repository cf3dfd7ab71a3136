#!/usr/bin/env bash
# scripts/cutlass_examples.sh [NAME...]: programs that use CUTLASS on an emulated GB10 with two SMs and all checks on, each
# with the headers of 4.2 and of 4.5: CUTLASS's own examples for SM120, unchanged (79a to 79d and 87a to 87c, as the wheel
# of 4.2 has them), and tests/runtime/cutlass_gemm.cu (`gemm`). All of them unless named: 79a 87c gemm. Needs nvcc and the
# release build. A program is built once, in build/cutlass; most take minutes, nearly all of it in nvcc's front ends.
# Prints a line for each; ends with 1 if one did not pass. It passes when its own check says so and the emulator found
# nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/cutlass.sh
moesaic=build/release/src/cli/moesaic
examples=.cache/cutlass/4.2/examples
out=build/cutlass
names=("$@")
[ $# != 0 ] || names=(79a 79b 79c 79d 87a 87b 87c gemm)

# Sets source, arguments and passed, a line of the output, for a name.
describe() {
  arguments=(--m=256 --n=384 --k=512 --iterations=0)
  passed='Disposition: Passed'
  case $1 in
    79d | 87c) arguments=(--m=128 --n=256 --k=256 --groups=3 --iterations=0) ;;
    gemm)
      arguments=(200 136 352)
      passed='ok'
      source=tests/runtime/cutlass_gemm.cu
      return
      ;;
  esac
  source=$(echo "$examples"/*_blackwell_geforce_*/"$1"_*.cu)
  [ -e "$source" ] || {
    echo "CUTLASS 4.2 has no example $1 for SM120" >&2
    exit 2
  }
}

compile() {
  nvcc -cudart shared -std=c++17 -O1 -lineinfo --expt-relaxed-constexpr -diag-suppress 20012 \
    -gencode 'arch=compute_120f,code=[sm_120f,compute_120f]' -I tests -I ".cache/cutlass/$1/include" \
    -I ".cache/cutlass/$1/tools/util/include" -I "$examples/common" -o "$2" "$source" >"$2.log" 2>&1
}

failed=0
printf '%-8s %-8s %10s %8s  %s\n' program headers compiled run result
for name in "${names[@]}"; do
  describe "$name"
  for version in 4.2 4.5; do
    program=$out/$version/$name
    mkdir -p "$out/$version"
    start=$SECONDS
    if [ "$program" -nt "$source" ]; then
      compiled='before'
    elif compile "$version" "$program"; then
      compiled="$((SECONDS - start)) s"
    else
      printf '%-8s %-8s %10s %8s  %s\n' "$name" "$version" failed - "see $program.log"
      failed=1
      continue
    fi
    start=$SECONDS
    code=0
    "$moesaic" emulate --gpu gb10 --sms 2 --check all -- "$program" "${arguments[@]}" >"$program.txt" 2>"$program.err" ||
      code=$?
    result="NOT PASSED, exit code $code, see $program.txt and $program.err"
    # An example says it once for each of its kernels.
    if [ "$code" = 0 ] && grep -q "$passed" "$program.txt" && ! grep -q 'Disposition: Failed' "$program.txt"; then
      result="passed: $(grep -c "$passed" "$program.txt") times"
    else
      failed=1
    fi
    printf '%-8s %-8s %10s %8s  %s\n' "$name" "$version" "$compiled" "$((SECONDS - start)) s" "$result"
  done
done
exit "$failed"
