# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks share: programs, a disk and a store that are measured, fio, figures and their table.

Every figure stands beside its limits, measured right after it, as often as it; medians are compared, and a ratio
is that of two figures of one run. The load of the machine when a figure was taken is noted: those of a busy machine
mean little.
"""
import argparse
import contextlib
import json
import mmap
import os
import re
import resource
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request

MIB = 1 << 20
SEGMENT = 8 * MIB
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
IN_LINE = "S3CRATE_BENCH_IN_LINE"
LOOP = ["--direct-io=on", "--sector-size", "4096"]


def run(*words, **kwargs):
    done = subprocess.run(words, text=True, capture_output=True, check=False, **kwargs)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def size_of(text):
    match = re.fullmatch(r"(\d+)([KMGT]?)", text.upper())
    if not match:
        raise argparse.ArgumentTypeError(f"{text} is no size: write 512M or 1G")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2]]


def enter_line(mbit):
    """Goes on in a network namespace whose loopback carries so many Mbit/s."""
    if os.environ.get(IN_LINE) is None:
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], {**os.environ, IN_LINE: "1"})
    run("ip", "link", "set", "lo", "up", "mtu", "1500")
    run("tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", f"{mbit}mbit", "burst", "256k", "limit", "4m")


def clean_up_when_ended():
    """Signals end the program the way an error does, so that what was begun is undone."""

    def end(caught, _):
        for one in ENDING:
            signal.signal(one, signal.SIG_IGN)  # the cleaning up is not to be interrupted
        sys.exit(128 + caught)

    for caught in ENDING:
        signal.signal(caught, end)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_of_ended():
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def settle(directory):
    """What was written before is not to be written back during what comes now."""
    run("sync", "--file-system", directory)


def warm_memory(size):
    """Has the hypervisor give this guest so much memory, which then is free again: where it takes back what is free, each page
    that is used anew costs some 15 us instead of 3, which would be counted as the work of whoever touches it first."""
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        available = int(re.search(r"MemAvailable:\s+(\d+)", meminfo.read())[1]) << 10
    mmap.mmap(-1, max(min(size, available // 2), mmap.PAGESIZE), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def drop_from_cache(top):
    settle(top)
    for directory, _, names in os.walk(top):
        for name in names:
            fd = os.open(os.path.join(directory, name), os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def fill_random(path, size):
    """A file of bytes that do not shrink; fio's own do, by a few percent."""
    with open(path, "wb") as file:
        while size > 0:
            size -= file.write(os.urandom(min(size, 4 * MIB)))


def tar_of(tree):
    """Of a source tree, without what was built in it and its history."""
    return subprocess.run(["tar", "-C", tree, "--exclude=./build*", "--exclude=./.git", "-c", "."], stdout=subprocess.PIPE, check=True).stdout


def fill_shrinking(path, size, tree):
    """A file of sources, which shrink to some fifth, over and over; nothing notices that they are the same."""
    sources = tar_of(tree)
    with open(path, "wb") as file:
        while file.tell() < size:
            file.write(sources)
        file.truncate(size)


def copy(source, target, size, direct=True):
    """Seconds until `target` has `size` bytes of it, written directly if it can, and fsynced."""
    begin = time.monotonic()
    run("dd", f"if={source}", f"of={target}", "bs=1M", f"count={size // MIB}", *(["oflag=direct"] if direct else []),
        "iflag=fullblock", "conv=notrunc,fsync", "status=none")
    return time.monotonic() - begin


def fio(target, *words):
    out = run("fio", "--name=bench", f"--filename={target}", "--output-format=json", "--thread", "--group_reporting",
              "--randrepeat=0", "--refill_buffers", *words)
    job = json.loads(out[out.index("{"):])["jobs"][0]
    if job["error"]:
        sys.exit(f"fio failed on {target}: error {job['error']}")
    return job


