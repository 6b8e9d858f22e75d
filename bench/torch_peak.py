#!/usr/bin/env python3
# What a GPU can do at best, as far as PyTorch gets it to: a product of large matrices
# in bf16, and a copy. bench/gpu puts the engine's figures beside it.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

import json
import statistics

import torch

SIDE = 8192                     # of the matrices
LENGTH = 1 << 30                # bytes that are copied
RUNS = 20


def time_ms(work):
    """Median."""
    times = []
    for _ in range(RUNS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def main():
    a, b = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16)
            for _ in range(2))
    x = torch.empty(LENGTH, dtype=torch.uint8, device="cuda")
    y = torch.empty_like(x)
    print(json.dumps({
        "torch": torch.__version__, "device": torch.cuda.get_device_name(),
        "tflop_per_s": 2 * SIDE ** 3 / time_ms(lambda: a @ b) * 1e-9,
        "gb_per_s": 2 * LENGTH / time_ms(lambda: y.copy_(x)) * 1e-6}))


if __name__ == "__main__":
    main()
