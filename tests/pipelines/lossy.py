#!/usr/bin/env python3
"""A link that loses and delays packets, as netem does, which not every kernel
has: two network namespaces, each with an end of a TUN device, and this between
them.

    unshare -n lossy.py LOSS DELAY JITTER     (per cent, ms, ms)

writes the processes that hold the namespaces (NEAR, FAR) and, when it is
interrupted, how many packets came and how many of them were lost.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import fcntl
import heapq
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x0001 | 0x1000
MTU = 1500
NEAR, FAR = "10.77.0.1", "10.77.0.2"


def open_tun(name):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(),
                                            IFF_TUN_NO_PI))
    return tun


def ip(*args, inside=()):
    subprocess.run([*inside, "ip", *args], check=True)


def set_up(name, address, peer, inside=()):
    ip("link", "set", "lo", "up", inside=inside)
    ip("addr", "add", address, "peer", peer, "dev", name, inside=inside)
    ip("link", "set", name, "up", inside=inside)


class Link:
    def __init__(self, loss, delay, jitter):
        self.loss, self.delay, self.jitter = loss, delay, jitter
        near, far = open_tun("near"), open_tun("far")
        self.other = {near: far, far: near}
        self.on_the_way = []  # (time, number, end, packet)
        self.n_packets = self.n_lost = 0

    def take(self, tun):
        packet = os.read(tun, MTU)
        self.n_packets += 1
        if random.random() < self.loss:
            self.n_lost += 1
            return
        wait = random.uniform(self.delay - self.jitter,
                              self.delay + self.jitter)
        heapq.heappush(self.on_the_way, (time.monotonic() + wait,
                                         self.n_packets, self.other[tun],
                                         packet))

    def deliver(self):
        while self.on_the_way and self.on_the_way[0][0] <= time.monotonic():
            _, _, tun, packet = heapq.heappop(self.on_the_way)
            os.write(tun, packet)

    def run(self):
        while True:
            wait = None
            if self.on_the_way:
                wait = max(0, self.on_the_way[0][0] - time.monotonic())
            for tun in select.select(list(self.other), [], [], wait)[0]:
                self.take(tun)
            self.deliver()


def main(loss, delay, jitter):
    random.seed(1)
    link = Link(loss / 100, delay / 1000, jitter / 1000)
    holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while os.readlink(f"/proc/{holder.pid}/ns/net") == \
                os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        ip("link", "set", "far", "netns", str(holder.pid))
        set_up("near", NEAR, FAR)
        set_up("far", FAR, NEAR,
               inside=("nsenter", "-n", "-t", str(holder.pid)))
        print(os.getpid(), holder.pid, flush=True)
        link.run()
    except KeyboardInterrupt:
        print(link.n_packets, link.n_lost)
    finally:
        holder.kill()


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
