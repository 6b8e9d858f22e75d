"""What bench/gpu measured, as tables: gpu.jsonl in a folder becomes gpu.md. By itself,
for a gpu.jsonl that was put together from several runs:

    gputables.py FOLDER

Shares are of what the GPU does at best ("peak"): of its matrix products for FLOP, of
its copies for bytes. The floor of a frame is its FLOP at that rate.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import json
import pathlib
import sys

STAGES = ("encode", "restore", "decode", "frame")
LARGEST = 5                     # operators to show
TORCH_WAYS = ("published", "best")


def read(path):
    """name → the last measurement of that name."""
    results = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        results[result["name"]] = result
    return results


def get_flight(r):
    """Of an engine's measurement: with frames in flight."""
    return next(v for k, v in r.items() if k.startswith("depth_") and k != "depth_0")


def share(part, whole):
    return f"{100 * part / whole:.0f} %" if whole else ""


def make_table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def find_torch(results, name):
    """fps of both ways at a measurement's size and coder, as far as they are there."""
    size, vae = name.split("-")[1:3]
    torch = [results.get(f"torch-{size}-{vae}-{way}") for way in TORCH_WAYS]
    return [t and t["fps"] for t in torch] if name.startswith("sd21") else [None, None]


def make_frames_row(results, name, r, peak):
    one, many = r["depth_0"], get_flight(r)
    ratios = [f"{many['fps'] / fps:.1f}" if fps else "" for fps in
              find_torch(results, name)]
    return [name, f"{one['fps']:.1f}", f"{many['fps']:.1f}",
            f"{many['fps'] / one['fps']:.2f}", *ratios,
            share(r["frame"]["gflop"] * many["fps"], 1e3 * peak["tflop_per_s"]),
            f"{one['latency_ms']:.1f}, {one['latency_p99_ms']:.1f}",
            f"{many['latency_ms']:.1f}, {many['latency_p99_ms']:.1f}",
            f"{many['interval_p99_ms'] / many['interval_ms']:.2f}",
            f"{r['memory'] / 2**20:.0f}",
            f"{r['start_cold_s']:.1f}, {r['start_warm_s']:.2f}"]


def make_stage_rows(name, r, peak):
    for stage in STAGES:
        s = r[stage]
        yield [f"{name} {stage}", f"{s['ms']:.2f}", f"{s['gflop']:.1f}",
               f"{1e-3 * s['gflop_per_s']:.1f}",
               share(s["gflop_per_s"], 1e3 * peak["tflop_per_s"]),
               f"{100 * s['outside_library']:.0f} %"]


def make_operator_rows(name, r, peak):
    for o in r["operators"][:LARGEST]:
        yield [f"{name} {o['name']}" + ("" if o["library"] else " \\*"),
               f"{o['ms']:.3f}", f"{o['gflop']:.1f}", f"{o['megabytes']:.1f}",
               share(o["gflop_per_s"], 1e3 * peak["tflop_per_s"]),
               share(o["gb_per_s"], peak["gb_per_s"])]


def make_page(results):
    peak = results.get("peak", {"device": "a GPU", "tflop_per_s": 0, "gb_per_s": 0})
    torch = {k: r for k, r in results.items() if k.startswith("torch-")}
    engine = {k: r for k, r in results.items() if "depth_0" in r}
    parts = [f"# {peak['device']}",
             f"At best {peak['tflop_per_s']:.0f} TFLOP/s in bf16 and "
             f"{peak['gb_per_s']:.0f} GB/s."]
    if engine:
        parts += ["## Frames", "fps; latency and start in ms and s: median and p99, plans "
                  "made and kept; memory in MiB, beside the weights.", make_table(
                      ["", "fps, one at a time", "in flight", "overlap",
                       "of PyTorch as published", "at its best", "of the floor",
                       "latency", "in flight", "interval p99 / median", "memory",
                       "start"],
                      [make_frames_row(results, k, r, peak) for k, r in engine.items()])]
    if torch:
        parts += ["## PyTorch", make_table(
            ["", "fps", "ms", "p99", "memory, MiB", "setting"],
            [[k, f"{r['fps']:.1f}", f"{r['ms']:.2f}", f"{r['p99_ms']:.2f}",
              f"{r['memory'] / 2**20:.0f}", f"{r['way']}, {r['precision']}"]
             for k, r in torch.items()])]
    if engine:
        parts += ["## Stages", make_table(
            ["", "ms", "GFLOP", "TFLOP/s", "of the best", "outside cuDNN"],
            [row for k, r in engine.items() for row in make_stage_rows(k, r, peak)]),
            "## The largest operators", "\\* outside cuDNN", make_table(
                ["", "ms", "GFLOP", "MB", "of the best FLOP/s", "of the best GB/s"],
                [row for k, r in engine.items()
                 for row in make_operator_rows(k, r, peak)])]
    return "\n\n".join(parts) + "\n"


def write(folder):
    results = read(folder / "gpu.jsonl")
    (folder / "gpu.md").write_text(make_page(results), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("gputables.py FOLDER")
    write(pathlib.Path(sys.argv[1]))
