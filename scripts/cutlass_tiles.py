#!/usr/bin/env python3
"""Compiles every legal tile of the CUTLASS collectives, runs its test on an emulated card with every check, compares
what it computed with our own kernel bit for bit, and prints the table of docs/cutlass.md from the compiler's own report:

    scripts/cutlass_tiles.py [--moesaic build/release/src/cli/moesaic] [--cutlass 4.2] [--only REGEX] [--no-run]

A tile costs about a minute and a half of processor time; what has been compiled is kept in build/cutlass_tiles. A build
of the project (scripts/test.sh) must be there. Exit code 1 when a tile is wrong or keeps local memory in its main loop.
"""
import argparse
import itertools
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEDULES = {"Pingpong": (64, 128), "Cooperative": (128, 256)}
SUMS = 128  # of one math thread, at most
THREADS = {"Pingpong": 128, "Cooperative": 256}
TOO_MANY_BYTES = {("Cooperative", 256, 128, 128), ("Cooperative", 128, 256, 128)}


def legal_tiles():
    for schedule, sizes in SCHEDULES.items():
        for m, n, k in itertools.product(sizes, (16, 32, 64, 128, 256), (64, 128)):
            if m * n // THREADS[schedule] <= SUMS and (schedule, m, n, k) not in TOO_MANY_BYTES:
                yield schedule, m, n, k


def local_memory_between_multiplies(cuobjdump, program):
    """Loads and stores of local memory between the first and the last mma of the GEMM's machine code."""
    sass = subprocess.run([cuobjdump, "-sass", program], check=True, capture_output=True, text=True).stdout
    kernels = [part for part in re.split(r"\n\s*Function : ", sass) if "MMA." in part]
    lines = kernels[0].splitlines()
    multiplies = [i for i, line in enumerate(lines) if re.search(r"\b[QHO]MMA\b|\b[QHO]MMA\.", line)]
    return sum(bool(re.search(r"\b(LDL|STL)\b", line)) for line in lines[multiplies[0] : multiplies[-1]])


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.work = ROOT / "build/cutlass_tiles" / arguments.cutlass
        self.work.mkdir(parents=True, exist_ok=True)
        self.tree = ROOT / ".cache/cutlass" / arguments.cutlass
        self.build = arguments.moesaic.resolve().parents[2]
        self.cuobjdump = shutil.which("cuobjdump") or next(map(str, ROOT.glob(".venv/**/bin/cuobjdump")), None)

    def run(self, *command):
        return subprocess.run([str(part) for part in command], capture_output=True, text=True)

    def compile(self, schedule, m, n, k):
        """The program and ptxas's report."""
        program = self.work / f"{schedule.lower()}_{m}x{n}x{k}"
        report = program.with_suffix(".report")
        if program.exists() and report.exists():
            return program, report.read_text()
        defines = dict(M=m, N=n, K=k, SCHEDULE=f"{schedule}<2>", TOKENS="m", X="cutlass::float_e4m3_t", D="cutlass::bfloat16_t", BIAS="void")
        result = self.run(
            "nvcc", "-std=c++17", "-O0", "-DNDEBUG", "--expt-relaxed-constexpr", "-cudart", "shared", "-Xptxas", "-v",
            "-gencode", "arch=compute_120f,code=[sm_120f,compute_120f]",
            *(f"-DMOESAIC_{name}={value}" for name, value in defines.items()),
            "-I", ROOT / "include", "-I", ROOT / "src", "-I", ROOT / "tests", "-I", self.tree / "include",
            ROOT / "tests/cutlass/tile.cu", self.grouped_case(), self.build / "src/reference/libmoesaic_reference.a",
            *self.build.glob("src/reference/libmoesaic_tensor_core.a"), "-lfmt", "-o", program)  # fmt: skip
        if result.returncode != 0:
            sys.exit(f"{program.name} does not compile:\n{result.stderr}")
        report.write_text(result.stderr)
        return program, result.stderr

    def grouped_case(self):
        made = self.work / "grouped_case.o"
        source = ROOT / "tests/cutlass/grouped_case.cpp"
        if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["g++", "-std=c++20", "-O2", "-c", "-I", ROOT / "src", "-I", ROOT / "tests", "-o", made, source],
                           check=True)  # fmt: skip
        return made

    def row(self, tile):
        """The table's line, and whether all is right."""
        schedule, m, n, k = tile
        program, report = self.compile(*tile)
        gemm = next(part for part in re.split(r"Compiling entry function", report) if "GemmUniversal" in part)
        registers = int(re.search(r"Used (\d+) registers", gemm)[1])
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", gemm)
        inside = local_memory_between_multiplies(self.cuobjdump, program) if self.cuobjdump else None
        right, stages, size = True, "?", "?"
        if not self.arguments.no_run:
            emulate = [self.arguments.moesaic, "emulate", "--gpu", "gb10", "--sms", "2", "--check", "all", "--"]
            out = program.with_suffix(".out")
            result = self.run(*emulate, program, out)
            same = self.run(*emulate, self.build / "tests/cutlass_own_kernel", out, "e4m3", "bf16", "plain")
            out.unlink(missing_ok=True)
            right = result.returncode == 0 and same.returncode == 0
            stages, size = re.search(r"stages (\d+) bytes (\d+)", result.stdout).groups()
            if not right:
                print(result.stdout + result.stderr + same.stdout + same.stderr, file=sys.stderr)
        text = (f"| {schedule.lower()} | {m}x{n}x{k} | {stages} | {size} | {registers} | {spills[1]} / {spills[2]} | "
                f"{'?' if inside is None else inside} | 1 | {'not run' if self.arguments.no_run else 'right' if right else 'WRONG'} |")  # fmt: skip
        return text, right and not inside


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moesaic", type=pathlib.Path, default=ROOT / "build/release/src/cli/moesaic")
    parser.add_argument("--cutlass", default="4.2", choices=["4.2", "4.5"])
    parser.add_argument("--only", default="", help="tiles whose name (pingpong_64x16x128) matches")
    parser.add_argument("--no-run", action="store_true", help="compile and report alone")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    print("| schedule | tile | stages | bytes | registers | spill stores / loads, bytes | in the main loop | blocks per SM | test |")
    print("|---|---|---|---|---|---|---|---|---|")
    failed = False
    for tile in legal_tiles():
        if re.search(arguments.only, f"{tile[0].lower()}_{tile[1]}x{tile[2]}x{tile[3]}"):
            text, right = bench.row(tile)
            print(text, flush=True)
            failed |= not right
    sys.exit(failed)


if __name__ == "__main__":
    main()