class StrictS3:
    """The strict S3 server of the tests: objects in memory, every request judged, answers after a latency."""

    def __init__(self, build, *words, ca_file=None):
        self.program = [os.path.join(build, "tests/s3/strict_s3"), "anonymous_read=1", "etag=opaque", "page_keys=1000",
                        "idle_s=600", *words]
        self.environment = {}
        self.trust = None
        if ca_file:
            self.program += ["tls=good", f"ca_file={ca_file}"]
            self.environment["AWS_CA_BUNDLE"] = ca_file

    def __enter__(self):
        self.process = subprocess.Popen(self.program, stdout=subprocess.PIPE, text=True, start_new_session=True)
        while "STRICT_S3_PID" not in self.environment:
            name, _, value = self.process.stdout.readline().strip().partition("=")
            if not name:
                sys.exit("the S3 server does not start")
            self.environment[name] = value
        os.environ.update(self.environment)
        self.endpoint = self.environment["AWS_ENDPOINT_URL"]
        self.bucket = self.environment["S3_BUCKET"]
        if "AWS_CA_BUNDLE" in self.environment:
            self.trust = ssl.create_default_context(cafile=self.environment["AWS_CA_BUNDLE"])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def control(self, query):
        return urllib.request.urlopen(f"{self.endpoint}/~control?{query}", context=self.trust).read().decode()

    def set_latency(self, ms):
        self.control(f"latency_us={ms * 1000}")

    def counters(self):
        """How many requests of each operation it has seen."""
        lines = [line.partition("=") for line in self.control("").split()]
        return {name: int(value) for name, _, value in lines if value.isdigit()}

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)


class Ceph:
    """Ceph's gateway with one OSD in memory (scripts/s3-server). What it was asked is not known."""

    def __init__(self, scratch):
        self.directory = os.path.join(scratch, "ceph")
        self.program = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts/s3-server")

    @staticmethod
    def installed():
        return shutil.which("radosgw") is not None

    def __enter__(self):
        out = run(self.program, "start", "--dir", self.directory, "--ttl", "7200")
        self.environment = dict(line.split("=", 1) for line in out.split())
        os.environ.update(self.environment)
        self.endpoint, self.bucket = self.environment["AWS_ENDPOINT_URL"], self.environment["S3_BUCKET"]
        return self

    def __exit__(self, *_):
        run(self.program, "stop", "--dir", self.directory, "--wipe")

    def cpu_seconds(self):
        used = 0
        for name in os.listdir(self.directory):
            if name.endswith(".pid"):
                with open(os.path.join(self.directory, name), encoding="ascii") as file, contextlib.suppress(FileNotFoundError, ValueError):
                    used += cpu_seconds(int(file.read()))
        return used

    def counters(self):
        return {}


class Disk:
    """A daemon that shows a file `disk` below its mountpoint; as a context, with the loop device on it. One of others may be
    a mount in which that file is yet to be made."""

    def __init__(self, name, mountpoint, command, on_loop=True, environment=None, ready=os.path.exists):
        os.makedirs(mountpoint, exist_ok=True)
        self.name, self.mountpoint, self.device, self.on_loop = name, mountpoint, None, on_loop
        self.file = os.path.join(mountpoint, "disk")
        self.log = open(mountpoint + ".log", "w+", encoding="utf-8")
        self.is_ready = ready
        warm_memory(1 << 30)
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment,
                                        start_new_session=True)  # Ctrl-C is for us

    def __enter__(self):
        try:
            give_up = time.monotonic() + 60
            while not self.is_ready(self.file):
                if self.process.poll() is not None or time.monotonic() > give_up:
                    self.log.seek(0)
                    sys.exit(f"{self.name} does not start: {self.log.read()}")
                time.sleep(0.002)
            self.ready = time.monotonic()
            if self.on_loop:
                self.device = run("losetup", "--find", "--show", *LOOP, self.file).strip()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.device:
            subprocess.run(["losetup", "-d", self.device], check=False)
        for _ in range(100):  # a loop device lets go of its file a moment later
            if not os.path.ismount(self.mountpoint):
                break
            if subprocess.run(["umount", self.mountpoint], stderr=subprocess.DEVNULL, check=False).returncode == 0:
                break
            time.sleep(0.05)
        else:
            subprocess.run(["umount", "-l", self.mountpoint], check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(120)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def forget_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as refs:
            refs.write("5")

    def peak_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1]) << 10

    def stats(self):
        with open(os.path.join(self.mountpoint, "stats.json"), encoding="utf-8") as file:
            return json.load(file)


def memory_disk(options, scratch, size, *words):
    """A file in memory behind our FUSE layer, which does no work."""
    place = os.path.join(scratch, "memory.mnt")
    return Disk("fuse_memory_disk", place, [os.path.join(options.build, "tests/support/fuse_memory_disk"), str(size), place, *words])


