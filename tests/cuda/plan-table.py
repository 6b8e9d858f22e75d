#!/usr/bin/env python3
r"""Has cuDNN make every plan of a model of Stable Diffusion 2.1's size, for GPUs
that are not there, and writes what it chose as a table.

    plan-table.py PROGRAM LIBRARIES [--sizes 512x512,...] [--devices sm90_h200,...] \
        [--check TABLE | --write TABLE]

PROGRAM is plans.c built, LIBRARIES the folders with a libcuda.so.1 without device
and cuDNN. --check fails where a plan cannot be made, where an operator of the
table is missing, and where one that was fused is so no longer. Without --sizes and
--devices: all of them, as --write wants.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SIZES = "512x512,1280x720,1920x1080,tagger"
HEAD = """# What cuDNN makes of a model of Stable Diffusion 2.1's size

Made by `tests/cuda/plan-table.py --write`, with cuDNN {version}, no GPU present: every product and attention of
both coders, the UNet and the tagger, in bf16, finalised for each GPU from its description (`tests/cuda/devices/`).
A cell is the engine's number; *fused* operators do bias, activation, residual and gate in the same kernel, \"+ own\" ones are
followed by our epilogue, and \"own\" ones are our kernel altogether. Convolutions \"of ×2\" enlarge their source first, in four kernels, one for each phase
of the result. Workspaces are named where there are any. The tagger looks at every frame size in the same way.
"""


def run(program, libraries, device, size, folder):
    """(stage, operator) → how, of one device and one size."""
    environment = dict(os.environ, LD_LIBRARY_PATH=libraries)
    result = subprocess.run(
        [program, HERE / "data/sd21.json.gz", device, folder, size],
        env=environment, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{device.name}, {size}: {result.stderr.strip()}")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    return {(stage, operator): how for stage, operator, how in lines}


def list_times(folder):
    """Finished plans and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def run_twice(program, libraries, device, size, cache):
    """As run (); the second time every plan is one that was kept."""
    folder = pathlib.Path(cache) / f"{device.stem}-{size}"
    first = run(program, libraries, device, size, folder)
    times = list_times(folder)
    if run(program, libraries, device, size, folder) != first:
        raise RuntimeError(f"{device.name}, {size}: kept plans are other plans")
    if list_times(folder) != times:
        raise RuntimeError(f"{device.name}, {size}: plans were kept in vain and made again")
    return first


def run_all(program, libraries, sizes, devices):
    with tempfile.TemporaryDirectory() as cache, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {(size, device.stem): pool.submit(run_twice, program, libraries, device, size, cache)
                for size in sizes for device in devices}
        return {key: job.result() for key, job in jobs.items()}


def write_table(path, results, sizes, devices, version):
    text = HEAD.format(version=version)
    names = [device.stem for device in devices]
    for size in sizes:
        text += f"\n## {size}\n\n| stage | operator | {' | '.join(names)} |\n"
        text += "| --- " * (2 + len(names)) + "|\n"
        for key in results[size, names[0]]:
            cells = [results[size, name].get(key, "missing") for name in names]
            text += f"| {key[0]} | {key[1]} | {' | '.join(cells)} |\n"
    path.write_text(text)


def read_table(path):
    """(size, stage, operator) → cells."""
    table, size = {}, None
    for line in path.read_text().splitlines():
        if line.startswith("## "):
            size = line[3:]
        elif size and line.startswith("| ") and not line.startswith(("| ---", "| stage")):
            stage, operator, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            table[size, stage, operator] = cells
    return table


def check_table(path, results, devices):
    bad = 0
    for (size, stage, operator), cells in read_table(path).items():
        for device, cell in zip(devices, cells):
            if (size, device.stem) not in results:
                continue
            found = results[size, device.stem].pop((stage, operator), "missing")
            if found == "missing" or ("own" in found and "own" not in cell):
                print(f"{size} {device.stem} {stage} {operator}: {found}, in the table {cell}")
                bad += 1
    for (size, device), rest in results.items():
        for key, how in rest.items():
            print(f"{size} {device} {' '.join(key)}: {how}, not in the table")
            bad += 1
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("libraries")
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--devices", type=lambda names: names.split(","))
    parser.add_argument("--check", type=pathlib.Path)
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("--version", default="9", help="of cuDNN, for the table's head")
    options = parser.parse_args()
    sizes, devices = options.sizes.split(","), sorted((HERE / "devices").glob("*.json"))
    tried = [device for device in devices
             if not options.devices or device.stem in options.devices]
    results = run_all(options.program, options.libraries, sizes, tried)
    plans = sum(len(result) for result in results.values())
    if options.write:
        write_table(options.write, results, sizes, devices, options.version)
    bad = check_table(options.check, results, devices) if options.check else 0
    print(f"{plans} plans made, {bad} of them not as in the table")
    return 1 if bad else 0


sys.exit(main())
