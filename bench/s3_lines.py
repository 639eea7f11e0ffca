# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a disk whose store is S3: the strict server of the tests, which answers each request some milliseconds later.

With --latency 0,30,100 each of them three times, "at 30 ms" and so on in its name; and "on Ceph", if that is installed. With --tls over
https, without peers, and "TLS" in its name:

    write               SIZE in 1 MiB writes, until the store has all of it   bare PUT
    cold read           1 MiB after the other, of the disk's file             bare GET
    cold read x4        by four readers, of a quarter each                    bare GET
    cold read, buffered through the page cache, as cp reads                   bare GET
    cold read, loop x8  of a loop device on it, 8 under way                   bare GET
    cold 4K x1 x16 x64  random, so many under way; the pages of the map are   depth / (latency + 1 ms)
                        in memory; GETs for each read
    cold 256K x1        the same of 256 KiB: how much is read ahead in vain
    4K store x1, x16    4 KiB written and fsynced to the store (--durability  1 / latency; of x16: 10 of x1, and a
                        store), by so many writers                            FUSE file whose fsync takes as long
    write 4K            an eighth of SIZE at random, until the store has it;
                        bytes sent for each that was written
    cold read, pieces   1 MiB after the other of what that has left;
    cold 256K, pieces   256 KiB at random
    first read          from the start of `mount` until a block of data is    10 round trips
                        there, in round trips
    trim 512M           fstrim of 512 MB of deleted data (ext4): PUTs and DELETEs until the store has it