class Product:
    """The program under measurement: its volumes and mounts."""

    def __init__(self, options, scratch):
        self.options, self.scratch = options, scratch
        self.program = os.path.join(options.build, "s3crate-blk")
        self.key = os.path.join(scratch, "key")
        run(self.program, "key", "new", self.key)

    def format(self, url, size):
        run(self.program, "format", url, "--size", str(size), "--key-file", self.key, *self.options.format)

    def mount(self, url, *words, on_loop=True):
        return Disk("s3crate-blk", os.path.join(self.scratch, "product.mnt"),
                    [self.program, "mount", "-f", url, os.path.join(self.scratch, "product.mnt"), "--key-file", self.key, "--state-dir",
                     os.path.join(self.scratch, "state"), "--journal-size", "2G", "--log-level", "warning", *words, *self.options.mount],
                    on_loop)

    def sync(self, disk):
        run(self.program, "sync", disk.mountpoint, "--progress", "off")


class Lines:
    """Figures by the name of their line. A goal is a word for the reader: what the line is to reach."""

    def __init__(self, options):
        self.options, self.lines = options, {}

    def wanted(self, *names):
        return any(re.search(self.options.only, name) for name in names)

    def note(self, name, unit, value, goal="", **facts):
        line = self.lines.setdefault(name, {"unit": unit, "goal": goal, "runs": [], "limits": {}, "facts": {}, "load": []})
        line["runs"].append(value)
        line["load"].append(os.getloadavg()[0])
        for fact, one in facts.items():
            line["facts"].setdefault(fact, []).append(one)
        return value

    def measure(self, name, unit, disk, what, goal="", **facts):
        """Notes what what() answers, and what the daemon used meanwhile."""
        disk.forget_peak()
        before = disk.cpu_seconds()
        value = what()
        return self.note(name, unit, value, goal, cpu_s=disk.cpu_seconds() - before, rss_mib=disk.peak_bytes() / MIB, **facts)

    def limit(self, name, limit, value):
        self.lines[name]["limits"].setdefault(limit, []).append(value)

    def report(self):
        out = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "kernel": os.uname().release, "cpus": os.cpu_count(),
               "size": self.options.size, "runs": self.options.n, "seconds": self.options.seconds, "lines": []}
        for name, line in self.lines.items():
            median = statistics.median(line["runs"])
            one = {"name": name, "unit": line["unit"], "goal": line["goal"], "median": median, "runs": line["runs"], "limits": [],
                   "load": line["load"]}
            for fact, runs in line["facts"].items():
                one[fact] = max(runs) if fact == "rss_mib" else statistics.median(runs)
            for limit, runs in line["limits"].items():
                pairs = [figure / bare for figure, bare in zip(line["runs"], runs)]
                one["limits"].append({"name": limit, "median": statistics.median(runs), "runs": runs, "ratio": statistics.median(pairs)})
            out["lines"].append(one)
        return out


def number(value):
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.0f}"


FACTS = {"cpu_s": "CPU s", "cpu_s_gib": "CPU s/GiB", "rss_mib": "MiB resident"}


def print_table(facts):
    print(f"{facts['size'] >> 20} MiB, medians of {facts['runs']}, {facts['cpus']} CPUs, kernel {facts['kernel']}, {facts['time']}")
    print(f"{'':30} {'figure':>14}  {'limit':24} {'ratio':>6}  {'load':>4}  goal; used")
    for line in facts["lines"]:
        limits = [(limit["name"] + " " + number(limit["median"]), f"{limit['ratio']:.2f}") for limit in line["limits"]] or [("", "")]
        rest = [f"{number(line[fact])} {FACTS.get(fact, fact.replace('_', ' '))}" for fact in line
                if fact not in ("name", "unit", "goal", "median", "runs", "limits", "load")]
        notes = "; ".join(([line["goal"]] if line["goal"] else []) + ([", ".join(rest)] if rest else []))
        for i, (limit, ratio) in enumerate(limits):
            if i == 0:
                print(f"{line['name']:30} {number(line['median']) + ' ' + line['unit']:>14}  {limit:24} {ratio:>6}"
                      f"  {max(line['load']):>4.1f}  {notes}")
            else:
                print(f"{'':46} {limit:24} {ratio:>6}")
