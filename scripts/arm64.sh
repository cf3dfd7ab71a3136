#!/usr/bin/env bash
# `make test-arm64`: cross-builds the host code for 64-bit Arm and runs its tests under qemu-user. The GPU code is the
# same bytes as on x86-64: nvcc makes it on this machine. Needs Debian 12 on x86-64.
# CMakePresets.json leaves some tests out. Cli and Emulate start the program by themselves, which works only where the
# kernel knows what to run it with. The others take minutes under qemu, and say no more of the machine than those that
# stay: the same code with fewer numbers.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(dpkg --print-architecture)" != arm64 ] && ! dpkg --print-foreign-architectures | grep -qx arm64; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" dpkg --add-architecture arm64
fi
scripts/bootstrap.sh check arm64

echo "== Building and testing: arm64 (build/arm64)"
cmake --preset arm64 >/dev/null
cmake --build --preset arm64
ctest --preset arm64 -j "$(nproc)"
