#!/usr/bin/env python3
"""pipelines/archive: a film restored in parts is the film restored in one
piece, whoever does the parts and whatever becomes of them.

    test_archive.py PROGRAM REPOSITORY TRACER [TEST...]

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import frames
import media
import slurm
from program import ProgramTest, wait_for

PROGRAM = Path(sys.argv[1]).resolve()
UPSCALE = PROGRAM.parent / "upscale-file"
ROOT = Path(sys.argv[2])
TRACER = Path(sys.argv[3]).resolve()


def without_progress(text):
    """Where the machine is busy there is a line about it every ten seconds."""
    return re.sub(r"^frame .*\n", "", text, flags=re.MULTILINE)


class Archive(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="archive-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.out = self.dir / "out.mkv"
        self.folder = self.dir / "out.mkv.archive"
        self.plan = self.folder / "plan.json"

    def make(self, name, *args):
        media.ffmpeg(*args, self.dir / name)
        return self.dir / name

    def make_film(self, name="film.mkv", seconds=6, *args):
        """Key frames that pictures before them refer across, cuts that are not
        all at key frames, and later a flicker, which is no cut to who has seen
        the frame before the one before."""
        return self.make(
            name, "-f", "lavfi", "-i",
            f"testsrc2=size=64x48:rate=25:duration={seconds},"
            "negate=enable='if(gt(t,2),mod(n,2),lt(mod(t,1.12),0.56))'",
            "-f", "lavfi", "-i",
            f"sine=duration={seconds}", *(args or [
                "-c:v", "libx264", "-x264-params",
                "keyint=20:open-gop=1:bframes=3:scenecut=0", "-c:a",
                "libopus"]))

    def run_program(self, *args, **options):
        done = subprocess.run([PROGRAM, *map(str, args)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, **options)
        done.stderr = without_progress(done.stderr)
        return done

    def run_well(self, *args, **options):
        done = self.run_program(*args, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def check_fails(self, *args, says, status=1, **options):
        """One line on standard error, and what is said in it."""
        done = self.run_program(*args, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertRegex(done.stderr, r"\Aarchive: [^\n]+\n\Z")
        self.assertIn(says, done.stderr)
        return done.stderr

    def split(self, source, *options, seconds=1):
        """Gives the parts."""
        self.run_well("split", "--part-seconds", seconds, *options, source,
                      self.out)
        return json.loads(self.plan.read_text())["parts"]

    def status(self, plan=None):
        return json.loads(self.run_well("status", "--json",
                                        plan or self.plan))[0]

    def check_film(self, source, out=None):
        out = out or self.out
        self.assertEqual(media.packet_times(source), media.packet_times(out))
        media.ffmpeg("-xerror", "-i", out, "-f", "null", "-")

    def check_like_upscale(self, source):
        """But for the encoder's work, which is seen to do no more at a cut."""
        whole = self.dir / "whole.mkv"
        subprocess.run([UPSCALE, source, whole], check=True,
                       stdin=subprocess.DEVNULL, capture_output=True)
        self.check_film(whole)
        log = self.dir / "psnr.log"
        media.ffmpeg("-i", whole, "-i", self.out, "-lavfi",
                     f"psnr=stats_file={log}", "-f", "null", "-")
        worst = min(float(line.split("psnr_y:")[1].split()[0])
                    for line in log.read_text().splitlines())
        self.assertGreater(worst, 35)


