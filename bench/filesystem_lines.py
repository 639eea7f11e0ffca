# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads on a filesystem on the disk, beside the same filesystem on a local loop file; seconds, everything durable at the end.

    untar          a source tree (--tree; the one that this script belongs to, several times over), then sync
    git clone      of a local repository with its history, then sync
    small files    2,000 files of 4 KiB, created and fsynced one after the other
    sqlite         2,000 transactions (10,000 with --long), each synced
    pgbench        PostgreSQL, 4 clients, --seconds; transactions a second
    cp             SIZE bytes that do not shrink, then sync
    fstrim         of all that, deleted

Stores: a directory beside the local file ("btrfs, directory: ..."), S3 at 30 ms ("btrfs, S3: ..."), and Ceph if it is installed. Filesystems: btrfs, ext4.
"""
import contextlib
import os
import shutil
import sqlite3
import time

from harness import LOOP, MIB, Ceph, StrictS3, run, tar_of, warm_memory

MKFS = {"btrfs": ["mkfs.btrfs", "-q", "-f"], "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]}
DISK = 16 << 30
LATENCY_MS = 30


def small_files(place):
    os.mkdir(f"{place}/small")
    for i in range(2000):
        fd = os.open(f"{place}/small/{i}", os.O_WRONLY | os.O_CREAT)
        os.write(fd, os.urandom(4096))
        os.fsync(fd)
        os.close(fd)


def transactions(place, count):
    with contextlib.closing(sqlite3.connect(f"{place}/db", isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE t (i INTEGER PRIMARY KEY, v BLOB)")
        for i in range(count):
            db.execute("INSERT INTO t VALUES (?, ?)", (i, os.urandom(100)))


class Postgres:
    """A cluster below a directory, run by the user postgres."""

    def __init__(self, place):
        self.directory = os.path.join(place, "pg")
        versions = sorted(os.listdir("/usr/lib/postgresql")) if os.path.isdir("/usr/lib/postgresql") else []
        self.bin = f"/usr/lib/postgresql/{versions[-1]}/bin" if versions else None

    def run(self, *words):
        run("runuser", "-u", "postgres", "--", os.path.join(self.bin, words[0]), *words[1:], cwd="/")

    def tps(self, seconds):
        os.mkdir(self.directory)
        shutil.chown(self.directory, "postgres")
        self.run("initdb", "-D", self.directory, "-A", "trust")
        sockets = f"-k {self.directory} -c listen_addresses=''"
        self.run("pg_ctl", "-D", self.directory, "-o", sockets, "-l", f"{self.directory}/log", "-w", "start")
        try:
            self.run("pgbench", "-h", self.directory, "-i", "-q", "-s", "2", "postgres")
            out = run("runuser", "-u", "postgres", "--", os.path.join(self.bin, "pgbench"), "-h", self.directory, "-c", "4", "-j", "2", "-T",
                      str(seconds), "postgres", cwd="/")
        finally:
            self.run("pg_ctl", "-D", self.directory, "-m", "fast", "-w", "stop")
        return float(next(line for line in out.splitlines() if line.startswith("tps")).split()[2])


class FilesystemLines:
    def __init__(self, options, scratch, product, lines, data):
        self.options, self.scratch, self.product, self.lines, self.data = options, scratch, product, lines, data
        self.place = os.path.join(scratch, "fs.mnt")
        os.mkdir(self.place)
        self.tar = os.path.join(scratch, "tree.tar")
        self.repository = os.path.join(scratch, "repository")

    def prepare(self):
        with open(self.tar, "wb") as out:
            out.write(tar_of(self.options.tree))
        git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        run("git", "init", "-q", self.repository)
        for i in range(5):
            place = f"{self.repository}/{i}"
            os.mkdir(place)
            run("tar", "-C", place, "-xf", self.tar)
            run(*git, "-C", self.repository, "add", "-A", "-f")
            run(*git, "-C", self.repository, "commit", "-q", "-m", f"{i}")

    def loads(self):
        def untar(place):
            for i in range(5):
                os.mkdir(f"{place}/tree{i}")
                run("tar", "-C", f"{place}/tree{i}", "-xf", self.tar)
            run("sync", "--file-system", place)

        def clone(place):
            run("git", "clone", "-q", "--no-hardlinks", self.repository, f"{place}/clone")
            run("sync", "--file-system", place)

        def cp(place):
            run("cp", "--reflink=never", self.data, f"{place}/data")
            run("sync", "--file-system", place)

        def trim(place):
            for name in os.listdir(place):
                if name not in ("lost+found",):
                    run("rm", "-rf", f"{place}/{name}")
            run("sync", "--file-system", place)
            run("fstrim", place)

        return {"untar": untar, "git clone": clone, "small files": small_files,
                "sqlite": lambda place: transactions(place, 10000 if self.options.long else 2000), "cp": cp, "pgbench": None, "fstrim": trim}

    @contextlib.contextmanager
    def filesystem(self, kind, device):
        run(*MKFS[kind], device)
        run("mount", "-o", "noatime", device, self.place)
        try:
            yield
        finally:
            run("umount", self.place)

    def each(self, kind, device, wanted, note):
        warm_memory(4 * self.options.size)
        with self.filesystem(kind, device):
            for name, load in self.loads().items():
                if name not in wanted and name != "fstrim":
                    continue
                if name == "pgbench":
                    value = Postgres(self.place).tps(self.options.seconds)
                else:
                    begin = time.monotonic()
                    load(self.place)
                    value = time.monotonic() - begin
                if name in wanted:
                    note(name, value)

    def local(self, kind, wanted):
        path = os.path.join(self.scratch, "local")
        with open(path, "wb") as file:
            file.truncate(DISK)
        device = run("losetup", "--find", "--show", *LOOP, path).strip()
        values = {}
        try:
            self.each(kind, device, wanted, values.__setitem__)
        finally:
            run("losetup", "-d", device)
            os.unlink(path)
        return values

    def one(self, store, url, kind):
        has_postgres = Postgres("").bin is not None
        wanted = {name: f"{kind}, {store}: {name}" for name in self.loads() if name != "pgbench" or has_postgres}
        wanted = {name: line for name, line in wanted.items() if self.lines.wanted(line)}
        if not wanted:
            return
        self.product.format(url, DISK)
        with self.product.mount(url) as disk:
            state = {"cpu": disk.cpu_seconds()}

            def note(name, value):
                cpu = disk.cpu_seconds()
                unit, goal = ("/s", "0.67") if name == "pgbench" else ("s", "at most 1.5")
                self.lines.note(wanted[name], unit, value, goal, cpu_s=cpu - state["cpu"], rss_mib=disk.peak_bytes() / MIB)
                state["cpu"] = cpu

            self.each(kind, disk.device, wanted, note)
        for name, value in self.local(kind, wanted).items():
            self.lines.limit(wanted[name], "local loop", value)

    def all(self):
        if not self.lines.wanted(*(f"{kind}, {store}: {name}" for kind in MKFS for store in ("directory", "S3", "Ceph") for name in self.loads())):
            return
        self.prepare()
        for i in range(self.options.n):
            for kind in MKFS:
                directory = os.path.join(self.scratch, f"{kind}{i}")
                os.mkdir(directory)
                self.one("directory", f"file://{directory}", kind)
                shutil.rmtree(directory)
                with StrictS3(self.options.build) as server:
                    server.set_latency(LATENCY_MS)
                    self.one("S3", f"s3://{server.bucket}/fs", kind)
                if Ceph.installed():
                    with Ceph(self.scratch) as server:
                        self.one("Ceph", f"s3://{server.bucket}/fs", kind)
