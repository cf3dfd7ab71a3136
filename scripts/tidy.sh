#!/usr/bin/env bash
# `make tidy`: clang-tidy reads every C++ source with the checks of .clang-tidy. Takes minutes the first time; a source that
# was found clean is read again only when something in it or in its headers has changed (~/.cache/moesaic-tidy).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/bootstrap.sh tidy
cmake --preset release >/dev/null
database=build/release/compile_commands.json
cache=${XDG_CACHE_HOME:-$HOME/.cache}/moesaic-tidy
mkdir -p "$cache"
find "$cache" -type f -mtime +30 -delete

system_includes=$(grep -o -e '-isystem [^ ]*' $database | sort -u | tr '\n' ' ')
# clang's -Wconversion also tells of conversions of sign, as g++'s does not; and clang's limit on nested expressions is
# too low for the table of kernels.
options='--quiet -p build/release --extra-arg=-Wno-sign-conversion --extra-arg=-fbracket-depth=1024'
rules=$(cat .clang-tidy src/*/.clang-tidy <(echo "$options"; clang-tidy-14 --version) | sha256sum)

# The text that clang-tidy sees, comments and all: NOLINT is one.
# shellcheck disable=SC2086  # a list of options
preprocessed() {
  g++ -E -C -std=c++20 -Isrc -Itests $system_includes -DMOESAIC_SOURCE_DIR='""' "$1" 2>/dev/null
}

# shellcheck disable=SC2086  # a list of options
check() {
  local text key
  if text=$(preprocessed "$1"); then
    key=$cache/$(sha256sum <<<"$rules$text" | cut -d ' ' -f 1)
    [ ! -e "$key" ] || return 0
    clang-tidy-14 $options "$1" 2>/dev/null && touch "$key"
  else
    clang-tidy-14 $options "$1"
  fi
}
export -f check preprocessed
export cache options rules system_includes

# Sources that are built: others have no options in the database.
git ls-files '*.cpp' | while read -r source; do
  ! grep -q "/$source\"" $database || echo "$source"
done | xargs -P "$(nproc)" -I '{}' bash -c 'check {} || { echo "clang-tidy does not agree with {}" >&2; exit 1; }'