class Frames(Archive):
    """What enters the encoder, and what has to be decoded for it."""

    def trace(self, *args):
        """Lines of the tracer's log."""
        trace = frames.Trace(TRACER, self.dir)
        self.run_well(*args, env=trace.env)
        return trace.take()

    def sums_in_one_piece(self, source, window):
        """By gst-launch: of every frame, in order."""
        raw = self.dir / "raw"
        subprocess.run(
            ["gst-launch-1.0", "-q", "filesrc", f"location={source}", "!",
             "decodebin", "!", "dloral", "device=cpu", "precision=f32",
             f"temporal-window={window}", "!", "video/x-raw,format=I420", "!",
             "filesink", f"location={raw}"],
            check=True, stdin=subprocess.DEVNULL)
        data = raw.read_bytes()
        size = 256 * 192 * 3 // 2
        self.assertEqual(len(data) % size, 0)
        return [hashlib.sha256(data[i:i + size]).hexdigest()
                for i in range(0, len(data), size)]

    def test_bit_equal(self):
        """In float32 on the CPU every frame of every part is bit by bit what it
        is in one piece."""
        source = self.make_film(seconds=4)
        times = [round(t * 1e9) for t in media.packet_times(source)]
        for window in 1, 3:
            with self.subTest(window=window):
                parts = self.split(source, "--set", "device=cpu", "--set",
                                   "precision=f32", "--set",
                                   f"temporal-window={window}")
                self.assertEqual(len(parts), 5)
                parts_frames = []
                for i in range(len(parts)):
                    parts_frames += [(int(line[1]), line[2]) for line in
                               self.trace("run", self.plan, i)
                               if line[0] == "encoded"]
                whole = self.sums_in_one_piece(source, window)
                self.assertGreater(len(set(whole)), 90)
                self.assertEqual(parts_frames, list(zip(times, whole)))
            shutil.rmtree(self.folder)

    def test_begins_near(self):
        """A part at the end does not decode the film up to there."""
        source = self.make_film("long.mkv", 100, "-an", "-g", 25)
        parts = self.split(source, seconds=2)
        lines = self.trace("run", self.plan, len(parts) - 1)
        self.assertEqual(sum(line[0] == "encoded" for line in lines),
                         parts[-1]["frames"])
        self.assertLess(sum(line[0] == "decoded" for line in lines), 1000)


class Films(Archive):
    SUBTITLES = "1\n00:00:00,100 --> 00:00:03,400\nSalt & pepper\n"
    CHAPTERS = (";FFMETADATA1\ntitle=Film\n[CHAPTER]\nTIMEBASE=1/1000\n"
                "START=0\nEND=3000\ntitle=One\n[CHAPTER]\nTIMEBASE=1/1000\n"
                "START=3000\nEND=6000\ntitle=Two\n")

    def restore(self, source, *options, **arguments):
        n = len(self.split(source, *options, **arguments))
        self.assertGreater(n, 1)
        for i in range(n):
            self.run_well("run", self.plan, i)
        self.assertEqual(self.status()["parts"], {
            "waiting": 0, "running": 0, "done": n, "failed": 0})
        self.run_well("join", self.plan)
        self.assertTrue(self.status()["joined"])
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["joined", "plan.json"])

    def test_all_of_a_film(self):
        """With what is beside the video; there is no seam."""
        plain = self.make_film()
        (self.dir / "s.srt").write_text(self.SUBTITLES)
        (self.dir / "c.txt").write_text(self.CHAPTERS)
        source = self.make(
            "full.mkv", "-i", plain, "-i", self.dir / "s.srt", "-i",
            self.dir / "c.txt", "-map", 0, "-map", 1, "-map_metadata", 2,
            "-map_chapters", 2, "-c", "copy", "-c:s", "srt")
        self.restore(source)
        self.check_film(source)
        self.check_like_upscale(source)
        self.assertEqual(media.audio_packets(source),
                         media.audio_packets(self.out))
        found = media.probe(self.out, "-show_streams", "-show_chapters")
        self.assertEqual([s["codec_name"] for s in found["streams"]],
                         ["h264", "opus", "subrip"])
        self.assertEqual([c["tags"]["title"] for c in found["chapters"]],
                         ["One", "Two"])

    def test_sources(self):
        """Containers that are sought in differently, frames of varying length,
        sound that begins before the video."""
        for name, args in (
                ("v.mp4", ["-vf", "select='not(mod(n,3))+not(mod(n,7))'",
                           "-fps_mode", "vfr", "-g", 10, "-c:a", "aac"]),
                ("t.ts", ["-c:v", "mpeg2video", "-g", 12, "-bf", 2, "-c:a",
                          "mp2"]),
                ("h.ts", ["-g", 20, "-c:a", "aac"]),
                ("p.mov", ["-c:v", "prores_ks", "-an"]),
                ("w.webm", ["-c:v", "libvpx", "-auto-alt-ref", 1, "-g", 20,
                            "-lag-in-frames", 10, "-c:a", "libopus"]),
                ("l.mkv", ["-vf", "setpts=PTS+0.5/TB", "-g", 20])):
            with self.subTest(name=name):
                source = self.make_film(name, 3, *args)
                self.restore(source)
                self.check_like_upscale(source)
            shutil.rmtree(self.folder)

    def test_no_key_frames(self):
        """For long: parts begin between them, and that is said."""
        source = self.make_film("one.mkv", 4, "-g", 1000, "-sc_threshold",
                                0, "-an")
        done = self.run_program("split", "--part-seconds", 1, source, self.out)
        self.assertEqual(done.returncode, 0)
        self.assertIn("3 parts of", done.stderr)
        self.assertIn("between key frames", done.stderr)
        for i in range(4):
            self.run_well("run", self.plan, i)
        self.run_well("join", self.plan)
        self.check_film(source)

    def test_encoders(self):
        """Whose parts join without being encoded again, in other containers."""
        source = self.make_film(seconds=2)
        for encoder, out in (("x265", "o.mp4"), ("vp9", "o.webm")):
            self.out = self.dir / out
            self.folder = self.dir / f"{out}.archive"
            self.plan = self.folder / "plan.json"
            self.restore(source, "--encoder", encoder)
            self.assertEqual(len(media.packet_times(self.out)), 50)
            media.ffmpeg("-xerror", "-i", self.out, "-f", "null", "-")


