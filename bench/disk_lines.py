# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a disk whose store is a directory, through a loop device: what the machine itself allows.

    write, fsync            SIZE in 1 MiB writes, then fsync     raw copy: a new file of as many bytes on
    write, store            the same until the store has it      the store's filesystem, with fsync; FUSE
    4K write+fsync x1, x16  random writes, each then fsynced     raw pwrite+fdatasync on the state's filesystem;
                            (16 writers)                         journal: FUSE with a journal of plain writes
    cached read 1M, 4K      of what is in the block cache;       FUSE
                            4K: random, 16 at a time
    cold read 1M, 4K        after a new mount, the store's       raw reads of a file that is not in the
                            files dropped from the page cache    page cache
    discard 16T             blkdiscard of an empty disk of 16 TiB, in seconds, and how many objects that sends
    mkfs.btrfs 16T          on one, with its discard

"FUSE" is a file in memory behind the same FUSE layer (tests/support/fuse_memory_disk), on a loop device as well.
"""
import os
import time

from harness import MIB, copy, drop_from_cache, fio, memory_disk, run, settle

CACHED = 128 * MIB  # half of the default block cache
JOURNAL = 1 << 30   # of fuse_memory_disk


class DiskLines:
    def __init__(self, options, scratch, product, lines, data):
        self.options, self.scratch, self.product, self.lines, self.data = options, scratch, product, lines, data
        self.raw, self.journal = os.path.join(scratch, "raw"), os.path.join(scratch, "journal")
        self.stores, self.round = {}, 0

    def store(self, name, size):
        if name not in self.stores:
            self.stores[name] = f"file://{self.scratch}/{name}"
            os.mkdir(os.path.join(self.scratch, name))
            self.product.format(self.stores[name], size)
        return self.stores[name]

    def empty(self):
        """One a round: a filesystem that is made on it stays."""
        return self.store(f"empty{self.round}", 16 << 40)

    def memory(self, size, journal=False):
        return memory_disk(self.options, self.scratch, size, *(["--journal", self.journal] if journal else []))

    def for_a_while(self, target, span, *words):
        return fio(target, f"--size={span}", "--time_based", f"--runtime={self.options.seconds}", *words)

    def fsyncs(self, target, writers, direct=1):
        settle(self.scratch)
        job = self.for_a_while(target, self.options.size, "--rw=randwrite", "--bs=4k", "--fsync=1", "--ioengine=psync",
                               f"--direct={direct}", f"--numjobs={writers}", *([] if direct else ["--fdatasync=1", "--fsync=0"]))
        return job["write"]["iops"]

    def read_1m(self, target, span, depth, loops=True):
        words = ["--rw=read", "--bs=1M", "--direct=1", "--ioengine=libaio", f"--iodepth={depth}"]
        job = self.for_a_while(target, span, *words) if loops else fio(target, f"--size={span}", *words)
        return job["read"]["bw_bytes"] / 1e6

    def read_4k(self, target, span):
        job = self.for_a_while(target, span, "--rw=randread", "--bs=4k", "--direct=1", "--ioengine=libaio", "--iodepth=16")
        return job["read"]["iops"]

    def raw_copy(self):
        # Not over the old one: the filesystem would be busy giving its blocks back.
        if os.path.exists(self.raw):
            os.unlink(self.raw)
        settle(self.scratch)
        begin = time.monotonic()
        run("dd", f"if={self.data}", f"of={self.raw}", "bs=1M", "conv=fsync", "status=none")
        return time.monotonic() - begin

    def writes(self, store):
        names = ("write, fsync", "write, store")
        if not self.lines.wanted(*names):
            return
        size = self.options.size
        with self.product.mount(store) as disk:
            settle(self.scratch)
            took = size / 1e6 / self.lines.measure(names[0], "MB/s", disk, lambda: size / copy(self.data, disk.device, size) / 1e6)

            def until_stored():
                begin = time.monotonic()
                self.product.sync(disk)
                return size / 1e6 / (took + time.monotonic() - begin)

            self.lines.measure(names[1], "MB/s", disk, until_stored)
        raw = size / self.raw_copy() / 1e6
        with self.memory(size) as disk:
            fuse = size / copy(self.data, disk.device, size) / 1e6
        for name in names:
            self.lines.limit(name, "raw copy", raw)
            self.lines.limit(name, "FUSE", fuse)

    def small_writes(self, store):
        wanted = [(name, n) for name, n in (("4K write+fsync x1", 1), ("4K write+fsync x16", 16)) if self.lines.wanted(name)]
        if not wanted:
            return
        with self.product.mount(store) as disk:
            for name, writers in wanted:
                self.lines.measure(name, "/s", disk, lambda n=writers: self.fsyncs(disk.device, n), "0.80 of journal")
                self.product.sync(disk)
        for name, writers in wanted:
            self.lines.limit(name, "raw", self.fsyncs(self.raw, writers, direct=0))
        # The journal's blocks are written beforehand: no fdatasync of the limit is to wait for the filesystem's.
        if not os.path.exists(self.journal):
            fio(self.journal, "--rw=write", "--bs=1M", f"--size={JOURNAL}", "--end_fsync=1")
        with self.memory(self.options.size, journal=True) as disk:
            for name, writers in wanted:
                self.lines.limit(name, "journal", self.fsyncs(disk.device, writers))

    def cached_reads(self, store):
        wanted = [(name, unit, read) for name, unit, read in
                  (("cached read 1M", "MB/s", lambda device: self.read_1m(device, CACHED, 1)),
                   ("cached read 1M x4", "MB/s", lambda device: self.read_1m(device, CACHED, 4)),
                   ("cached read 4K x16", "/s", lambda device: self.read_4k(device, CACHED))) if self.lines.wanted(name)]
        if not wanted:
            return
        with self.product.mount(store) as disk:
            self.read_1m(disk.device, CACHED, 4, loops=False)
            for name, unit, read in wanted:
                self.lines.measure(name, unit, disk, lambda: read(disk.device), "0.60 of FUSE")
        with self.memory(CACHED) as disk:
            copy(self.data, disk.device, CACHED)
            for name, _, read in wanted:
                self.lines.limit(name, "FUSE", read(disk.device))

    def cold_reads(self, store):
        size = self.options.size
        for name, unit, read in (("cold read 1M x4", "MB/s", lambda target: self.read_1m(target, size, 4, loops=False)),
                                 ("cold read 4K x16", "/s", lambda target: self.read_4k(target, size))):
            if not self.lines.wanted(name):
                continue
            drop_from_cache(self.scratch)
            with self.product.mount(store) as disk:
                self.lines.measure(name, unit, disk, lambda: read(disk.device))
            drop_from_cache(self.scratch)
            self.lines.limit(name, "raw", read(self.raw))

    def discard(self):
        name = "discard 16T"
        if not self.lines.wanted(name):
            return
        store = self.empty()

        def objects():
            return sum(len(names) for _, _, names in os.walk(store.removeprefix("file://")))

        def seconds():
            begin = time.monotonic()
            run("blkdiscard", disk.device)
            return time.monotonic() - begin

        with self.product.mount(store) as disk:
            before = objects()
            self.lines.measure(name, "s", disk, seconds, "under 2 s")
            self.product.sync(disk)
            self.lines.note(name + ", objects", "", objects() - before, "0")

    def make_filesystem(self):
        name = "mkfs.btrfs 16T"
        if not self.lines.wanted(name):
            return

        def seconds():
            begin = time.monotonic()
            run("mkfs.btrfs", "-q", "-f", disk.device)
            return time.monotonic() - begin

        with self.product.mount(self.empty()) as disk:
            self.lines.measure(name, "s", disk, seconds, "under 2 s")

    def all(self):
        store = self.store("store", self.options.size)
        self.raw_copy()
        with self.product.mount(store) as disk:  # what some lines read
            copy(self.data, disk.device, self.options.size)
        for self.round in range(self.options.n):
            self.writes(store)
            self.small_writes(store)
            self.cached_reads(store)
            self.cold_reads(store)
            self.discard()
            self.make_filesystem()
