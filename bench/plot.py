#!/usr/bin/env python3
"""Draws what bench/compare.sh or `moesaic bench gemm --json` measured: for each model an SVG of time and of the fraction of the
floor over tokens, for both GEMMs.

  plot.py REPORT.json FOLDER
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402  the backend is chosen before

import results

# The same file for the same report, and text that stays text.
plt.rcParams.update({"svg.hashsalt": "moesaic", "svg.fonttype": "none", "font.size": 9})

# Colours that the colour-blind can tell (Okabe and Ito), and marks for who cannot see colours.
STYLES = {
    ("moesaic", "full"): ("Moesaic", "#0072B2", "o", "-"),
    ("moesaic", "strict"): ("Moesaic, dependent launch", "#009E73", "s", "-"),
    ("moesaic", "early"): ("Moesaic, routing and weights read early", "#56B4E9", "D", "-"),
    ("triton", "full"): ("Triton, best configuration", "#D55E00", "^", "--"),
    ("torch", "full"): ("torch._scaled_grouped_mm", "#CC79A7", "v", "--"),
}
GEMMS = {"gate_up": "gate and up", "down": "down"}


def fastest(point, engine, dependence):
    timed = [r for r in point["results"]
             if r["engine"] == engine and r["dependence"] == dependence and r.get("samples_us")]
    return min(timed, key=lambda result: result["median_us"], default=None)


def draw_gemm(points, time_axes, floor_axes):
    points = sorted(points, key=lambda point: point["tokens"])
    tokens = [point["tokens"] for point in points]
    time_axes.plot(tokens, [point["floor_us"] for point in points], color="black", linestyle=":", label="floor")
    floor_axes.axhline(100, color="black", linestyle=":")
    for (engine, dependence), (label, colour, mark, line) in STYLES.items():
        found = [(point["tokens"], fastest(point, engine, dependence)) for point in points]
        found = [(token, result) for token, result in found if result]
        if not found:
            continue
        style = {"color": colour, "marker": mark, "linestyle": line, "markersize": 4, "label": label}
        at = [token for token, _ in found]
        medians = [result["median_us"] for _, result in found]
        spread = [[result["median_us"] - result["p10_us"] for _, result in found],
                  [result["p90_us"] - result["median_us"] for _, result in found]]
        time_axes.errorbar(at, medians, yerr=spread, **style)
        floor_axes.plot(at, [100 * result["of_floor"] for _, result in found], **style)
    problem = points[0]
    for axes in (time_axes, floor_axes):
        axes.set_xscale("log", base=2)
        axes.set_xticks(tokens, [str(token) for token in tokens])
        axes.set_xlabel("tokens")
        axes.grid(alpha=0.3)
    time_axes.set_yscale("log")
    time_axes.set_ylabel("µs a launch, median, 10-90 %")
    floor_axes.set_ylim(0, 110)
    floor_axes.set_ylabel("floor / time, %")
    time_axes.set_title(f"{GEMMS[problem['gemm']]}: E {problem['experts']}, top {problem['top_k']}, "
                        f"N {problem['n']}, K {problem['k']}", loc="left")


def draw_model(report, model, path):
    gemms = [gemm for gemm in GEMMS if any(p["model"] == model and p["gemm"] == gemm for p in report["points"])]
    figure, grid = plt.subplots(len(gemms), 2, figsize=(9, 3.4 * len(gemms) + 0.9), squeeze=False, layout="constrained")
    for gemm, (time_axes, floor_axes) in zip(gemms, grid):
        draw_gemm([p for p in report["points"] if p["model"] == model and p["gemm"] == gemm], time_axes, floor_axes)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    device = report["device"]
    held = ", Moesaic held to 12.x limits" if report["as_12x"] else ""
    proxy = ", s8 in place of FP8" if report["proxy"] else ""
    figure.suptitle(f"{model} on one {device['name']}{held}{proxy}, driver {device['driver']}, {report['date'][:10]}", fontsize=10)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    report = results.load(options.report)
    if "limits" not in report:
        raise SystemExit(f"{options.report} is of an emulated card: it has no times")
    options.folder.mkdir(parents=True, exist_ok=True)
    for model in dict.fromkeys(point["model"] for point in report["points"]):
        path = options.folder / f"{model}{'-s8' if report['proxy'] else ''}.svg"
        draw_model(report, model, path)
        print(path)


if __name__ == "__main__":
    main()