class Failures(Archive):
    def test_plans(self):
        source = self.make_film(seconds=2)
        text = self.dir / "text.json"
        for content, says in (("", "empty"), ("This is not a plan.", "plan"),
                              ("[]", "not a plan"), ("{}", "not a plan"),
                              ('{"version": 1}', "broken")):
            text.write_text(content)
            self.check_fails("join", text, says=says)
        self.check_fails("run", self.dir / "none.json", 0, says="No such file")

        self.split(source)
        self.check_fails("run", self.plan, 2, says="are 0 to 1", status=2)
        self.check_fails("run", self.plan, "x", says="are 0 to 1", status=2)
        self.check_fails("run", self.plan, says="which part", status=2)
        plan = json.loads(self.plan.read_text())
        plan["parts"][1]["start"] += 1
        text.write_text(json.dumps(plan))
        self.check_fails("run", text, 0, says="do not follow")

        with open(source, "ab") as file:
            file.write(b"\0")
        for command in ["run", self.plan, 0], ["join", self.plan]:
            self.check_fails(*command, says="not the one that the plan",
                             status=3)
        self.check_fails("split", source, self.out, says="another source")

    def test_usage(self):
        for args in ([], ["none"], ["run"], ["split", "a"], ["all", "a"],
                     ["status"], ["--part-seconds", "0", "all", "a", "b"],
                     ["--backend", "none", "all", "a", "b"]):
            self.check_fails(*args, says="", status=2)

    def test_settings(self):
        """They belong to the plan, and so does the model."""
        source = self.make_film(seconds=2)
        for option, says in (("overload=drop", "names are"),
                             ("precision", "NAME=VALUE"),
                             ("precision=f17", "cannot be"),
                             ("temporal-window=9", "cannot be"),
                             ("model=none.safetensors", "No such file")):
            self.check_fails("split", "--set", option, source, self.out,
                             says=says)
        self.check_fails("split", source, self.dir / "out.avi", says=".mkv")
        self.check_fails("split", "--encoder", "none", source, self.out,
                         says="x264, x265")

        model = self.dir / "model.safetensors"
        shutil.copy(ROOT / "weights" / "dloral-small.safetensors", model)
        self.split(source, "--set", f"model={model}")
        self.run_well("run", self.plan, 0)
        self.split(source, "--set", f"model={model}")
        self.check_fails("split", source, self.out, says="another --set")
        self.check_fails("split", "--encoder", "x265", "--set",
                         f"model={model}", source, self.out,
                         says="another --encoder")
        with open(model, "ab") as file:
            file.write(b"\0")
        self.check_fails("run", self.plan, 1, status=3,
                         says="not the one that the plan")

    def test_unsuitable_sources(self):
        parts = [self.make_film("a.ts", 1, "-an"),
                 self.make("b.ts", "-i", self.dir / "a.ts", "-vf",
                           "scale=48:32", "-output_ts_offset", 1)]
        changing = self.dir / "ab.ts"
        changing.write_bytes(b"".join(part.read_bytes() for part in parts))
        self.check_fails("split", changing, self.out, says="its size changes",
                         status=3)
        timeless = self.make_film("t.avi", 1, "-an", "-c:v", "mpeg4", "-bf", 2)
        said = self.check_fails("split", timeless, self.out, status=3,
                                says="no time of its own")
        self.assertIn("-fflags +genpts -i IN -c copy COPY.mkv", said)
        text = self.dir / "text.mkv"
        text.write_text("This is not a video.\n" * 100)
        self.check_fails("split", text, self.out, says=str(text), status=3)
        self.assertFalse(self.folder.exists())

    def damage(self, source, start, stop, intact=0):
        """Zeroes what is stored of the video's frames between two times, in
        seconds, but for their first bytes."""
        for packet in media.probe(source, "-show_packets", "-select_streams",
                                  "v")["packets"]:
            if start <= float(packet["dts_time"]) < stop:
                with open(source, "r+b") as file:
                    file.seek(int(packet["pos"]) + intact)
                    file.write(bytes(max(int(packet["size"]) - intact, 0)))

    def run_parts(self):
        """Gives what is said of each that has something to be said of it."""
        said = {}
        for i in range(4):
            done = self.run_program("run", self.plan, i)
            if done.returncode or done.stderr:
                said[i] = done.returncode, done.stderr
        return said

    def test_corrupt_source(self):
        """What cannot be decoded is named with its time, and is missing in the
        film; the rest is restored."""
        source = self.make_film("c.mp4", 4, "-g", 25, "-bf", 0,
                                "-sc_threshold", 0, "-an")
        self.damage(source, 1.1, 1.9)
        self.split(source)
        loss = (f'part 1, 0:00:01.00 to 0:00:02.00: "{source}" is corrupt '
                "there: 20 of 25 frames cannot be decoded")
        self.assertEqual(self.run_parts(), {1: (0, f"archive: {loss}\n")})
        state = self.status()
        self.assertEqual((state["parts"]["done"], state["restored"],
                          state["lost"], state["problems"]),
                         (4, 80, 20, [loss]))
        done = self.run_program("join", self.plan)
        self.assertEqual((done.returncode, done.stderr),
                         (0, f"archive: {loss}\n"))
        self.assertEqual(media.packet_times(self.out), [
            t for t in media.packet_times(source) if not 1.09 < t < 1.89])

    def test_corrupt_part(self):
        """Nothing of it can be decoded: the others are restored, and wait."""
        source = self.make_film("c.webm", 4, "-g", 25, "-an", "-c:v",
                                "libvpx-vp9", "-auto-alt-ref", 0)
        self.damage(source, 1.0, 1.99, 30)
        self.split(source)
        said = (f'"{source}" is corrupt there: none of its 25 frames can be '
                "decoded")
        self.assertEqual(self.run_parts(), {1: (3, f"archive: {said}\n")})
        state = self.status()
        self.assertEqual(state["parts"], {"waiting": 0, "running": 0,
                                          "done": 3, "failed": 1})
        problem = f"part 1, 0:00:01.00 to 0:00:02.00: {said}"
        self.assertEqual(state["problems"], [problem])
        joined = self.check_fails("join", self.plan, says=problem)
        self.assertIn("1 of 4 parts", joined)
        self.assertEqual(self.status()["problems"], [
            problem, joined.removeprefix("archive: ").strip()])
        self.assertFalse(self.out.exists())

    def test_gaps(self):
        source = self.make_film("g.mkv", 4, "-vf", "select='lt(t,1)+gt(t,2.5)'",
                                "-fps_mode", "vfr", "-an")
        done = self.run_program("split", source, self.out)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "in 1 places, the longest is 0:00:00.9. "
                         "to 0:00:02.5.\n")

    FULL = """trap 'cd /; umount "$1"' EXIT
              mount -t tmpfs -o size=24k tmpfs "$1" && cp "$2" "$1" || exit
              "$3" run "$1/plan.json" 0
              echo $?; cd "$1"; echo *; cat part-00000.json"""

    @staticmethod
    def own_mounts():
        """A command that others do not see the mounts of; in a chroot they do."""
        alone = ["unshare", "-m"]
        if subprocess.run([*alone, "true"], capture_output=True).returncode == 0:
            return alone
        return [*alone, "--propagation", "unchanged"]

    def test_full_disk(self):
        """Nothing is left but why, and trying again would not help."""
        source = self.make_film(seconds=2)
        self.split(source)
        small = self.dir / "small"
        small.mkdir()
        done = subprocess.run(
            [*self.own_mounts(), "sh", "-c", self.FULL, "sh", small, self.plan,
             PROGRAM], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        said = "no space is left for the result"
        self.assertEqual(done.stderr, f"archive: {said}\n")
        status, names, record = done.stdout.split("\n", 2)
        self.assertEqual((status, names), ("3", "part-00000.json plan.json"))
        self.assertEqual(json.loads(record)["error"], said)

    def test_no_room_for_the_film(self):
        """A limit on the size of files stands in; the parts stay, and so does
        an older film."""
        source = self.make_film(seconds=2)
        for i in range(len(self.split(source))):
            self.run_well("run", self.plan, i)
        self.out.write_text("older")

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

        self.check_fails("join", self.plan, says="cannot be written",
                         preexec_fn=limit)
        self.assertEqual(self.out.read_text(), "older")
        self.run_well("join", self.plan)
        self.check_film(source)

    def test_bad_parts(self):
        """Missing, damaged, of another plan, of another encoder: named, and
        restored again by the next run."""
        source = self.make_film("film.mkv", 4, "-g", 25)
        self.split(source)
        self.check_fails("join", self.plan, says="4 of 4 parts")
        for i in range(4):
            self.run_well("run", self.plan, i)

        def edit(i, key, value):
            path = self.folder / f"part-0000{i}.json"
            record = json.loads(path.read_text())
            record[key] = value(record[key])
            path.write_text(json.dumps(record))

        with open(next(self.folder.glob("part-00000.*.gdp")), "r+b") as file:
            file.seek(500)
            byte = file.read(1)[0]
            file.seek(500)
            file.write(bytes([byte ^ 0xff]))
        edit(1, "plan", lambda text: text[::-1])
        (self.folder / "part-00003.json").unlink()
        said = self.check_fails("join", self.plan, says="3 of 4 parts")
        self.assertRegex(said, "part 0, [^;]*: .*not what was written")
        self.assertRegex(said, "part 1, [^;]*: .*by another plan")
        self.assertRegex(said, "part 3, [^;]*: .*not been restored")
        for i in range(4):
            done = self.run_program("run", self.plan, i)
            self.assertEqual(done.returncode, 0)
            self.assertEqual("is there already" in done.stderr, i == 2)

        edit(2, "caps", lambda text: text.replace("codec_data", "other_data"))
        said = self.check_fails("join", self.plan, says="1 of 4 parts")
        self.assertRegex(said, "part 2, [^;]*: its encoder was not that")
        self.run_well("run", self.plan, 2)
        self.run_well("join", self.plan)
        self.check_film(source)

    def start_task(self, part):
        run = subprocess.Popen([PROGRAM, "run", self.plan, str(part)],
                               stdin=subprocess.DEVNULL, text=True,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
        self.addCleanup(ProgramTest.end, run)
        wait_for((self.folder / f"part-0000{part}.running").exists)
        return run

    def test_tasks_that_end(self):
        """Stopped, killed, and twice at once."""
        source = self.make_film("long.mkv", 12, "-g", 25)
        self.split(source, seconds=6)
        before = sorted(self.folder.iterdir())
        run = self.start_task(0)
        self.assertEqual(self.status()["parts"]["running"], 1)
        run.send_signal(signal.SIGTERM)
        self.assertRegex(run.communicate()[1], r"interrupted\n\Z")
        self.assertEqual(run.returncode, 128 + signal.SIGTERM)
        self.assertEqual(sorted(self.folder.iterdir()), before)

        run = self.start_task(0)
        run.kill()
        run.wait()
        os.utime(self.folder / "part-00000.running", (1, 1))
        self.assertEqual(self.status()["parts"], {
            "waiting": 2, "running": 0, "done": 0, "failed": 0})

        both = [self.start_task(1), self.start_task(1)]
        self.run_well("run", self.plan, 0)
        for run in both:
            self.assertEqual(run.communicate()[1], "")
            self.assertEqual(run.returncode, 0)
        self.assertEqual(len(list(self.folder.glob("part-00001.*.gdp"))), 1)
        self.run_well("join", self.plan)
        self.check_film(source)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["joined", "plan.json"])


class Parallel(Archive):
    def setUp(self):
        super().setUp()
        self.results = self.dir / "results"

    def start(self, *films, **environment):
        run = subprocess.Popen(
            [PROGRAM, "all", "--backend", "parallel", "--jobs", "2",
             "--part-seconds", "3", *films, self.results],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.PIPE, env={**os.environ, **environment},
            start_new_session=True)
        self.addCleanup(ProgramTest.end, run)
        return run

    def plan_of(self, name):
        return self.results / f"{name}.archive" / "plan.json"

    def gpus(self, name):
        """Of the tasks that run."""
        found = set()
        plan = str(self.plan_of(name)).encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
                environment = (path.parent / "environ").read_bytes()
            except OSError:
                continue
            if words[1:3] == [b"run", plan]:
                found |= {word.partition(b"=")[2] for word in
                          environment.split(b"\0")
                          if word.startswith(b"CUDA_VISIBLE_DEVICES=")}
        return found

    def test_films(self):
        """Interrupted, then to the end; each task on a GPU of its own, of those
        that there are for all."""
        films = [self.make_film("a.mkv", 12), self.make_film("b.mkv", 6)]
        run = self.start(*films, CUDA_VISIBLE_DEVICES="4,7")
        wait_for(lambda: self.gpus("a.mkv") == {b"4", b"7"})
        wait_for(lambda: self.status(self.plan_of("a.mkv"))["parts"]["done"])
        run.send_signal(signal.SIGINT)
        error = run.communicate(timeout=60)[1]
        self.assertEqual(run.returncode, 128 + signal.SIGINT, error)
        wait_for(lambda: not self.gpus("a.mkv"))
        state = self.status(self.plan_of("a.mkv"))
        self.assertGreater(state["parts"]["done"], 0)
        self.assertGreater(state["parts"]["waiting"], 0)
        self.assertFalse((self.results / "a.mkv").exists())

        run = self.start(*films)
        error = run.communicate(timeout=100)[1]
        self.assertEqual(run.returncode, 0, error)
        self.assertNotIn("is there already", error)
        for film in films:
            self.check_film(film, self.results / film.name)
        error = self.start(*films).communicate(timeout=60)[1]
        self.assertEqual(error.count("is there already"), 2)

    def test_failures(self):
        """A film that cannot be restored is said, the others go on."""
        good = self.make_film("good.mkv", 2)
        (self.dir / "text.mkv").write_text("This is not a video.\n" * 100)
        twin = self.make("good.ts", "-i", good, "-c", "copy")
        run = self.start(good, self.dir / "text.mkv", twin)
        error = run.communicate(timeout=60)[1]
        self.assertEqual(run.returncode, 1, error)
        self.assertIn("text.mkv", error)
        self.assertIn("would replace that of", error)
        self.assertIn("2 of 3 films have failed", error)
        self.check_film(good, self.results / "good.mkv")


class Slurm(Archive):
    def setUp(self):
        super().setUp()
        # Paths of sockets may not be long.
        folder = tempfile.mkdtemp(prefix="slurm-")
        self.addCleanup(shutil.rmtree, folder)
        self.cluster = slurm.Cluster(folder)
        self.addCleanup(self.cluster.stop)
        self.cluster.start()
        self.results = self.dir / "re%sults"

    def run_all(self, *films, sbatch="--nice=1 --comment='a film'"):
        return self.run_program(
            "all", "--part-seconds", 3, "--sbatch", sbatch, *films,
            self.results,
            env={**os.environ, **self.cluster.environment})

    def wait_for_jobs(self, seconds=120):
        end = time.monotonic() + seconds
        while self.cluster.jobs():
            self.assertLess(time.monotonic(), end, self.cluster.jobs()
                            + self.cluster.say())
            self.cluster.hurry()
            time.sleep(0.5)

    def task_of(self, node):
        """Process id of the program in a task that runs on a node."""
        for pid in self.cluster.tasks(node):
            try:
                if os.readlink(f"/proc/{pid}/exe") == str(PROGRAM):
                    return pid
            except OSError:
                pass
        return None

    def test_array(self):
        """One task dies, one node dies, and one film is corrupt, which is no
        reason to try again."""
        good = self.make_film("good film.mkv", 15)
        bad = self.make_film("bad.webm", 6, "-g", 25, "-an", "-c:v",
                             "libvpx-vp9", "-auto-alt-ref", 0)
        Failures.damage(self, bad, 3.0, 5.99, 30)
        refused = self.run_all(bad, sbatch="--partition=none")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("Invalid partition name", refused.stderr)
        done = self.run_all(good, bad)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout,
                         r"5 of 5 parts are to be restored, job \d+;")
        os.kill(wait_for(lambda: self.task_of("n1")), signal.SIGKILL)
        wait_for(lambda: self.task_of("n2"))
        self.cluster.kill_node("n2")
        self.wait_for_jobs()
        self.assertEqual(self.cluster.query("scontrol", "show", "job").count(
            "Restarts=1 "), 2)

        self.check_film(good, self.results / good.name)
        self.assertFalse((self.results / "bad.mkv").exists())
        folder = self.results / "bad.mkv.archive"
        state = self.status(folder / "plan.json")
        self.assertEqual(state["parts"]["failed"], 1)
        self.assertEqual(len(state["problems"]), 2)
        log = (folder / "part-1.log").read_text()
        self.assertEqual(log.count("archive: "), 1, log)
        self.assertIn("1 of 2 parts", (folder / "join.log").read_text())
        self.assertIn("is there already", self.run_all(good).stderr)


class Command(Archive):
    """pipelines/archive itself, as far as it needs no set-up."""

    def test_help(self):
        done = subprocess.run([ROOT / "pipelines" / "archive", "--help"],
                              stdout=subprocess.PIPE, text=True, check=True)
        self.assertIn("pipelines/archive all [OPTION...] IN... OUT_DIR",
                      done.stdout)


if __name__ == "__main__":
    media.need("ffmpeg", "ffprobe", "gst-launch-1.0")
    if "Parallel" in sys.argv[4:]:
        media.need("parallel")
    if "Slurm" in sys.argv[4:]:
        slurm.need()
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
