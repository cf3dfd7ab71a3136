#!/usr/bin/env bash
# The CUDA programs of tests/runtime on a real card with NVIDIA's own runtime, and on an emulated one: are their outputs equal?
#   scripts/record_programs.sh build [FOLDER]    builds them for sm_90a, with NVIDIA's runtime in them (needs nvcc and
#                                                GoogleTest)
#   scripts/record_programs.sh real [FOLDER]     runs them on the first card of this machine (needs FOLDER and a driver)
#   scripts/record_programs.sh emulated [FOLDER] builds them with the runtime as a shared library and runs them on an
#                                                emulated H200; then says which outputs differ from those of `real`
# FOLDER is build/programs unless given. Outputs lie in FOLDER/real and FOLDER/emulated; real/answers.txt and faults.txt
# are the fixtures of runtime_test (tests/fixtures/runtime). Google Benchmark's program is not
# among them: what it prints are times.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${2:-build/programs}
programs=(vector_add calls graphs algorithms answers faults gtest)
export GTEST_COLOR=no GTEST_PRINT_TIME=0

compile() {
  mkdir -p "$folder/$1"
  local program libraries
  for program in "${programs[@]}"; do
    libraries=()
    [ "$program" != gtest ] || libraries=(-lgtest -lgtest_main)
    nvcc -cudart "$2" -std=c++17 -O1 -lineinfo --extended-lambda -I tests \
      -gencode 'arch=compute_90a,code=[sm_90a,compute_90a]' -o "$folder/$1/$program" "tests/runtime/$program.cu" "${libraries[@]}"
  done
}

# run WHERE COMMAND...: the output of each program; its exit code is said.
run() {
  local where=$1 program
  shift
  for program in "${programs[@]}"; do
    local code=0
    "$@" "$folder/$where/$program" >"$folder/$where/$program.txt" 2>"$folder/$where/$program.err" || code=$?
    echo "$program: exit code $code, $(wc -l <"$folder/$where/$program.txt") lines: $(tail -n 1 "$folder/$where/$program.txt")"
  done
}

case ${1:-} in
  build) compile real static ;;
  real) run real ;;
  emulated)
    compile emulated shared
    run emulated build/release/src/cli/moesaic emulate --gpu h200 --check all --
    for program in "${programs[@]}"; do
      if diff "$folder/real/$program.txt" "$folder/emulated/$program.txt"; then
        echo "$program: equal"
      else
        echo "$program: NOT EQUAL"
        failed=1
      fi
    done
    exit "${failed:-0}"
    ;;
  *)
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