"bare" is libcurl (bench/bare_s3), objects of 8 MiB, signed and summed like ours, on 8 and on 16 kept connections: the
better of the two. Peers that are installed (bench/peers.py) stand beside some lines with what they did: more than 1 is
better than they are. What machine and store allow together is `of CPU`: the share of the rate at which all processors would
be busy with the CPU seconds that daemon, server and load took.
"""
import contextlib
import os
import sys
import time

from harness import MIB, SEGMENT, Ceph, StrictS3, copy, cpu_of_ended, fio, memory_disk, run, warm_memory
from peers import PEERS

GIB = 1 << 30


class S3Lines:
    def __init__(self, options, scratch, product, lines, data):
        self.options, self.scratch, self.product, self.lines, self.data = options, scratch, product, lines, data
        self.bare_program = os.path.join(options.build, "bench/bare_s3")
        self.count = 0

    NAMES = ("write", "cold read", "cold read x4", "cold read, buffered", "cold read, loop x8", "cold 4K x1", "cold 4K x16", "cold 4K x64",
             "cold 256K x1", "first read", "write 4K", "cold read, pieces", "cold 256K, pieces", "4K store x1", "4K store x16", "trim 512M")

    def all(self):
        for ms in self.options.latency:
            if self.options.tls:
                self.runs(ms, f"at {ms} ms, TLS", lambda: StrictS3(self.options.build, ca_file=os.path.join(self.scratch, "ca.pem")), peers=False)
            else:
                self.runs(ms, f"at {ms} ms", lambda: StrictS3(self.options.build))
        if Ceph.installed():
            self.runs(0, "on Ceph", lambda: Ceph(self.scratch), peers=False)

    def runs(self, ms, where, make_server, peers=True):
        self.names = {name: f"{name} {where}" for name in self.NAMES}
        if not self.wanted(*self.NAMES):
            return
        self.ms = ms
        for _ in range(self.options.n):
            # A server for each run: what it holds is memory, as is what of the journal the kernel has not written yet.
            warm_memory(4 * self.options.size)
            with make_server() as self.server:
                self.count = 0
                if ms > 0:
                    self.server.set_latency(ms)
                self.one_run()
            if peers:
                self.peers()

    def wanted(self, *names):
        return self.lines.wanted(*(self.names[name] for name in names))

    def one_run(self):
        self.url = f"s3://{self.server.bucket}/v"
        self.product.format(self.url, self.options.size)
        self.write()
        self.cold_reads()
        self.cold_random()
        self.first_read()
        self.write_4k()
        self.cold_reads_in_pieces()
        self.store_mode()
        self.trim()

    def mount(self, *words, on_loop=False):
        return self.product.mount(self.url, "--cache-file-size", "0", *words, on_loop=on_loop)

    def bare(self, what):
        """GETs are of what PUTs have put."""
        if what == "get" and self.count == 0:
            self.bare("put")
        rates = []
        for connections in (8, 16):
            if what == "put":
                self.count += 1
            keys = [f"bare{self.count}/{i}" for i in range(self.options.size // SEGMENT)] if what == "get" else ()
            out = run(self.bare_program, what, str(connections), f"bare{self.count}", str(self.options.size), input="\n".join(keys))
            rates.append(self.options.size / float(out) / 1e6)
        return max(rates)

    def measure(self, name, unit, disk, size, what, goal=""):
        """With the CPU seconds of all who took part."""
        rest, daemon = self.server.cpu_seconds() + cpu_of_ended(), disk.cpu_seconds()
        rate = self.lines.measure(self.names[name], unit, disk, what, goal)
        rest, daemon = self.server.cpu_seconds() + cpu_of_ended() - rest, disk.cpu_seconds() - daemon
        self.fact(name, "cpu_s_gib", daemon / (size / GIB))
        self.fact(name, "of_CPU", rate / (os.cpu_count() * size / 1e6 / (rest + daemon)))

    def fact(self, name, fact, value):
        self.lines.lines[self.names[name]]["facts"].setdefault(fact, []).append(value)

    def limit(self, name, limit, value):
        self.lines.limit(self.names[name], limit, value)

    def write(self):
        size = self.options.size
        with self.mount() as disk:

            def until_stored():
                begin = time.monotonic()
                copy(self.data, disk.file, size)
                self.product.sync(disk)
                return size / 1e6 / (time.monotonic() - begin)

            if not self.wanted("write"):
                until_stored()  # others read it
                return
            before = self.server.counters()
            self.measure("write", "MB/s", disk, size, until_stored, "0.85 of bare PUT or of CPU")
            after = self.server.counters()
            if after:
                self.fact("write", "PUTs_a_GiB", (after["PutObject"] - before.get("PutObject", 0)) / (size / GIB))
                self.fact("write", "bytes_sent_a_byte", (after["bytes.in"] - before.get("bytes.in", 0)) / size)
        self.limit("write", "bare PUT", self.bare("put"))

    def write_4k(self):
        if not self.wanted("write 4K", "cold read, pieces", "cold 256K, pieces"):
            return
        size = self.options.size // 8
        with self.mount(on_loop=True) as disk:

            def until_stored():
                begin = time.monotonic()
                fio(disk.device, "--rw=randwrite", "--bs=4k", "--direct=1", "--ioengine=libaio", "--iodepth=16", f"--size={self.options.size}",
                    f"--io_size={size}")
                self.product.sync(disk)
                return size / 1e6 / (time.monotonic() - begin)

            if not self.wanted("write 4K"):
                until_stored()  # read next
                return
            before = self.server.counters()
            self.measure("write 4K", "MB/s", disk, size, until_stored)
            after = self.server.counters()
        if after:
            self.fact("write 4K", "bytes_sent_a_byte", (after["bytes.in"] - before["bytes.in"]) / size)
            self.fact("write 4K", "PUTs_a_GiB", (after["PutObject"] - before["PutObject"]) / (size / GIB))

    def peers(self):
        """Each on a server of its own, which takes unsigned payloads."""
        for kind in PEERS:
            figures = {"write": None, "cold read": lambda peer: peer.cold_read(),
                       "cold 4K x1": lambda peer: peer.cold_4k(1), "cold 4K x16": lambda peer: peer.cold_4k(16),
                       "cold 4K x64": lambda peer: peer.cold_4k(64),
                       **({"4K store x1": lambda peer: peer.fsynced(1), "4K store x16": lambda peer: peer.fsynced(16)} if kind.fsyncs else {})}
            if self.options.no_peers or not kind.installed() or not self.wanted(*figures):
                continue
            with StrictS3(self.options.build, "etag=md5", "unsigned_payload=1", f"max_object={self.options.size}") as server:
                server.set_latency(self.ms)
                try:
                    self.beside(kind(self.options, self.scratch, server), figures)
                except (SystemExit, TimeoutError) as why:  # theirs, and no reason to lose what was measured
                    if isinstance(getattr(why, "code", None), int):  # a signal: ours
                        raise
                    print(f"{kind.name}: {why}", file=sys.stderr)

    def beside(self, peer, figures):
        written = peer.write(self.data)  # what the other figures read
        for name, figure in figures.items():
            if self.wanted(name):
                self.limit(name, peer.name, written if figure is None else figure(peer))

    DIRECT = ("--rw=read", "--bs=1M", "--direct=1")

    def cold_reads(self):
        size = self.options.size
        cases = {
            "cold read": (False, "0.80 of bare GET", [*self.DIRECT, f"--size={size}"]),
            "cold read x4": (False, "0.80 of bare GET", [*self.DIRECT, "--numjobs=4", f"--size={size // 4}", f"--offset_increment={size // 4}"]),
            "cold read, buffered": (False, "", ["--rw=read", "--bs=128K", f"--size={size}", "--invalidate=0"]),
            "cold read, loop x8": (True, "", [*self.DIRECT, f"--size={size}", "--ioengine=libaio", "--iodepth=8"]),
        }
        if not self.wanted(*cases):
            return
        bare = self.bare("get")
        for name, (on_loop, goal, words) in cases.items():
            self.cold_read(name, on_loop, goal, words, bare)

    def cold_reads_in_pieces(self):
        if self.wanted("cold read, pieces"):
            self.cold_read("cold read, pieces", False, "", [*self.DIRECT, f"--size={self.options.size}"])
        self.cold_random([("cold 256K, pieces", 1, "256k")])

    def cold_read(self, name, on_loop, goal, words, bare=None):
        if not self.wanted(name):
            return
        size = self.options.size
        with self.mount("--read-only", on_loop=on_loop) as disk:
            target, before = disk.device or disk.file, self.gets(disk)
            self.measure(name, "MB/s", disk, size, lambda: fio(target, *words)["read"]["bw_bytes"] / 1e6, goal)
            self.note_waste(name, disk, size)
            self.fact(name, "GETs_a_MiB", (self.gets(disk) - before) / (size / MIB))
        if bare:
            self.limit(name, "bare GET", bare)

    def note_waste(self, name, disk, read):
        ahead = disk.stats()["read_ahead"]
        waste = 100 * (ahead["wasted_bytes"] + ahead["unused_bytes"]) / max(1, read)
        self.fact(name, "percent_read_in_vain", waste)

    def gets(self, disk):
        return disk.stats()["store"]["requests"]["get_range"]["count"]

    RANDOM = (("cold 4K x1", 1, "4k"), ("cold 4K x16", 16, "4k"), ("cold 4K x64", 64, "4k"), ("cold 256K x1", 1, "256k"))

    def cold_random(self, cases=RANDOM):
        for name, depth, block in cases:
            if not self.wanted(name):
                continue
            with self.mount("--read-only", "--block-cache-size", "1M", on_loop=True) as disk:
                os.stat(disk.file)  # counts what is data in it, and so has every page of the map
                before = self.gets(disk)
                words = ["--rw=randread", f"--bs={block}", "--direct=1", "--ioengine=libaio", f"--iodepth={depth}",
                         f"--size={self.options.size}", "--time_based", f"--runtime={self.options.seconds}"]
                job = {}

                def reads(disk=disk, words=words, job=job):
                    job.update(fio(disk.device, *words)["read"])
                    return job["iops"]

                self.lines.measure(self.names[name], "/s", disk, reads, "0.90 of limit" if block == "4k" else "")
                self.fact(name, "GETs_a_read", (self.gets(disk) - before) / max(1, job["total_ios"]))
                self.note_waste(name, disk, job["io_bytes"])
            if self.ms > 0 and block == "4k":
                self.limit(name, "depth/(RTT+1)", depth / ((self.ms + 1) / 1000))

    def store_mode(self):
        rates = {}
        for writers in (1, 16):
            name = f"4K store x{writers}"
            if not self.wanted(name):
                continue
            with self.mount("--durability", "store", on_loop=True) as disk:
                words = ["--rw=randwrite", "--bs=4k", "--direct=1", "--fsync=1", "--ioengine=psync", f"--numjobs={writers}",
                         f"--size={self.options.size}", "--time_based", f"--runtime={self.options.seconds}"]
                before = self.server.counters().get("PutObject", 0)

                def rate(device, words=words):
                    return fio(device, *words)["write"]["iops"]

                rates[writers] = self.lines.measure(self.names[name], "/s", disk, lambda disk=disk: rate(disk.device),
                                                    "1 / 1.15 RTT" if writers == 1 else "10 times x1")
                puts = self.server.counters().get("PutObject", 0) - before
                if puts:
                    self.fact(name, "PUTs_a_write", puts / max(1, rates[writers] * self.options.seconds))
            if writers == 1 and self.ms > 0:
                self.limit(name, "1/RTT", 1000 / self.ms)
            if writers == 16 and 1 in rates:
                self.limit(name, "x1", rates[1])
                with memory_disk(self.options, self.scratch, self.options.size, "--flush-ms", str(round(1000 / rates[1]))) as disk:
                    self.limit(name, "FUSE", rate(disk.device))

    def first_read(self):
        if self.ms == 0 or not self.wanted("first read"):
            return
        with self.mount("--read-only") as disk:
            with open(disk.file, "rb", buffering=0) as file:
                file.read(4096)
            took = time.monotonic() - disk.started
        self.lines.note(self.names["first read"], "RTT", took * 1000 / self.ms, "under 10 RTT")

    def trim(self):
        if not self.wanted("trim 512M"):
            return
        url = f"s3://{self.server.bucket}/trim"
        self.product.format(url, 2 << 30)
        place = os.path.join(self.scratch, "trim.mnt")
        os.makedirs(place, exist_ok=True)
        with self.product.mount(url, "--cache-file-size", "0") as disk, contextlib.ExitStack() as stack:
            run("mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", disk.device)
            run("mount", disk.device, place)
            stack.callback(run, "umount", place)
            copy(self.data, os.path.join(place, "data"), min(512 * MIB, self.options.size))
            os.unlink(os.path.join(place, "data"))
            run("sync", "--file-system", place)
            self.product.sync(disk)
            before = self.server.counters()
            begin = time.monotonic()
            run("fstrim", place)
            seconds = time.monotonic() - begin
            self.product.sync(disk)
            after = self.server.counters()
        counted = {kind + "s": after.get(f"{kind.title()}Object", 0) - before.get(f"{kind.title()}Object", 0) for kind in ("PUT", "DELETE")}
        self.lines.note(self.names["trim 512M"], "s", seconds, "2 PUTs, no DELETE", **(counted if after else {}))
