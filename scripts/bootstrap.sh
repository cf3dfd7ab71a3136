#!/usr/bin/env bash
# scripts/bootstrap.sh [SET...]: installs what building Moesaic needs and the machine lacks: Debian packages
# (packages.txt), and, where no usable nvcc is on PATH, the CUDA compiler as pinned wheels in .venv (requirements-cuda.txt).
# SET: further sets of packages.txt. Where nothing is missing it changes nothing and takes no time; after
# an interruption, run it again. Exits with 2, naming the command to run as root, when it may not install packages.
set -euo pipefail
cd "$(dirname "$0")/.."

# Whether nvcc on PATH can compile for sm_120f (12.9 and later; cmake/cuda.cmake holds the same bound).
have_nvcc() {
  local version
  version=$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\),.*/\1/p') || return 1
  [ -n "$version" ] && [ "$(printf '%s\n12.9\n' "$version" | sort -V | head -n 1)" = 12.9 ]
}

# Prints those of the given packages that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
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

# The copy of the requirements in .venv says that all of them were installed.
install_wheels() {
  cmp -s scripts/requirements-cuda.txt .venv/requirements-cuda.txt && return 0
  echo "== Installing the CUDA compiler into .venv (no nvcc of 12.9 or later on PATH)"
  [ -f .venv/requirements-cuda.txt ] || python3 -m venv --clear .venv
  rm -f .venv/requirements-cuda.txt
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: -r scripts/requirements-cuda.txt
  cp scripts/requirements-cuda.txt .venv/requirements-cuda.txt
}

sets=build
for set in "$@"; do sets="$sets|$set"; done
have_nvcc || sets="$sets|wheels"
if command -v dpkg-query >/dev/null; then
  mapfile -t packages < <(sed -nE "s/^($sets) +//p" scripts/packages.txt)
  install_packages "${packages[@]}"
else
  echo "This is not Debian: the packages of scripts/packages.txt are taken to be installed under this system's names." >&2
fi
have_nvcc || install_wheels
