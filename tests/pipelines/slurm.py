"""A Slurm cluster of the tests' own on this machine: munged, a controller and
two node daemons, all in a folder, none known to the system's service manager.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import media

NODES = ["n1", "n2"]

CONF = """ClusterName=archive
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={dir}/munge/socket
StateSaveLocation={dir}/controller
SlurmdSpoolDir={dir}/%n
SlurmctldPidFile={dir}/controller.pid
SlurmdPidFile={dir}/%n.pid
SlurmctldLogFile={dir}/controller.log
SlurmdLogFile={dir}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=4
KillWait=1
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}] CPUs=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def need():
    media.need("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
    if not os.path.ismount("/sys/fs/cgroup"):
        print("skipped: slurmd does not start where /sys/fs/cgroup is not mounted")
        sys.exit(media.SKIP)


def free_ports(n):
    """The first of n that follow each other and nobody listens on."""
    for first in range(21000 + os.getpid() % 8000, 32000, n):
        sockets = []
        try:
            for port in range(first, first + n):
                sockets.append(socket.create_server(("127.0.0.1", port)))
            return list(range(first, first + n))
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise AssertionError("no free ports")


class Cluster:
    def __init__(self, folder):
        self.dir = Path(folder)
        self.environment = {"SLURM_CONF": str(self.dir / "slurm.conf")}
        self.daemons = {}

    def start(self):
        self._start_munge()
        (self.dir / "slurm.conf").write_text(CONF.format(
            dir=self.dir, user=getpass.getuser(), host=socket.gethostname(),
            ports=free_ports(3)))
        for name in ["controller", *NODES]:
            (self.dir / name).mkdir()
        self._start("controller", "slurmctld", "-D")
        for node in NODES:
            self._start(node, "slurmd", "-D", "-N", node)
        self._wait_for_nodes()

    def _start(self, name, *command):
        with open(self.dir / f"{name}.out", "wb") as out:
            self.daemons[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, **self.environment})

    def _start_munge(self):
        folder = self.dir / "munge"
        folder.mkdir(mode=0o700)
        key = folder / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self._start("munge", "munged", "--foreground", "--force",
                    f"--key-file={key}", f"--socket={folder}/socket",
                    f"--pid-file={folder}/pid", f"--log-file={folder}/log",
                    f"--seed-file={folder}/seed")
        self._wait_until((folder / "socket").exists)

    def _wait_until(self, what, seconds=60):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.say()
            time.sleep(0.2)

    def _wait_for_nodes(self):
        self._wait_until(lambda: self.query(
            "sinfo", "-h", "-N", "-o", "%T").split() == ["idle", "idle"])

    def say(self):
        """What the daemons have said last."""
        return "\n".join(f"== {path.name}\n" + path.read_text()[-2000:]
                         for path in self.dir.glob("*.log"))

    def query(self, *command):
        return subprocess.run(
            command, env={**os.environ, **self.environment}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL).stdout

    def jobs(self):
        return self.query("squeue", "-h", "-r", "-o", "%i %T %N %r")

    def hurry(self):
        """Lets tasks that have been put back begin now: Slurm waits for two
        minutes."""
        for job in self.query("squeue", "-h", "-r", "-t", "PD", "-o",
                              "%i %r").splitlines():
            number, reason = job.split(maxsplit=1)
            if reason == "BeginTime":
                self.query("scontrol", "update", f"JobId={number}",
                           "StartTime=now")

    def tasks(self, node):
        """Process ids of the tasks that run on a node: what has this cluster's
        and this node's name in its environment."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if (f"SLURM_CONF={self.dir}/slurm.conf".encode() in words
                    and f"SLURMD_NODENAME={node}".encode() in words):
                found.append(int(path.parent.name))
        return found

    def kill_node(self, node):
        """As when its machine loses power: the daemon, what it has started for
        tasks, and the tasks."""
        tasks = self.tasks(node)
        parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
                       .split()[1]) for pid in tasks}
        for pid in [self.daemons[node].pid, *parents - {1}, *tasks]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.daemons[node].wait()

    def stop(self):
        for node in self.daemons.keys() & set(NODES):
            self.kill_node(node)
        for daemon in self.daemons.values():
            daemon.terminate()
            daemon.wait()
