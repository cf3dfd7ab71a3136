#!/usr/bin/env bash
# scripts/test.sh PART...: the parts of `make test`, in the order given. format: clang-format agrees with every source.
# release, sanitize: the tests, built with the CMake preset of that name. Under the sanitizers the emulator's longest runs
# stay out (CMakePresets.json): other tests take each part of it, and those runs repeat them by the thousand.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/bootstrap.sh check

for part in "$@"; do
  case $part in
    format)
      echo "== Formatting"
      git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' '*.def' | xargs clang-format-14 --dry-run -Werror
      ;;
    release | sanitize)
      echo "== Building and testing: $part (build/$part)"
      cmake --preset "$part" >/dev/null
      cmake --build --preset "$part"
      ctest --preset "$part" -j "$(nproc)"
      ;;
    *)
      echo "scripts/test.sh knows format, release and sanitize, not '$part'" >&2
      exit 2
      ;;
  esac
done
