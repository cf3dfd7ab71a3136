#!/usr/bin/env python3
"""Writes include/moesaic/cutlass as patches for a CUTLASS tree, in CUTLASS's own places and with its own includes:

    scripts/cutlass_patch.py TREE OUT

TREE is a CUTLASS tree (or its include directory's parent), which is only read; OUT receives one patch for each of the
multiply, the collective and the builder, to be applied in that order with `patch -p1` or `git apply`. After that the
tree's collective_builder.hpp serves KernelPtrArrayTmaWarpSpecialized{Cooperative,Pingpong}Sm120<N> and nothing else need
be included.
"""
import argparse
import difflib
import pathlib
import sys

OURS = pathlib.Path(__file__).resolve().parent.parent / "include/moesaic/cutlass"
BUILDERS = "include/cutlass/gemm/collective/collective_builder.hpp"
COLLECTIVES = "include/cutlass/gemm/collective/collective_mma.hpp"
# patch, our header, its place in CUTLASS, the file that includes it there
PARTS = [
    ("0001-multiply", "fp8_mma.hpp", "include/cute/atom/mma_atom_sm120_unit_scale.hpp", None),
    ("0002-collective", "array_mainloop.hpp", "include/cutlass/gemm/collective/sm120_mma_array_tma_f8.hpp", COLLECTIVES),
    ("0003-builder", "builder.hpp", "include/cutlass/gemm/collective/builders/sm120_array_f8_mma_builder.inl", BUILDERS),
]


def with_cutlass_includes(text):
    """Our header with the includes that it has in its new place. What includes the builder need not be included by it."""
    for _, header, place, _ in PARTS:
        text = text.replace(f'"moesaic/cutlass/{header}"', f'"{place.removeprefix("include/")}"')
    return text.replace(f"#include <{BUILDERS.removeprefix('include/')}>\n", "")


def wired(text, included):
    """`text` with an #include of `included` behind its last one of an SM120 header."""
    lines = text.splitlines(keepends=True)
    last = max((i for i, line in enumerate(lines) if line.startswith("#include") and "/sm120_" in line), default=None)
    if last is None:
        sys.exit("this tree includes nothing for SM120: CUTLASS 4.2 or later is required")
    return "".join(lines[: last + 1] + [f'#include "{included.removeprefix("include/")}"\n'] + lines[last + 1 :])


def difference(path, before, after):
    old = f"a/{path}" if before else "/dev/null"
    return "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True), old, f"b/{path}"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    if not (arguments.tree / BUILDERS).exists():
        sys.exit(f"{arguments.tree} holds no {BUILDERS}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, header, place, includer in PARTS:
        if (arguments.tree / place).exists():
            sys.exit(f"{arguments.tree} has {place} already")
        patch = difference(place, "", with_cutlass_includes((OURS / header).read_text()))
        if includer:
            before = (arguments.tree / includer).read_text()
            patch += difference(includer, before, wired(before, place))
        (arguments.out / f"{name}.patch").write_text(patch)
        print(arguments.out / f"{name}.patch")


if __name__ == "__main__":
    main()
