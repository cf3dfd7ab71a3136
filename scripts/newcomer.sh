#!/usr/bin/env bash
# scripts/newcomer.sh [debian12|ubuntu2404]: do the two commands work for a newcomer? Tries the last commit in a bare system
# (debootstrap's minbase with git, make and ca-certificates: no compiler, no Python, no sudo, no nvcc), which it makes in
# a temporary directory and removes again.
# debian12: `make run` without root (must name the packages and end with 2), as root (at most 2400 s of processor time), and once more
# (seconds). ubuntu2404: `make run` and `make test-release` as root; MOESAIC_UBUNTU_MIRROR names another archive.
# Needs root or sudo, on Debian. Ends with CTest's closing line.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=http_proxy,https_proxy,no_proxy,MOESAIC_UBUNTU_MIRROR "$0" "$@"

distribution=${1:-debian12}
case $distribution in
  debian12) title='Debian 12' ;;
  ubuntu2404) title='Ubuntu 24.04' ;;
  *)
    echo "scripts/newcomer.sh knows debian12 and ubuntu2404, not '$distribution'" >&2
    exit 2
    ;;
esac

if ! command -v debootstrap >/dev/null; then
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends debootstrap >/dev/null
fi

place=$(mktemp -d)
root=$place/root
log=$place/log
remove_root() {
  if mountpoint -q "$root/proc"; then umount "$root/proc"; fi
  rm -rf --one-file-system "$place"
}
trap remove_root EXIT

# The keys that sign Ubuntu's archive, from a package of it whose digest is known here: Debian 12 does not have them.
ubuntu_keys() {
  local package=pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb
  local digest=36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8
  /usr/lib/apt/apt-helper download-file "$1/$package" "$place/keys.deb" "SHA256:$digest" >"$log" 2>&1 || return 1
  dpkg-deb --extract "$place/keys.deb" "$place/keys"
}

# The mirror, the proxies and the certificates of this machine: the way to the network is not what is tried here.
make_root() {
  local mirror file
  local bootstrap=(debootstrap --variant=minbase --include=git,make,ca-certificates)
  if [ "$distribution" = debian12 ]; then
    # shellcheck disable=SC2016  # apt expands these
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
      sed -n 's/ bookworm$//p' | head -n 1)
    bootstrap+=(bookworm "$root" "${mirror:-http://deb.debian.org/debian}")
  else
    mirror=${MOESAIC_UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}
    ubuntu_keys "$mirror" || { tail -n 20 "$log"; return 1; }
    # debootstrap has one script for all of Ubuntu's releases, under the name of an old one.
    bootstrap+=(--components=main,universe --keyring="$place/keys/usr/share/keyrings/ubuntu-archive-keyring.gpg" noble
      "$root" "$mirror" /usr/share/debootstrap/scripts/gutsy)
  fi
  "${bootstrap[@]}" >"$log" 2>&1 || { tail -n 20 "$log"; return 1; }
  mount -t proc proc "$root/proc"
  apt-config dump | grep -E '^Acquire::(http|https|Check|Retries)' >"$root/etc/apt/apt.conf.d/90network" || true
  for file in /etc/resolv.conf /etc/pip.conf; do
    if [ -f $file ]; then cp -L $file "$root$file"; fi
  done
  if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null 2>&1
  fi
  git clone --quiet . "$root/moesaic"
  chroot "$root" useradd newcomer
}

network=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_CERT PIP_PROXY \
  PIP_DEFAULT_TIMEOUT; do
  if [ -n "${!name:-}" ]; then network+=("$name=${!name}"); fi
done

# as_user USER COMMAND...: in the bare system, with nothing of this machine's environment but the way to the network.
as_user() {
  local user=$1
  shift
  chroot --userspec="$user:$user" "$root" /usr/bin/env -i HOME=/tmp TERM=dumb LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${network[@]}" "$@" </dev/null
}

without_root() {
  local status=0
  as_user newcomer make -C /moesaic run >"$log" 2>&1 || status=$?
  cat "$log"
  [ "$status" = 2 ] && grep -q '^  apt-get install .*g++' "$log"
}

# The processor time of everything that this script has waited for.
cpu_seconds() {
  awk -v ticks="$(getconf CLK_TCK)" '{ print int(($16 + $17) / ticks) }' "/proc/$$/stat"
}

# runs_within SECONDS: `make run` as root succeeds, with at most that much processor time (what else the machine is doing
# does not change it: with two cores to itself a build takes about half of it).
runs_within() {
  local start=$SECONDS cpu_start cpu
  cpu_start=$(cpu_seconds)
  as_user root make -C /moesaic run || return 1
  cpu=$(($(cpu_seconds) - cpu_start))
  echo "-- make run took $((SECONDS - start)) s, $cpu s of processor time (at most $1 allowed)"
  [ "$cpu" -le "$1" ]
}

failed=0
total=0
# try NAME COMMAND...
try() {
  local name=$1
  shift
  total=$((total + 1))
  echo
  echo "== Newcomer: $name"
  if "$@"; then echo "-- Passed: $name"; else echo "-- FAILED: $name"; failed=$((failed + 1)); fi
}

echo "== Newcomer: making a bare $title"
make_root
if [ "$distribution" = debian12 ]; then
  try 'make run without root and without the packages names them and ends with 2' without_root
  try 'make run from clean' runs_within 2400
  try 'make run again' runs_within 20
else
  try 'make run from clean' as_user root make -C /moesaic run
  try 'make test-release' as_user root make -C /moesaic test-release
fi
echo
echo "$((100 * (total - failed) / total))% tests passed, $failed tests failed out of $total"
[ "$failed" = 0 ]
