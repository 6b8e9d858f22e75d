#!/usr/bin/env python3
"""Holds the kernels' registers and spills to budget.txt.

    budget.py BUDGET USAGE...            fails where a kernel needs more
    budget.py --update BUDGET USAGE...   writes what they need now

USAGE: what ptxas said of each .cu file. A line of the budget is a kernel, its
largest number of registers on any architecture, and of bytes spilled.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import pathlib
import re
import sys

KERNEL = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


def read_usage(paths):
    """Kernel → [registers, spilled bytes], the largest of all architectures."""
    usage, name = {}, None
    for line in "".join(pathlib.Path(p).read_text() for p in paths).splitlines():
        if match := KERNEL.search(line):
            name = match[1]
        elif match := SPILLS.search(line):
            entry = usage.setdefault(name, [0, 0])
            entry[1] = max(entry[1], int(match[1]), int(match[2]))
        elif match := REGISTERS.search(line):
            entry = usage.setdefault(name, [0, 0])
            entry[0] = max(entry[0], int(match[1]))
    return usage


def read_budget(path):
    lines = [line.split() for line in path.read_text().splitlines()]
    return {line[0]: [int(line[1]), int(line[2])] for line in lines}


def main():
    arguments = sys.argv[1:]
    update = arguments[0] == "--update"
    path, *usage_paths = arguments[1:] if update else arguments
    path, usage = pathlib.Path(path), read_usage(usage_paths)
    if update:
        path.write_text("".join(f"{k} {r} {s}\n" for k, (r, s) in sorted(usage.items())))
        return 0
    budget = read_budget(path)
    bad = 0
    for name in sorted(usage.keys() | budget.keys()):
        needs, has = usage.get(name), budget.get(name)
        if needs is None or has is None:
            print(f"{name}: {'not in the budget' if has is None else 'no such kernel'}")
        elif needs[0] > has[0] or needs[1] > has[1]:
            print(f"{name}: needs {needs[0]} registers and spills {needs[1]} bytes, "
                  f"the budget is {has[0]} and {has[1]}")
        else:
            continue
        bad += 1
    print(f"{len(usage)} kernels, {bad} over budget or unknown")
    return 1 if bad or not usage else 0


sys.exit(main())
