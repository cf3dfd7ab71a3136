#!/usr/bin/env python3
"""The grouped GEMM of `moesaic bench gemm` in Triton and by torch._scaled_grouped_mm, at the same points.

  triton_moe.py OURS.json COMBINED.json [--seconds S]

Reads the points of OURS.json, which `moesaic bench gemm --json` wrote on this card, and measures each of them as the bench
does: CUDA graphs of as many launches, weights rotated among as many sets, the same routing for each launch, candidates in
turns. Adds OURS.json and what it measured to COMBINED.json, which may hold earlier turns.

In Triton's favour: which tile belongs to which expert stands in memory before a launch, and only tiles that exist are
launched. A framework computes that on the card for each layer.
"""

import argparse
import os
import random
import time
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

import results
from routing import routing, touched_experts


@triton.jit(do_not_specialize=["t_tiles"])
def grouped_gemm(x, w, x_scales, w_scales, out, tile_expert, tile_row, tile_rows, t_tiles, N, K,
                 TILE_T: tl.constexpr, TILE_F: tl.constexpr, TILE_K: tl.constexpr, GROUP: tl.constexpr,
                 WEIGHTS_FIRST: tl.constexpr, TENSOR_MAP: tl.constexpr):
    """out[r, n] = x_scales[r] * w_scales[e, n] * sum_k x[r, k] * w[e, n, k]; a program makes one tile.

    w is a pointer to [E, N, K], or a descriptor of [E * N, K]. N is a multiple of TILE_F, K one of TILE_K.
    """
    program = tl.program_id(0)
    in_group = GROUP * (N // TILE_F)
    t0 = program // in_group * GROUP
    width = tl.minimum(t_tiles - t0, GROUP)
    t_tile = t0 + program % in_group % width
    f0 = program % in_group // width * TILE_F
    expert = tl.load(tile_expert + t_tile)
    row0 = tl.load(tile_row + t_tile)
    rows = tl.load(tile_rows + t_tile)

    t = tl.arange(0, TILE_T)
    f = f0 + tl.arange(0, TILE_F)
    k = tl.arange(0, TILE_K)
    row = (row0 + t).to(tl.int64)
    channel = expert.to(tl.int64) * N + f
    x_at = x + row[:, None] * K + k[None, :]
    if not TENSOR_MAP:
        w_at = w + channel[:, None] * K + k[None, :]
    if WEIGHTS_FIRST:
        sums = tl.zeros((TILE_F, TILE_T), tl.float32)
    else:
        sums = tl.zeros((TILE_T, TILE_F), tl.float32)
    for k0 in range(0, K, TILE_K):
        xs = tl.load(x_at + k0, mask=(t < rows)[:, None], other=0.0)
        if TENSOR_MAP:
            ws = w.load([expert * N + f0, k0])
        else:
            ws = tl.load(w_at + k0, eviction_policy="evict_first")
        if WEIGHTS_FIRST:
            sums = tl.dot(ws, xs.T, sums)
        else:
            sums = tl.dot(xs, ws.T, sums)
    if WEIGHTS_FIRST:
        sums = sums.T
    scaled = sums * tl.load(w_scales + channel)[None, :] * tl.load(x_scales + row, mask=t < rows, other=0.0)[:, None]
    tl.store(out + row[:, None] * N + f[None, :], scaled.to(out.dtype.element_ty), mask=(t < rows)[:, None])


@dataclass(frozen=True)
class Config:
    tile_t: int
    tile_f: int
    tile_k: int
    group: int
    stages: int
    warps: int
    weights_first: bool
    tensor_map: bool = False

    @property
    def name(self):
        return (f"t{self.tile_t}f{self.tile_f}k{self.tile_k}.g{self.group}.s{self.stages}.w{self.warps}"
                f"{'.weights_first' if self.weights_first else ''}{'.tma' if self.tensor_map else ''}")


# Few rows for each expert: weights are the M operand, so that wgmma pays.
FEW = [Config(16, f, k, 1, s, 4, True, tma)
       for f, k, s in ((64, 128, 6), (64, 256, 4), (128, 128, 5), (128, 256, 3)) for tma in (False, True)]
FEW += [Config(16, 64, 128, 1, 5, 4, False), Config(16, 128, 128, 1, 4, 4, False)]
SOME = [Config(t, f, 128, 1, s, 4, True, tma)
        for t, f, s in ((32, 64, 6), (32, 128, 4), (64, 128, 4)) for tma in (False, True)]
MANY = [Config(t, f, 128, g, s, w, False, tma)
        for t, f, g, s, w in ((64, 128, 1, 4, 4), (64, 256, 1, 3, 8), (128, 128, 4, 3, 8), (128, 256, 4, 3, 8))
        for tma in (False, True)]


def configs(point):
    """Those worth a try at so many rows for an expert, that divide the point's sizes."""
    rows = point["rows"] / point["touched_experts"]
    some = (FEW if rows <= 24 else []) + (SOME if 4 <= rows <= 96 else []) + (MANY if rows >= 24 else [])
    return [c for c in some if point["n"] % c.tile_f == 0 and point["k"] % c.tile_k == 0]


def tiles(first, tile_t):
    """Expert, first row and rows of every tile of tokens, three int32 tensors."""
    found = [(expert, row, min(tile_t, end - row))
             for expert, (begin, end) in enumerate(zip(first, first[1:])) for row in range(begin, end, tile_t)]
    return [torch.tensor(column, dtype=torch.int32, device="cuda") for column in zip(*found)]


def random_codes(*shape):
    """e4m3 without NaN."""
    codes = torch.randint(0, 256, shape, dtype=torch.uint8, device="cuda")
    codes ^= ((codes & 0x7F) == 0x7F).to(torch.uint8)
    return codes.view(torch.float8_e4m3fn)


def random_scales(*shape):
    return 0.0005 + 0.001 * torch.rand(shape, dtype=torch.float32, device="cuda")


class Operands:
    """What the launches of a point read and write: launch i takes set i % sets and routing i."""

    def __init__(self, point, seed):
        e, n, k, rows = (point[name] for name in ("experts", "n", "k", "rows"))
        self.point = point
        self.w = [random_codes(e, n, k) for _ in range(point["sets"])]
        self.w_scales = [random_scales(e, n) for _ in range(point["sets"])]
        self.x = random_codes(rows, k)
        self.x_scales = random_scales(rows)
        self.out = torch.empty(rows, n, dtype={"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[point["out"]],
                               device="cuda")
        self.first = [routing(point, seed, launch) for launch in range(point["launches"])]
        touched = sum(map(touched_experts, self.first)) / len(self.first)
        if abs(touched - point["touched_experts"]) > 1e-6:
            raise SystemExit(f"these routings touch {touched} experts, those of the bench {point['touched_experts']}")

    def expected(self, launch, rows):
        """Those rows of the launch's result, in float64."""
        first = self.first[launch]
        which = launch % len(self.w)
        lines = []
        for row in rows:
            expert = next(e for e in range(self.point["experts"]) if row < first[e + 1])
            line = self.w[which][expert].float().double() @ self.x[row].float().double()
            lines.append(line * self.w_scales[which][expert].double() * self.x_scales[row].double())
        return torch.stack(lines)


def triton_launcher(config, operands):
    """A function of the launch's number."""
    point = operands.point
    tables = [tiles(first, config.tile_t) for first in operands.first]
    weights = operands.w
    if config.tensor_map:
        weights = [TensorDescriptor.from_tensor(w.view(-1, point["k"]), [config.tile_f, config.tile_k]) for w in weights]

    def launch(i):
        which = i % len(weights)
        expert, row, rows = tables[i]
        grid = (len(expert) * (point["n"] // config.tile_f),)
        grouped_gemm[grid](operands.x, weights[which], operands.x_scales, operands.w_scales[which], operands.out, expert, row,
                           rows, len(expert), point["n"], point["k"], TILE_T=config.tile_t, TILE_F=config.tile_f,
                           TILE_K=config.tile_k, GROUP=config.group, WEIGHTS_FIRST=config.weights_first,
                           TENSOR_MAP=config.tensor_map, num_stages=config.stages, num_warps=config.warps)

    return launch


def torch_launcher(operands):
    """torch._scaled_grouped_mm: row-wise scales, results in bf16, in memory of its own."""
    if operands.point["out"] != "bf16":
        raise RuntimeError("torch._scaled_grouped_mm gives bf16 alone")
    ends = [torch.tensor(first[1:], dtype=torch.int32, device="cuda") for first in operands.first]

    def launch(i):
        which = i % len(operands.w)
        operands.result = torch._scaled_grouped_mm(
            operands.x, operands.w[which].transpose(-2, -1), operands.x_scales, operands.w_scales[which], offs=ends[i],
            out_dtype=torch.bfloat16, use_fast_accum=True)

    return launch


def check(launch, operands):
    """Throws when a sample of rows is further from the truth than rounding of the result explains."""
    operands.result = operands.out
    operands.out.fill_(float("nan"))
    launch(0)
    rows = sorted({0, operands.point["rows"] // 2, operands.point["rows"] - 1})
    expected = operands.expected(0, rows)
    error = ((operands.result[rows].double() - expected).norm(dim=1) / expected.norm(dim=1)).max().item()
    if not error < 1e-2:
        raise RuntimeError(f"relative error {error:.3g} of a row")


def capture(launch, launches):
    """A CUDA graph of that many launches."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(launches):
            launch(i)
    return graph


def time_graphs(graphs, launches, seconds, order):
    """Samples of each graph in microseconds a launch; the graphs take turns, in a new order each round."""
    start = time.monotonic()
    while time.monotonic() - start < 0.2:
        for graph in graphs:
            graph.replay()
        torch.cuda.synchronize()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in graphs]
    samples = [[] for _ in graphs]
    turns = list(range(len(graphs)))
    start = time.monotonic()
    while len(samples[0]) < 5 or time.monotonic() - start < seconds:
        order.shuffle(turns)
        graphs[turns[-1]].replay()  # keeps the card busy while the host queues what is timed
        for i in turns:
            events[i][0].record()
            graphs[i].replay()
            events[i][1].record()
        torch.cuda.synchronize()
        for i in turns:
            samples[i].append(1000 * events[i][0].elapsed_time(events[i][1]) / launches)
    return samples


def measure(point, seed, seconds):
    """Results of every candidate at the point, and why others have none."""
    operands = Operands(point, seed)
    makers = [("triton", config.name, lambda config=config: triton_launcher(config, operands)) for config in configs(point)]
    makers.append(("torch", "_scaled_grouped_mm", lambda: torch_launcher(operands)))
    timed, rejected = [], []
    for engine, variant, make in makers:
        try:
            launch = make()
            check(launch, operands)
            timed.append((engine, variant, capture(launch, point["launches"]), launch))  # which owns what the graph reads
        except Exception as error:  # what a configuration or a library cannot do has many types
            torch.cuda.synchronize()
            rejected.append({"variant": f"{engine} {variant}", "reason": str(error).splitlines()[0] if str(error) else repr(error)})
    if not timed:
        return [], rejected
    samples = time_graphs([graph for _, _, graph, _ in timed], point["launches"], seconds, random.Random(seed))
    found = [{"engine": engine, "variant": variant, "layout": "rows", "dependence": "full", "samples_us": times}
             for (engine, variant, _, _), times in zip(timed, samples)]
    return found, rejected


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", help="what moesaic bench gemm --json wrote on this card")
    parser.add_argument("combined", help="file to add it to, with what is measured here")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each point")
    options = parser.parse_args()
    ours = results.load(options.ours)
    name = torch.cuda.get_device_name(0)
    if name != ours["device"]["name"]:
        raise SystemExit(f"{options.ours} is of {ours['device']['name']}, and this card is {name}")
    ours["others"] = {"torch": torch.__version__, "triton": triton.__version__}
    for point in ours["points"]:
        found, rejected = measure(point, ours["seed"], options.seconds)
        results.add_results(point, found)
        point["rejected"] += rejected
        torch.cuda.empty_cache()
        fastest = {engine: results.best(point, engine) for engine in ("moesaic", "triton", "torch")}
        print(f"{point['model']} {point['gemm']}, {point['tokens']} tokens:", ", ".join(
            f"{engine} {result['median_us']:.2f} us ({result['variant']})" for engine, result in fastest.items() if result),
            flush=True)
    if os.path.exists(options.combined):
        ours = results.merge(results.load(options.combined), ours)
    results.save(options.combined, ours)
    print(results.table(ours))


if __name__ == "__main__":
    main()
