#!/usr/bin/env bash
# scripts/bootstrap.sh [SET...]: installs what building Moesaic needs and the machine lacks: Debian packages
# (packages.txt), and, where no usable nvcc is on PATH, the CUDA compiler as pinned wheels in .venv (requirements-cuda.txt).
# SET: further sets of packages.txt; with `check` also what tests need: the disassembler, in .venv unless it lies beside
# nvcc (requirements-disassembler.txt), and CUTLASS's headers (cutlass.sh). Where nothing is missing it changes nothing and
# takes no time; after an interruption, run it again. Exits with 2, naming the command to run as root, when it may not install packages.
set -euo pipefail
cd "$(dirname "$0")/.."

# Whether nvcc on PATH can compile for sm_120f (12.9 and later; cmake/cuda.cmake holds the same bound).
have_nvcc() {
  local version
  version=$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\),.*/\1/p') || return 1
  [ -n "$version" ] && [ "$(printf '%s\n12.9\n' "$version" | sort -V | head -n 1)" = 12.9 ]
}

# Whether cuobjdump lies beside that nvcc (cmake/cuda.cmake looks there and in .venv): a toolkit has both, a part may not.
have_disassembler() {
  have_nvcc && [ -x "$(dirname "$(readlink -f "$(command -v nvcc)")")/cuobjdump" ]
}

# Prints those of the given packages that are not installed: for this machine unless they name another (libfmt-dev:arm64).
missing_packages() {
  local package architecture native
  native=$(dpkg --print-architecture)
  for package in "$@"; do
    case $package in *:*) architecture=${package##*:} ;; *) architecture=$native ;; esac
    # shellcheck disable=SC2016  # dpkg-query expands these
    dpkg-query -W -f '${db:Status-Status} ${Architecture}\n' "$package" 2>/dev/null |
      grep -Ex "installed ($architecture|all)" >/dev/null || echo "$package"
  done
}

install_packages() {
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} != 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    # Without a terminal nobody can type a password.
    if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
      as_root=(sudo)
    else
      echo "Moesaic needs Debian packages that are not installed. Install them as root, then run this again:" >&2
      echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
      exit 2
    fi
  fi
  echo "== Installing Debian packages: ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600)
  # An interrupted run may have left packages half installed: configure those that can be; --fix-broken does the rest.
  "${as_root[@]}" dpkg --configure -a >/dev/null 2>&1 || true
  "${apt[@]}" update
  "${apt[@]}" -o Dpkg::Use-Pty=0 install --fix-broken --no-install-recommends "${missing[@]}" >/dev/null
}

# install_wheels NAME WHAT: requirements-NAME.txt; its copy in .venv says that all of them were installed.
install_wheels() {
  local requirements=requirements-$1.txt
  cmp -s "scripts/$requirements" ".venv/$requirements" && return 0
  echo "== Installing $2 into .venv"
  compgen -G '.venv/requirements-*.txt' >/dev/null || python3 -m venv --clear .venv
  touch .venv/incomplete
  rm -f ".venv/$requirements"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: -r "scripts/$requirements"
  cp "scripts/$requirements" ".venv/$requirements"
  rm .venv/incomplete
}

sets=build
needs_disassembler=false
needs_cutlass=false
for set in "$@"; do
  sets="$sets|$set"
  [ "$set" != check ] || needs_cutlass=true
  [ "$set" != check ] || have_disassembler || needs_disassembler=true
done
if $needs_disassembler || ! have_nvcc; then sets="$sets|wheels"; fi
if command -v dpkg-query >/dev/null; then
  mapfile -t packages < <(sed -nE "s/^($sets) +//p" scripts/packages.txt)
  install_packages "${packages[@]}"
else
  echo "This is not Debian: the packages of scripts/packages.txt are taken to be installed under this system's names." >&2
fi
# Of what an interrupted installation left there pip would believe that it is whole.
[ ! -e .venv/incomplete ] || rm -rf .venv
have_nvcc || install_wheels cuda 'the CUDA compiler (no nvcc of 12.9 or later on PATH)'
! $needs_disassembler || install_wheels disassembler 'the disassembler of GPU code (none beside nvcc)'
! $needs_cutlass || scripts/cutlass.sh
