# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs that show what is in S3 as files, as Debian has them: s3backer, s3fs and rclone, each as it does best.

What is written is stored when the server has so many bytes of it: none of them says when that is (s3backer 1 does nothing on
fsync unless it writes synchronously, rclone writes a file after it has been closed). Mounted again, they have nothing cached.
"""
import os
import shutil
import time

from harness import Disk, copy, fio


class Peer:
    """One of them, with a server of its own; `disk` is the file that it shows."""

    fsyncs = False  # whether an fsync does not send the whole file

    def __init__(self, options, scratch, server):
        self.options, self.server = options, server
        self.place, self.cache = os.path.join(scratch, self.name + ".mnt"), os.path.join(scratch, self.name + ".cache")
        self.credentials = os.path.join(scratch, "credentials")
        with open(self.credentials, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(f"{os.environ['AWS_ACCESS_KEY_ID']}:{os.environ['AWS_SECRET_ACCESS_KEY']}\n")

    @classmethod
    def installed(cls):
        return shutil.which(cls.name) is not None

    def environment(self):
        return {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}

    def mount(self, synced=False):
        shutil.rmtree(self.cache, ignore_errors=True)
        os.mkdir(self.cache)
        return Disk(self.name, self.place, self.command(synced), on_loop=False, environment=self.environment(),
                    ready=lambda _: os.path.ismount(self.place))

    # ---- Figures -----------------------------------------------------------------------------------

    def received(self):
        return self.server.counters().get("bytes.in", 0)

    def until_stored(self, begin, before):
        give_up = time.monotonic() + 600
        while self.received() - before < self.options.size:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{self.name} has not sent what was written to it")
            time.sleep(0.05)
        return self.options.size / 1e6 / (time.monotonic() - begin)

    def write(self, data):
        with self.mount() as disk:
            before, begin = self.received(), time.monotonic()
            copy(data, disk.file, self.options.size, direct=False)
            return self.until_stored(begin, before)

    def cold_read(self):
        with self.mount() as disk:
            return fio(disk.file, "--rw=read", "--bs=1M", f"--size={self.options.size}")["read"]["bw_bytes"] / 1e6

    def cold_4k(self, depth):
        with self.mount() as disk:
            words = ["--rw=randread", "--bs=4k", "--ioengine=psync", f"--numjobs={depth}", f"--size={self.options.size}", "--time_based",
                     f"--runtime={self.options.seconds}"]
            return fio(disk.file, *words)["read"]["iops"]

    def fsynced(self, writers):
        with self.mount(synced=True) as disk:
            words = ["--rw=randwrite", "--bs=4k", "--fsync=1", "--ioengine=psync", f"--numjobs={writers}", f"--size={self.options.size}",
                     "--time_based", f"--runtime={self.options.seconds}"]
            return fio(disk.file, *words)["write"]["iops"]


class S3backer(Peer):
    """Blocks of 128 KiB, with which its best figures were had."""

    name, fsyncs = "s3backer", True

    def command(self, synced):
        how = ["--blockCacheSync", "--blockCacheWriteDelay=0", "--minWriteDelay=0"] if synced else ["--blockCacheThreads=20"]
        return ["s3backer", "-f", f"--accessFile={self.credentials}", "--authVersion=aws4", f"--baseURL={self.server.endpoint}/",
                f"--size={self.options.size}", "--blockSize=128k", "--filename=disk", "--force", "--readAhead=16", "--prefix=s3backer/", *how,
                self.server.bucket, self.place]


class S3fs(Peer):
    """A file is an object; the server has no uploads in parts."""

    name = "s3fs"

    def command(self, _):
        return ["s3fs", self.server.bucket, self.place, "-f", "-o", f"url={self.server.endpoint}", "-o", "use_path_request_style", "-o",
                f"passwd_file={self.credentials}", "-o", "sigv4", "-o", "nomultipart", "-o", "listobjectsv2", "-o",
                "parallel_count=16"]


class Rclone(Peer):
    """A file is an object; the server has no uploads in parts."""

    name = "rclone"

    def environment(self):
        return {**super().environment(), "RCLONE_CONFIG_S_TYPE": "s3", "RCLONE_CONFIG_S_PROVIDER": "Other", "RCLONE_CONFIG_S_ENV_AUTH": "true",
                "RCLONE_CONFIG_S_ENDPOINT": self.server.endpoint, "RCLONE_CONFIG_S_FORCE_PATH_STYLE": "true",
                "RCLONE_CONFIG_S_LIST_VERSION": "2"}

    def command(self, _):
        return ["rclone", "mount", f"s:{self.server.bucket}/rclone", self.place, "--config", "/dev/null", "--vfs-cache-mode", "writes",
                "--vfs-write-back", "0s", "--cache-dir", self.cache, "--s3-no-check-bucket", "--s3-upload-cutoff", "4G"]


PEERS = (S3backer, S3fs, Rclone)
