// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/option_table.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace s3crate::cli {
namespace {

using enum Command;
using enum OptionType;

constexpr std::array kCommands = {
    CommandSpec{kFormat, "format", "URL", 1, 1, "Make a new volume; refuses where one is",
                "format file:///srv/disk --size 100G --key-file /root/disk.key"},
    CommandSpec{kMount, "mount", "URL[@POINT] MOUNTPOINT", 2, 2,
                "Show a volume as the file MOUNTPOINT/disk, read-only if as of POINT; returns once it can be used",
                "mount file:///srv/disk /mnt/crate --key-file /root/disk.key"},
    CommandSpec{kUmount, "umount", "MOUNTPOINT", 1, 1,
                "Unmount, and wait until the store has everything", "umount /mnt/crate"},
    CommandSpec{kAttach, "attach", "URL[@POINT] DIR", 2, 2,
                "Mount a volume, and the filesystem on it on DIR; without a filesystem, prints the loop device: ATTACHING",
                "attach file:///srv/disk /mnt/data --key-file /root/disk.key"},
    CommandSpec{kDetach, "detach", "DIR", 1, 1, "Undo attach, and wait until the store has everything", "detach /mnt/data"},
    CommandSpec{kRestore, "restore", "URL[@POINT] PATH...", 2, 4096,
                "Copy files of the filesystem on a volume, as it was at a point of the past, into the directory --to: RESTORING FILES",
                "restore file:///srv/disk@2026-11-20 home/user/thesis.odt --to /tmp --key-file /root/disk.key"},
    CommandSpec{kSync, "sync", "MOUNTPOINT|DIR", 1, 1,
                "Wait until the store has everything acknowledged so far; prints the generation", "sync /mnt/crate"},
    CommandSpec{kStatus, "status", "[MOUNTPOINT|DIR]", 0, 1,
                "Show the health of a mount, and what is guaranteed; without an argument, all mounts",
                "status /mnt/crate"},
    CommandSpec{kInfo, "info", "URL", 1, 1, "Show size, format, generations of a volume, and who has it open",
                "info file:///srv/disk --key-file /root/disk.key"},
    CommandSpec{kHistory, "history", "URL[@POINT]", 1, 1, "List the generations of a volume, newest first, or from POINT down",
                "history file:///srv/disk --limit 10 --key-file /root/disk.key"},
    CommandSpec{kTag, "tag", "URL[@POINT] NAME", 2, 2, "Give a generation a name, beside whoever has the volume mounted",
                "tag file:///srv/disk@42 before-upgrade --key-file /root/disk.key"},
    CommandSpec{kUntag, "untag", "URL NAME", 2, 2, "Take a name away; the generation stays",
                "untag file:///srv/disk before-upgrade --key-file /root/disk.key"},
    CommandSpec{kSnapshot, "snapshot", "MOUNTPOINT|DIR", 1, 1, "Store a generation of the disk as it is now, and give it a name",
                "snapshot /mnt/crate --tag nightly-2026-11-20 --freeze /mnt/data"},
    CommandSpec{kRollback, "rollback", "URL@POINT", 1, 1, "Make the disk what it was at a point of the past, by a new generation",
                "rollback file:///srv/disk@before-upgrade --key-file /root/disk.key"},
    CommandSpec{kFork, "fork", "URL[@POINT] NEWURL", 2, 2,
                "Make a writable volume out of a generation of another one, with keys of its own and without copying data: FORKING",
                "fork file:///srv/disk@before-upgrade file:///srv/trial --key-file /root/disk.key"},
    CommandSpec{kResize, "resize", "URL|MOUNTPOINT|DIR SIZE", 2, 2,
                "Give the disk another size; refuses to make it smaller than its data", "resize /mnt/crate 200G"},
    CommandSpec{kCheck, "check", "URL", 1, 1,
                "Prove that the store holds all that the volume needs, and say exactly what of the disk is damaged",
                "check file:///srv/disk --read-data --key-file /root/disk.key"},
    CommandSpec{kDiff, "diff", "URL[@POINT] URL[@POINT]", 2, 2, "Show which bytes of the disk have changed between two generations",
                "diff file:///srv/disk@41 file:///srv/disk@57 --key-file /root/disk.key"},
    CommandSpec{kExport, "export", "URL[@POINT] FILE", 2, 2,
                "Write a generation of the disk to a sparse file, a block device or, with -, to standard output",
                "export file:///srv/disk@41 /var/tmp/disk.img --key-file /root/disk.key"},
    CommandSpec{kCompare, "compare", "FILE URL[@POINT]", 2, 2, "Hold an image against a generation of the disk, byte by byte",
                "compare /var/tmp/disk.img file:///srv/disk@41 --key-file /root/disk.key"},
    CommandSpec{kImport, "import", "FILE URL", 2, 2, "Store an image or block device as the next generation; sends only what has changed",
                "import /var/tmp/disk.img file:///srv/disk --key-file /root/disk.key"},
    CommandSpec{kRepair, "repair", "URL[@POINT]", 1, 1,
                "Rebuild the map of the newest generation where pages of it are damaged or gone; deletes nothing: WHEN SOMETHING IS DAMAGED",
                "repair file:///srv/disk --key-file /root/disk.key"},
    CommandSpec{kJournalList, "journal list", "", 0, 0, "List the journals on this machine", "journal list"},
    CommandSpec{kJournalSave, "journal save", "URL NEWURL", 2, 2,
                "Make a fork of what the journal of a volume holds and the store lacks, after another writer has moved the volume on: FORKING",
                "journal save file:///srv/disk file:///srv/saved --key-file /root/disk.key"},
    CommandSpec{kJournalDiscard, "journal discard", "JOURNAL", 1, 1,
                "Delete a journal with all writes in it that the store lacks; asks twice",
                "journal discard 0123456789abcdef"},
    CommandSpec{kList, "list", "URL", 1, 1, "List the volumes in a directory or bucket, or below a prefix of it",
                "list s3://bucket --key-file /root/disk.key"},
    CommandSpec{kBucketCheck, "bucket check", "URL", 1, 1,
                "Find out whether a bucket is fit for a volume, and leave one small object there: CHECKING A BUCKET",
                "bucket check s3://bucket/disk"},
    CommandSpec{kBucketPolicy, "bucket policy", "URL", 1, 1,
                "Print the least that a role must be allowed in a bucket, as a policy of S3",
                "bucket policy s3://bucket/disk --role writer > policy.json"},
    CommandSpec{kKeyNew, "key new", "FILE", 1, 1, "Make a key file with a fresh random key", "key new /root/disk.key"},
};

constexpr std::uint32_t kMounting = bit(kMount) | bit(kAttach);
constexpr std::uint32_t kUnmounting = bit(kUmount) | bit(kDetach);
constexpr std::uint32_t kTransferring = bit(kDiff) | bit(kExport) | bit(kCompare);
constexpr std::uint32_t kReadingFiles = kMounting | bit(kRestore);
constexpr std::uint32_t kForking = bit(kFork) | bit(kJournalSave);
constexpr std::uint32_t kGuests = bit(kTag) | bit(kUntag) | kForking;
constexpr std::uint32_t kOpening = kReadingFiles | bit(kInfo) | bit(kHistory) | kGuests | bit(kRollback) | bit(kResize) | bit(kCheck) |
                                   bit(kImport) | bit(kRepair) | kTransferring;
constexpr std::uint32_t kReadingData = kOpening & ~(bit(kInfo) | bit(kHistory) | bit(kTag) | bit(kUntag));
constexpr std::uint32_t kUnlocking = kOpening | bit(kFormat) | bit(kList);
constexpr std::uint32_t kStore = kOpening | bit(kList) | bit(kBucketCheck) | bit(kFormat);
constexpr std::uint32_t kReading = kStore & ~(bit(kFormat) | kGuests | bit(kRollback) | bit(kResize) | bit(kImport) | bit(kRepair));
constexpr std::uint32_t kWriting = kMounting | bit(kRollback) | bit(kResize) | bit(kImport) | bit(kRepair);
constexpr std::uint32_t kStoring = bit(kFormat) | kGuests | kWriting;
constexpr std::uint32_t kFacts =
    bit(kFormat) | bit(kSync) | bit(kStatus) | bit(kInfo) | bit(kHistory) | kGuests | bit(kSnapshot) | bit(kRollback) | bit(kResize) |
    bit(kCheck) | bit(kImport) | bit(kRepair) | bit(kJournalList) | bit(kList) |
    bit(kBucketCheck) | bit(kBucketPolicy) | kTransferring | bit(kAttach) | bit(kRestore);
constexpr std::uint64_t kKi = 1024, kMi = kKi * 1024, kGi = kMi * 1024, kTi = kGi * 1024;
constexpr std::uint64_t kDayMs = 86'400'000;

constexpr std::array kOptions = {
    // Keys
    OptionSpec{"passphrase-file", 0, kText, "FILE", "", "", 0, 0,
               "Read the passphrase from the first line of FILE; - is standard input", kUnlocking, true},
    OptionSpec{"passphrase-command", 0, kText, "COMMAND", "", "", 0, 0,
               "Read the passphrase from what COMMAND prints", kUnlocking, true},
    OptionSpec{"key-file", 0, kText, "FILE", "", "", 0, 0, "Unlock with a key file, as key new makes it", kUnlocking, true},
    OptionSpec{"expect-volume", 0, kText, "FINGERPRINT", "", "", 0, 0,
               "Refuse any other volume than the one with this fingerprint", kOpening, true},

    // format
    OptionSpec{"size", 0, kSize, "SIZE", "", "", 4 * kKi, kTi * kKi * kKi, "The size of the disk; needed", bit(kFormat), false},
    OptionSpec{"block-size", 0, kSize, "SIZE", "4K", "", 0, kGi,
               "The unit in which data is kept: a power of two from 4K to 64K", bit(kFormat), false},
    OptionSpec{"segment-size", 0, kSize, "SIZE", "8M", "", 64 * kKi, 64 * kMi,
               "How much data one object of the store holds", bit(kFormat), false},
    OptionSpec{"extent-size", 0, kSize, "SIZE", "64K", "", 4 * kKi, 64 * kKi,
               "The most that is compressed, encrypted and read as one, a multiple of the block size; what import would send again is found with 64K only",
               bit(kFormat), false},
    OptionSpec{"single-writer", 0, kFlag, "", "", "", 0, 0,
               "For stores that cannot refuse to overwrite: you promise that one machine writes at a time",
               bit(kFormat) | kForking | bit(kRepair), false},

    // mount
    OptionSpec{"foreground", 'f', kFlag, "", "", "", 0, 0, "Stay in front, and log to standard error", bit(kMount), false},
    OptionSpec{"options", 'o', kWords, "NAME[=VALUE],...", "", "", 0, 0,
               "Mount options as in fstab: any option of mount by its name", kMounting, false},
    OptionSpec{"read-only", 0, kFlag, "", "", "", 0, 0, "Write nothing: no journal, no commit, and the disk refuses writes",
               kMounting, true},
    OptionSpec{"scratch-size", 0, kSize, "SIZE", "", "0; 256M of an attach with a filesystem, 128M on machines under 2G", 0, kTi,
               "Keep what is written to a read-only disk in memory, up to so much, and forget it in the end; 0: refuse it", kReadingFiles, true},
    OptionSpec{"follow", 0, kFlag, "", "", "", 0, 0, "In history/ of a read-only mount show what others commit, too", kMounting, true},
    OptionSpec{"follow-interval", 0, kTime, "TIME", "10s", "", 100, kDayMs,
               "How old what is shown there may be, with --follow, which it implies", kMounting, true},
    OptionSpec{"take-over", 0, kFlag, "", "", "", 0, 0,
               "Take a volume that is open elsewhere; what it had not sent there is lost", kWriting, false},
    OptionSpec{"accept-rollback", 0, kFlag, "", "", "", 0, 0,
               "Go on although the store shows an older state than this machine has seen, or damage hides whether it does", kWriting | kGuests, false},
    OptionSpec{"moved", 0, kFlag, "", "", "", 0, 0,
               "The volume was moved here, and its old place is gone for good", kWriting | kGuests, false},
    OptionSpec{"durability", 0, kChoice, "local|store", "local", "", 0, 0,
               "What fsync waits for: the journal on this machine, or the store", kMounting, true},
    OptionSpec{"state-dir", 0, kText, "DIR", "",
               "/var/lib/s3crate-blk for root, else $XDG_STATE_HOME/s3crate-blk", 0, 0,
               "Where journals and what this machine knows of volumes are kept",
               kWriting | kGuests | bit(kRestore) | bit(kCheck) | bit(kJournalList) | bit(kJournalDiscard), true},
    OptionSpec{"journal-size", 0, kSize, "SIZE", "", "10% of the free space, 1G to 32G", 32 * kMi, kTi,
               "How much the journal may hold that the store lacks", kMounting, true},
    OptionSpec{"dirty-max", 0, kSize, "SIZE", "", "64M, 32M on machines under 2G", kMi, kTi,
               "Memory for writes that are not yet in the journal", kMounting, true},
    OptionSpec{"upload-delay", 0, kTime, "TIME", "30s", "", 100, kDayMs,
               "How old unsent data may become before it is sent", kMounting, true},
    OptionSpec{"upload-threads", 0, kCount, "N", "", "4, and more where that is faster: up to 64M of objects, at most 32; 4 of an import", 1, 64,
               "How many objects are sent at a time", kMounting | bit(kImport), true},
    OptionSpec{"compression", 0, kCount, "LEVEL", "1", "", 0, 19,
               "The level of zstd for data that shrinks: higher ones need more processor time, 0 compresses nothing", kMounting | bit(kImport), true},
    OptionSpec{"block-cache-size", 0, kSize, "SIZE", "", "256M, 128M on machines under 2G", kMi, kTi,
               "Memory for data read lately", kReadingFiles, true},
    OptionSpec{"cache-file-size", 0, kSize, "SIZE", "", "10% of the free space, at most 20G; 0 if the volume is on the same disk", 0, kTi,
               "Room in the state directory for data read or written lately, encrypted as in the store", kReadingFiles, true},
    OptionSpec{"map-cache-size", 0, kSize, "SIZE", "", "64M, 32M on machines under 2G", kMi, kTi,
               "Memory for pages of the map", kReadingFiles, true},
    OptionSpec{"read-ahead", 0, kSize, "SIZE", "64M", "", 0, kGi,
               "The most that is read ahead for one reader, within half of the block cache; 0 for nothing", kReadingFiles, true},
    OptionSpec{"read-ahead-trigger", 0, kCount, "N", "2", "", 1, 1000,
               "How many reads in a row make a reader one that is read ahead for", kReadingFiles, true},
    OptionSpec{"read-ahead-threads", 0, kCount, "N", "32", "", 1, 64, "How many objects are read ahead at a time", kReadingFiles, true},
    OptionSpec{"outage-timeout", 0, kTime, "TIME", "10m", "", 1, 365 * kDayMs,
               "How long mount, and later each read, waits for a store that is away before it fails", kReadingFiles, true},
    OptionSpec{"drain-timeout", 0, kTime, "TIME", "60s", "", 0, 365 * kDayMs,
               "How long SIGTERM waits for the store; what is left stays in the journal", kMounting, true},
    OptionSpec{"hook", 0, kText, "DIR", "", "", 0, 0, "Run programs in DIR before and after what the mount does: HOOKS", kMounting, true},
    OptionSpec{"hook-timeout", 0, kTime, "TIME", "60s", "", 100, 3'600'000, "How long each of them may take", kMounting, true},
    OptionSpec{"file-name", 0, kText, "NAME", "disk", "", 0, 0, "The name of the file that is the disk", kMounting, true},
    OptionSpec{"stats-name", 0, kText, "NAME", "stats", "", 0, 0,
               "The name of the file with statistics; NAME.json is there too", kMounting, true},
    OptionSpec{"allow-other", 0, kFlag, "", "", "", 0, 0,
               "Let other users see the files (as a user, this needs user_allow_other in /etc/fuse.conf)", kMounting, true},
    OptionSpec{"log-level", 0, kChoice, "debug|info|warning|error", "info", "", 0, 0, "The least that is logged", kReadingFiles, true},
    OptionSpec{"log-to", 0, kText, "syslog|FILE", "", "syslog, or standard error with -f", 0, 0, "Where the log goes",
               kReadingFiles, true},

    // attach
    OptionSpec{"mkfs", 0, kChoice, "btrfs|ext4|xfs", "", "", 0, 0, "Make this filesystem first, on a volume that is empty", bit(kAttach), false},
    OptionSpec{"fs", 0, kChoice, "auto|none", "auto", "", 0, 0,
               "Mount the filesystem that is there, or none: then DIR shows the volume, and the loop device is for zfs or qemu",
               bit(kAttach), false},
    OptionSpec{"fs-options", 0, kText, "OPTIONS", "", "", 0, 0, "Options of the filesystem, as mount -o of util-linux takes them",
               bit(kAttach) | bit(kRestore), false},

    // restore
    OptionSpec{"to", 0, kText, "DIR", "", "", 0, 0, "The directory to restore to; needed", bit(kRestore), false},
    OptionSpec{"overwrite", 0, kFlag, "", "", "", 0, 0, "Replace files that are there of the same name, once all is copied; what else is in their directories stays", bit(kRestore), false},

    // S3
    OptionSpec{"endpoint", 0, kText, "URL", "", "Amazon S3 in the region", 0, 0,
               "The server of the bucket: https://HOST[:PORT]", kStore, true},
    OptionSpec{"region", 0, kText, "NAME", "", "us-east-1", 0, 0, "The region of the bucket", kStore | bit(kBucketPolicy), true},
    OptionSpec{"profile", 0, kText, "NAME", "", "$AWS_PROFILE, else default", 0, 0,
               "The profile of the AWS tools that keys and settings come from", kStore, true},
    OptionSpec{"path-style", 0, kFlag, "", "", "guessed from the endpoint", 0, 0,
               "Name the bucket in the path: https://HOST/BUCKET", kStore, true},
    OptionSpec{"virtual-host", 0, kFlag, "", "", "guessed from the endpoint", 0, 0,
               "Name the bucket in the host: https://BUCKET.HOST", kStore, true},
    OptionSpec{"ca-file", 0, kText, "FILE", "", "the system's", 0, 0,
               "Trust the certificate authorities in FILE, and no others", kStore, true},
    OptionSpec{"storage-class", 0, kText, "CLASS", "", "as the bucket has it", 0, 0,
               "The storage class of new objects, as the provider calls it", kStoring, true},
    OptionSpec{"sse", 0, kChoice, "AES256|aws:kms|aws:kms:dsse", "", "as the bucket has it", 0, 0,
               "How the server encrypts what it gets, which is encrypted already", kStoring, true},
    OptionSpec{"sse-key-id", 0, kText, "ID", "", "the provider's own", 0, 0, "The key of the server for --sse aws:kms", kStoring, true},
    OptionSpec{"anonymous", 0, kFlag, "", "", "", 0, 0, "Sign nothing: read a public bucket without keys of S3", kReading, true},
    OptionSpec{"insecure-http", 0, kFlag, "", "", "", 0, 0,
               "Allow http:// to other machines: others see and disturb the traffic, though not the data", kStore, true},
    OptionSpec{"md5-cache-size", 0, kCount, "N", "10000", "", 0, 1'000'000,
               "How many objects put or deleted lately are remembered, so that stale answers of the store are caught; 0 for none",
               kReadingFiles, true},
    OptionSpec{"md5-cache-time", 0, kTime, "TIME", "10s", "", 0, kDayMs,
               "How long they are remembered, and a stale answer is asked for again", kReadingFiles, true},
    OptionSpec{"min-write-delay", 0, kTime, "TIME", "0s", "", 0, kDayMs,
               "The least time between two changes to an object of one name", kMounting, true},
    OptionSpec{"max-upload-rate", 0, kSize, "SIZE", "", "no limit", 16 * kKi, kTi, "Send at most this much in a second; of S3 alone", kMounting | bit(kImport), true},
    OptionSpec{"max-download-rate", 0, kSize, "SIZE", "", "no limit", 16 * kKi, kTi,
               "Receive at most this much in a second; of S3 alone", kReadingFiles | bit(kCheck) | kTransferring | bit(kImport) | bit(kRepair), true},

    // umount, sync
    OptionSpec{"no-wait", 0, kFlag, "", "", "", 0, 0, "Return at once, and say how much is still to be sent", kUnmounting, false},
    OptionSpec{"timeout", 0, kTime, "TIME", "", "no limit", 1, 365 * kDayMs,
               "Wait no longer than this; the sending goes on", kUnmounting, false},
    OptionSpec{"progress", 0, kChoice, "auto|plain|json|off", "auto", "a line on a terminal", 0, 0,
               "How to show what is still to be done",
               kUnmounting | bit(kRestore) | bit(kSync) | bit(kSnapshot) | bit(kResize) | bit(kCheck) | kTransferring | bit(kImport) | bit(kRepair), false},

    // tag, snapshot
    OptionSpec{"tag", 0, kText, "NAME", "", "", 0, 0, "The name that the new generation gets; needed", bit(kSnapshot), false},
    OptionSpec{"force", 0, kFlag, "", "", "", 0, 0, "If the name is given to another generation already, move it",
               bit(kTag) | bit(kSnapshot), false},
    OptionSpec{"freeze", 0, kTexts, "DIR", "", "", 0, 0,
               "Freeze the filesystem that is mounted at DIR meanwhile, so that it is stored at rest; may be given again", bit(kSnapshot), false},
    OptionSpec{"freeze-timeout", 0, kTime, "TIME", "30s", "", 100, 600'000,
               "How long a filesystem may stay frozen; then it is thawed, and there is no snapshot", bit(kSnapshot), false},

    // fork
    OptionSpec{"new-key-file", 0, kText, "FILE", "", "what opens URL", 0, 0, "The key file that is to open the fork", kForking | bit(kRepair), false},
    OptionSpec{"new-passphrase-file", 0, kText, "FILE", "", "what opens URL", 0, 0,
               "The passphrase that is to open the fork, in the first line of FILE; - is standard input", kForking | bit(kRepair), false},
    OptionSpec{"origin-url", 0, kTexts, "FINGERPRINT=URL", "", "where the fork was told", 0, 0,
               "Of a fork: the volume of this fingerprint that it comes from is at URL now; may be given again", kReadingData, true},

    // repair
    OptionSpec{"into", 0, kText, "NEWURL", "", "", 0, 0,
               "Commits are lost: make a fork at NEWURL of what the segments tell, and change nothing at URL", bit(kRepair), false},
    OptionSpec{"through-gaps", 0, kFlag, "", "", "", 0, 0,
               "Go on past what is missing, and list the parts of the disk that may be others", bit(kRepair), false},

    // resize
    OptionSpec{"discard-tail", 0, kFlag, "", "", "", 0, 0,
               "Give up the data beyond the new end; older generations keep it", bit(kResize), false},

    // history
    OptionSpec{"tags", 0, kFlag, "", "", "", 0, 0, "List the tags instead, those of the newest generation first", bit(kHistory), false},
    OptionSpec{"limit", 0, kCount, "N", "", "all", 1, 1'000'000'000, "The newest N only", bit(kHistory), false},
    OptionSpec{"since", 0, kText, "TIME", "", "", 0, 0,
               "No generations older than TIME: 2026-11-20, 2026-11-20T12:00:00Z, or 2h for two hours ago", bit(kHistory), false},

    // check
    OptionSpec{"read-data", 0, kPercent, "[=PERCENT]", "", "structure only", 0, 0,
               "Read the data too, or a random sample of so much of it", bit(kCheck), false},

    // export
    OptionSpec{"zero-damaged", 0, kFlag, "", "", "", 0, 0, "Write zeros where the disk cannot be read, and all the rest", bit(kExport), false},

    // import
    OptionSpec{"resize", 0, kFlag, "", "", "", 0, 0, "Give the disk the size of the image in the same generation", bit(kImport), false},

    // bucket policy
    OptionSpec{"role", 0, kChoice, "reader|writer|pruner|public", "", "", 0, 0, "Who it is for; needed", bit(kBucketPolicy), false},
    OptionSpec{"principal", 0, kText, "ARN", "", "whoever it is attached to", 0, 0,
               "The user or role that it is for: prints a policy of the bucket", bit(kBucketPolicy), false},

    // what prints facts
    OptionSpec{"json", 0, kFlag, "", "", "", 0, 0, "Print JSON; errors too, as {\"error\": {\"code\", \"message\"}}", kFacts, false},
};

}  // namespace

std::span<const CommandSpec> commands() { return kCommands; }

const CommandSpec& spec_of(Command command) {
  const auto& spec = kCommands.at(static_cast<std::size_t>(command));
  CHECK(spec.command == command);
  return spec;
}

std::span<const OptionSpec> options() { return kOptions; }

const OptionSpec* find_option(std::string_view name) {
  const auto* found = std::find_if(kOptions.begin(), kOptions.end(), [&](const OptionSpec& o) { return o.name == name; });
  return found == kOptions.end() ? nullptr : found;
}

}  // namespace s3crate::cli
