"""What `moesaic bench gemm --json` writes, and what others measured at the same points, in one file."""

import json
import statistics
from pathlib import Path

POINT = ("model", "gemm", "tokens", "out")
RESULT = ("engine", "variant", "layout", "dependence")


def key(item, names):
    return tuple(item.get(name) for name in names)


def load(path):
    return json.loads(Path(path).read_text())


def save(path, report):
    """Writes the file whole or not at all."""
    partial = Path(f"{path}.partial")
    partial.write_text(json.dumps(report))
    partial.replace(path)


def quantile(ordered, fraction):
    """As bench/statistics.cpp interpolates."""
    place = fraction * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def summarize(result, floor_us):
    """Sets the result's statistics from its samples."""
    ordered = sorted(result["samples_us"])
    result["median_us"] = statistics.median(ordered)
    result["min_us"] = ordered[0]
    result["p10_us"] = quantile(ordered, 0.1)
    result["p90_us"] = quantile(ordered, 0.9)
    result["of_floor"] = floor_us / result["median_us"]


def add_results(point, results):
    """Adds results to a point; the samples of one that is there already join its own."""
    known = {key(result, RESULT): result for result in point["results"]}
    for result in results:
        mine = known.get(key(result, RESULT))
        if mine is None:
            mine = {**result, "samples_us": []}
            point["results"].append(mine)
        mine["samples_us"] = mine["samples_us"] + result["samples_us"]
        summarize(mine, point["floor_us"])


def merge(report, other):
    """Adds the points and samples of another run on the same card to a report. The floor stays that of the first run."""
    if report["device"]["name"] != other["device"]["name"]:
        raise SystemExit(f"{other['device']['name']} is not {report['device']['name']}: one report is of one card")
    known = {key(point, POINT): point for point in report["points"]}
    for point in other["points"]:
        mine = known.get(key(point, POINT))
        if mine is None:
            report["points"].append(point)
        else:
            add_results(mine, point["results"])
    return report


def best(point, engine):
    """The engine's fastest result of a point by its median, or None."""
    timed = [r for r in point["results"] if r["engine"] == engine and r.get("samples_us")]
    return min(timed, key=lambda result: result["median_us"], default=None)


def table(report):
    """One line for each point: every engine's best median and how many times as long as Moesaic's it takes."""
    engines = sorted({r["engine"] for point in report["points"] for r in point["results"]})
    lines = [f"{'point':44} {'floor us':>9}" + "".join(f" {engine:>20}" for engine in engines)]
    for point in report["points"]:
        ours = best(point, "moesaic")
        line = f"{point['model'] + ' ' + point['gemm'] + ', ' + str(point['tokens']) + ' tokens':44} {point['floor_us']:9.2f}"
        for engine in engines:
            result = best(point, engine)
            if result is None:
                line += f" {'-':>20}"
            else:
                ratio = f" {result['median_us'] / ours['median_us']:5.2f}x" if ours else ""
                line += f" {result['median_us']:9.2f} {100 * result['of_floor']:3.0f}%{ratio}".ljust(21)
        lines.append(line)
    return "\n".join(lines)
