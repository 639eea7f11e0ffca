// SPDX-License-Identifier: GPL-3.0-or-later
// Opening and making a journal, and its superblocks. Superblock version v stands in sector v % 2,
// so the one that counts is never written over by its successor.
#include <algorithm>
#include <bit>

#include "base/check.h"
#include "journal/journal_file.h"

namespace s3crate::journal {
namespace {

constexpr std::uint32_t kIncarnationMax = 1u << 31;  // the next one has a number, too

constexpr std::uint64_t place_of(std::uint64_t version) { return version % 2 * kSectorBytes; }

Result<> check_sizes(std::uint32_t slot_bytes, std::uint64_t file_bytes, Code code) {
  if (slot_bytes < kSlotBytesMin || slot_bytes > kSlotBytesMax ||
      !std::has_single_bit(slot_bytes)) {
    return fail(code, "journal: slots of {} bytes", slot_bytes);
  }
  if (file_bytes > kFileBytesMax ||
      file_bytes < kSlotsOffset + std::uint64_t{kSlotsMin} * slot_bytes) {
    return fail(code, "journal: {} bytes is not within {} and {}", file_bytes,
                kSlotsOffset + std::uint64_t{kSlotsMin} * slot_bytes, kFileBytesMax);
  }
  return {};
}

// What the rest of the code relies on.
Result<> check_superblock(const Superblock& superblock) {
  TRY(check_sizes(superblock.slot_bytes, superblock.file_bytes, Code::kCorrupt));
  const auto& incarnations = superblock.incarnations;
  for (std::size_t i = 0; i < incarnations.size(); ++i) {
    const Incarnation& one = incarnations[i];
    const bool newest = i + 1 == incarnations.size();
    const bool follows = i == 0 || (one.number > incarnations[i - 1].number &&
                                    one.first_seq > incarnations[i - 1].last_seq);
    if (one.number == 0 || one.number > kIncarnationMax || one.first_seq.value == 0 || !follows ||
        (newest ? one.last_seq.value != 0 : one.last_seq < one.first_seq)) {
      return fail(Code::kCorrupt, "journal: its list of incarnations makes no sense");
    }
  }
  return {};
}

Result<Superblock> read_superblock(io::File& file) {
  std::optional<Superblock> newest;
  Error error(Code::kCorrupt, "both of its superblocks are damaged");
  for (const std::uint64_t place : {place_of(0), place_of(1)}) {
    std::array<std::uint8_t, kSectorBytes> sector;
    if (auto read = file.read_at(place, sector); !read) {
      if (read.error().code() != Code::kCorrupt) return fail(read.error());
      continue;
    }
    auto superblock = decode_superblock(sector);
    if (!superblock) {
      if (superblock.error().code() != Code::kCorrupt) error = superblock.error();
      continue;
    }
    if (place_of(superblock->version) == place &&
        (!newest || superblock->version > newest->version))
      newest = *superblock;
  }
  if (!newest) return fail(error);
  TRY(check_superblock(*newest));
  return *newest;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

std::uint32_t slots_in(std::uint64_t file_bytes, std::uint32_t slot_bytes) {
  return file_bytes < kSlotsOffset
             ? 0
             : static_cast<std::uint32_t>((file_bytes - kSlotsOffset) / slot_bytes);
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(Env env, io::FileIo& files, const Options& options) {
  std::shared_ptr<io::File> file = TRY(files.open(options.path, io::OpenMode::read_write));
  TRY(file->lock());
  const io::FileIdentity identity = TRY(file->identity());
  // Its holder may have replaced it between our opening it and its giving the lock back.
  auto named = files.identity(options.path);
  if (!named && !is(named, Code::kNotFound)) return fail(named.error());
  if (!named || *named != identity)
    return fail(Code::kExists, "{}: another process has just replaced it", options.path);
  auto superblock = read_superblock(*file);
  if (!superblock) return fail(superblock.error().within(options.path));
  TRY(files.sync_directory(
      parent_of(options.path)));  // create may have been cut short before its own
  TRY(check_sizes(superblock->slot_bytes, options.file_bytes, Code::kBadArgument));
  const std::uint64_t size = TRY(file->size());
  return std::make_unique<JournalFile>(env, std::move(file), options, *superblock, identity, size,
                                       false);
}

// Under a name of its own first, so that no crash leaves half a journal under the right one.
Result<std::unique_ptr<Journal>> Journal::create(Env env, io::FileIo& files, const Options& options,
                                                 const Vid& vid, const Hash& home) {
  TRY(check_sizes(options.slot_bytes, options.file_bytes, Code::kBadArgument));
  Superblock superblock;
  superblock.version = 1;
  superblock.vid = vid;
  superblock.home = home;
  set_noted_url(superblock, options.url);
  superblock.journal = env.random.array<16>();
  superblock.slot_bytes = options.slot_bytes;
  superblock.file_bytes = options.file_bytes;
  superblock.boot = options.boot;

  const std::string temporary = options.path + ".new-" + to_hex(env.random.array<8>());
  std::shared_ptr<io::File> file = TRY(files.open(temporary, io::OpenMode::create_new));
  const auto make = [&]() -> Result<io::FileIdentity> {
    TRY(file->lock());
    const io::FileIdentity identity = TRY(file->identity());
    superblock.device = identity.device;
    superblock.inode = identity.inode;
    TRY(file->allocate(2 * kSectorBytes));
    TRY(file->write_at(place_of(superblock.version), encode_superblock(superblock), io::Sync::yes));
    TRY(files.link(temporary, options.path));
    return identity;
  };
  auto identity = make();
  auto removed = files.remove(temporary);
  if (!identity) return fail(identity.error());
  if (!removed) return fail(removed.error());
  TRY(files.sync_directory(parent_of(options.path)));
  return std::make_unique<JournalFile>(env, std::move(file), options, superblock, *identity, 0,
                                       true);
}

JournalFile::JournalFile(Env env, std::shared_ptr<io::File> file, const Options& options,
                         const Superblock& superblock, const io::FileIdentity& identity,
                         std::uint64_t file_size, bool fresh)
    : env_(env),
      file_(std::move(file)),
      options_(options),
      identity_(identity),
      copied_(superblock.inode != identity.inode ||
              (superblock.boot == options.boot && superblock.device != identity.device)),
      same_boot_(superblock.boot == options.boot || options.boot == Uuid{}),
      superblock_(superblock),
      superblock_settled_(fresh || !same_boot_),
      replayed_(fresh),
      written_version_(superblock.version),
      noted_(noted_commits(superblock)),
      changed_(env.executor.cond_var()),
      slots_(superblock.slot_bytes, slots_in(options.file_bytes, superblock.slot_bytes),
             slots_in(file_size, superblock.slot_bytes)) {}

Result<> JournalFile::write_superblock(Superblock next) {
  {
    MutexLock lock(mu_);
    acquire_sync();
  }
  Result<> done;
  if (!superblock_settled_) {
    done = file_->write_at(place_of(superblock_.version), encode_superblock(superblock_),
                           io::Sync::yes);
    superblock_settled_ = done.has_value();
  }
  if (done) {
    next.device = identity_.device;
    next.inode = identity_.inode;
    next.boot = options_.boot;
    if (options_.home != Hash{}) {
      next.home = options_.home;
      set_noted_url(next, options_.url);
    }
    next.file_bytes = options_.file_bytes;
    done = write_next(next);
  }
  MutexLock lock(mu_);
  if (done) superblock_ = std::move(next);
  release_sync();
  return done;
}

// After a failed write the same place is written again: the other one holds what counts.
Result<> JournalFile::write_next(Superblock& next) {
  next.version = written_version_ + 1;
  if (noted_) set_noted_commits(next, *noted_);
  TRY(write_durably(place_of(next.version), encode_superblock(next)));
  written_version_ = next.version;
  return {};
}

// While records are appended superblock_ does not change: what it says of them stays.
Result<> JournalFile::note_commits(const NotedCommits& noted) {
  Superblock next;
  {
    MutexLock lock(mu_);
    acquire_sync();
    next = superblock_;
  }
  const auto before = std::exchange(noted_, noted);
  Result<> done = write_next(next);
  if (!done) noted_ = before;
  MutexLock lock(mu_);
  release_sync();
  return done;
}

Result<> JournalFile::note_intent(std::uint32_t epoch, const Uuid& instance, Generation base,
                                  const Hash& base_hash) {
  TRY(sync());  // a superblock's failed fdatasync must not concern records
  Superblock next = superblock_;
  std::vector<Uuid> tried;
  if (next.intended_epoch == epoch) {
    tried = tried_instances(next);
    if (next.intended_instance != instance) tried.push_back(next.intended_instance);
  }
  set_tried_instances(next, tried);
  next.intended_epoch = epoch;
  next.intended_instance = instance;
  next.base = base;
  next.base_hash = base_hash;
  return write_superblock(std::move(next));
}

Result<> JournalFile::start_incarnation(Seq next, std::uint32_t ring,
                                        const crypto::PublicKey& data_key) {
  if (!replayed_) return fail(Code::kBadArgument, "journal: it was not replayed");
  TRY(sync());
  Seq released;
  Seq last;
  {
    MutexLock lock(mu_);
    released = released_;
    last = key_ ? appended_ : found_;
  }
  CHECK(next > last);
  Superblock superblock = superblock_;
  auto& incarnations = superblock.incarnations;
  Incarnation fresh;
  fresh.number = incarnations.empty() ? 1 : incarnations.back().number + 1;
  fresh.ring = ring;
  fresh.first_seq = next;
  if (!incarnations.empty()) incarnations.back().last_seq = last;
  std::erase_if(incarnations, [&](const Incarnation& i) {
    return i.last_seq < i.first_seq || i.last_seq <= released;
  });
  if (incarnations.size() >= kIncarnationsMax) {
    return fail(Code::kNoSpace, "journal: {} mounts in a row left batches that the store lacks",
                incarnations.size());
  }
  crypto::Secret secret(env_.random);
  const Bytes sealed = crypto::box_seal(env_.random, data_key, secret.view());
  CHECK(sealed.size() == fresh.sealed_key.size());
  std::copy(sealed.begin(), sealed.end(), fresh.sealed_key.begin());
  incarnations.push_back(fresh);
  TRY(write_superblock(std::move(superblock)));

  MutexLock lock(mu_);
  CHECK(unsynced_.empty() && !writer_busy_);
  key_.emplace(std::move(secret));
  cursor_ = {};
  appended_ = durable_ = Seq(next.value - 1);
  appended_tag_ = durable_tag_ = {};
  return {};
}

Result<std::uint64_t> JournalFile::pending_bytes(Seq committed) {
  const Geometry geometry = this->geometry(TRY(file_->size()));
  auto slots = TRY(find_slots(geometry));
  std::uint64_t bytes = 0;
  if (!superblock_.incarnations.empty()) {
    const auto unreadable = std::ranges::count_if(slots, [](const auto& s) { return !s.header; });
    bytes += static_cast<std::uint64_t>(unreadable) * superblock_.slot_bytes;
  }
  for (const Incarnation& incarnation : superblock_.incarnations) {
    // From the newest slot back: what a later slot wrote again does not count twice.
    Seq before =
        incarnation.last_seq.value != 0 ? incarnation.last_seq.next() : Seq(~std::uint64_t{0});
    for (auto slot = slots.rbegin(); slot != slots.rend(); ++slot) {
      if (!slot->header || slot->header->incarnation != incarnation.number) continue;
      const std::vector<FoundRecord> records = TRY(list_headers(geometry, *slot));
      for (const FoundRecord& record : records) {
        if (record.seq > committed && record.seq < before) bytes += record.end() - record.offset;
      }
      before = std::min(before, slot->header->first_seq);
    }
  }
  return bytes;
}

}  // namespace s3crate::journal
