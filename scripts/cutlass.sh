#!/usr/bin/env bash
# scripts/cutlass.sh: fetches CUTLASS's headers (requirements-cutlass.txt) into .cache/cutlass/4.2 and 4.5, each laid out
# as CUTLASS's own tree: include, tools/util/include and, in 4.2, examples. Where they are there it does nothing. An
# interrupted run leaves nothing that looks whole.
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=scripts/requirements-cutlass.txt
cache=.cache/cutlass
cmp -s "$requirements" "$cache/requirements-cutlass.txt" && exit 0

echo "== Fetching the headers of CUTLASS 4.2 and 4.5 (68 MB)"
mkdir -p .cache
work=$(mktemp -d .cache/cutlass.XXXXXX)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
  -r "$requirements" -d "$work/wheels"
python3 - "$work" <<'PYTHON'
import pathlib, sys, zipfile

work = pathlib.Path(sys.argv[1])
trees = {"nvidia_cutlass": ("4.2", "cutlass_library/source/"), "flashinfer_python": ("4.5", "flashinfer/data/cutlass/")}
for wheel in (work / "wheels").iterdir():
    version, root = trees[wheel.name.split("-")[0]]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(tuple(root + part for part in ("include/", "tools/util/", "examples/"))) and name[-1] != "/":
                target = work / "tree" / version / name[len(root):]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
for version, _ in trees.values():
    if not (work / "tree" / version / "include/cutlass/version.h").exists():
        sys.exit(f"the wheel for CUTLASS {version} holds no include/cutlass/version.h")
PYTHON
cp "$requirements" "$work/tree/"
rm -rf "$cache"
mv "$work/tree" "$cache"
