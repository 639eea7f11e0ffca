// SPDX-License-Identifier: GPL-3.0-or-later
// A whole journal file, as recovery finds it. Whatever stands there, a replay hands out batches in order, each as it was sealed; says
// the same once more; and what is appended then comes after it. An input: the boot | the committed batch | pieces.
#include <map>
#include <optional>

#include "journal/format.h"
#include "journal/journal.h"
#include "journal/record.h"
#include "segment/codec.h"
#include "tests/fuzz/pieces.h"
#include "tests/support/memory_files.h"
#include "tests/support/step_file_io.h"

namespace s3crate::fuzz {
namespace {

using namespace journal;
using segment::SealedSecret;

constexpr const char* kPath = "/journal";
constexpr std::uint32_t kSlot = 16 << 10;
constexpr std::uint64_t kFileMax = 8 << 20;
const Vid kVid{{1, 2, 3}};
const Uuid kBoot{{1}};

// Kinds of pieces.
enum : std::uint8_t { kRaw, kSector, kRecord, kNextRecord, kEnd, kKinds };

std::uint64_t offset_of(std::size_t place) {
  return place < 2 ? place * kSectorBytes : kSlotsOffset + (place - 2) * kSectorBytes;
}

// Of an incarnation that no journal of this run began, whose key is sealed as its number and zeros.
crypto::Secret secret_of(std::uint32_t incarnation) { return crypto::Secret::copy_of(Bytes(32, static_cast<std::uint8_t>(incarnation))); }

const crypto::BoxKeyPair& box() {
  static const crypto::BoxKeyPair pair = crypto::box_key_pair(random());
  return pair;
}

Result<crypto::Secret> open_key(std::uint32_t, const SealedSecret& sealed) {
  if (all_zero(ByteView(sealed).subspan(1))) return secret_of(sealed[0]);
  Bytes secret;
  TRY(crypto::box_open(box().secret, sealed, secret));
  return crypto::Secret::copy_of(secret);
}

struct Batch {
  std::uint32_t incarnation = 0;
  Seq seq;
  Bytes body;
  friend bool operator==(const Batch&, const Batch&) = default;
};

struct Made {
  Bytes file;
  std::vector<Batch> sealed;
};

// With the tag that the record before it got, if `follows`.
void add_record(Made& made, std::map<std::pair<std::uint32_t, Seq>, Tag>& tags, std::uint64_t at, ByteView bytes, bool follows) {
  const std::size_t size = record_header_size();
  auto header = bytes.size() < size ? Result<RecordHeader>(fail(Code::kCorrupt, "")) : decode_record_header(bytes.first(size));
  if (!header) return put_bytes(made.file, at, bytes);
  if (follows) header->previous_tag = tags[{header->incarnation, Seq(header->seq.value - 1)}];
  const std::size_t extents = std::min<std::size_t>(header->extents_length, bytes.size() - size);
  const ByteView plain = bytes.subspan(size, bytes.size() - size - extents);
  static std::map<std::uint32_t, crypto::SealingKey> keys;
  const auto key = keys.try_emplace(header->incarnation % 256, secret_of(header->incarnation)).first;
  test::SeededRandom random(1);
  const SealedRecord record = seal_record(key->second, random, kVid, *header, plain);
  tags[{header->incarnation, header->seq}] = record.tag;
  made.sealed.push_back({header->incarnation, header->seq, to_bytes(plain)});
  put_bytes(made.file, at, record.bytes);
  put_bytes(made.file, at + record.bytes.size(), bytes.last(extents));
}

Made make(ByteView input) {
  Made made{Bytes(kSlotsOffset), {}};
  std::map<std::pair<std::uint32_t, Seq>, Tag> tags;
  std::optional<std::uint64_t> end;
  for (const Piece& piece : pieces_of(input)) {
    const std::uint64_t at = offset_of(piece.place);
    switch (piece.kind % kKinds) {
      case kRaw: put_bytes(made.file, at, piece.bytes); break;
      case kSector: put_bytes(made.file, at, finished_sector(piece.bytes)); break;
      case kEnd: end = at + piece.bytes.size(); break;
      default: add_record(made, tags, at, piece.bytes, piece.kind % kKinds == kNextRecord);
    }
  }
  const std::size_t slots = (made.file.size() - kSlotsOffset + kSlot - 1) / kSlot;
  made.file.resize(end.value_or(kSlotsOffset + slots * kSlot));
  return made;
}

class Machine {
 public:
  explicit Machine(std::uint8_t boot) {
    options.path = kPath;
    options.file_bytes = kSlotsOffset + 40 * kSlot;
    options.slot_bytes = kSlot;
    options.boot = kBoot;
    options.boot[1] = boot;
  }
  Result<std::unique_ptr<Journal>> open(io::FileIo& files) { return Journal::open(env, files, options); }

  test::SeededRandom random{1};
  const Env env{system_clock(), random, thread_executor()};
  Options options;
};

// All that the journal hands out, if it hands out all that it owes.
Result<std::vector<Batch>> replay(Journal& journal, Seq committed, const std::vector<Batch>& sealed) {
  std::vector<Batch> out;
  const auto each = [&](Journal::Replayed found) -> Result<> {
    Batch batch{found.incarnation, found.seq, encode_record_body(found.body)};
    CHECK(batch.seq == Seq(committed.value + out.size() + 1));
    CHECK(std::ranges::find(sealed, batch) != sealed.end());
    for (const RecordExtent& extent : found.body.extents) {
      Bytes bytes(extent.length);
      CHECK(found.record->read_extent(extent.offset, bytes));
    }
    out.push_back(std::move(batch));
    return {};
  };
  const Seq last = TRY(journal.replay(committed, open_key, each));
  CHECK(last == Seq(committed.value + out.size()));
  return out;
}

void refuse(const Error& error) {
  CHECK(is_refusal(error) || error.code() == Code::kBadArgument || error.code() == Code::kBadKey || error.code() == Code::kTransient);
}

// Appends a batch behind what was found; nothing if the journal has no room.
std::optional<Batch> go_on(Journal& journal, Seq last) {
  RecordBody body;
  body.disk_bytes = 1 << 20;
  body.holes = {{.block = BlockIndex(3), .count = 5}};
  const auto refused = [&](const Error& error) {
    CHECK(error.code() == Code::kNoSpace || error.code() == Code::kTransient || error.code() == Code::kBadArgument);
    return std::nullopt;
  };
  if (auto noted = journal.note_intent(7, {{5}}, Generation(9), {}); !noted) return refused(noted.error());
  if (auto begun = journal.start_incarnation(last.next(), 1, box().public_key); !begun) return refused(begun.error());
  if (auto appended = journal.append(last.next(), body, nullptr); !appended) return refused(appended.error());
  CHECK(journal.sync());
  return Batch{journal.superblock().incarnations.back().number, last.next(), encode_record_body(body)};
}

void run(ByteView input) {
  if (input.size() < 2) return;
  const Seq committed(input[1]);
  Made made = make(input.subspan(2));
  if (made.file.size() > kFileMax) return;
  test::MemoryFiles files(kFileMax);
  files.put(kPath, std::move(made.file));
  Machine machine(input[0] % 2);
  std::vector<Batch> found;
  {
    auto journal = machine.open(files);
    if (!journal) return refuse(journal.error());
    (void)(*journal)->pending_bytes(committed);
    auto replayed = replay(**journal, committed, made.sealed);
    if (!replayed) return refuse(replayed.error());
    found = std::move(*replayed);
  }
  {
    auto journal = machine.open(files);
    CHECK(journal);
    auto again = replay(**journal, committed, made.sealed);
    CHECK(again && *again == found);
    const auto appended = go_on(**journal, Seq(committed.value + found.size()));
    if (!appended) return;
    found.push_back(*appended);
    made.sealed.push_back(*appended);
  }
  auto journal = machine.open(files);
  CHECK(journal);
  const auto again = replay(**journal, committed, made.sealed);
  CHECK(again && *again == found);
}

// --- seeds: what real journals leave -----------------------------------------------------------------------------------------------

RecordBody body_of(Random& random, Seq seq, Bytes& extents) {
  RecordBody body;
  body.disk_bytes = 1 << 30;
  body.segments = {{.ordinal = 1, .ring = 0, .sealed_secret = {}}};
  for (std::uint32_t i = 0; i < 2; ++i) {
    Bytes extent(segment::kSealedExtentMin + i);
    random.fill(extent);
    body.extents.push_back({.segment = 1, .number = i, .offset = static_cast<std::uint32_t>(extents.size()),
                            .length = static_cast<std::uint32_t>(extent.size()), .digest = crypto::digest(extent)});
    body.runs.push_back({.block = BlockIndex(seq.value * 10 + i), .count = 1, .extent = i, .first = 0});
    append(extents, extent);
  }
  body.holes = {{.block = BlockIndex(9), .count = 100}};
  body.patches = {{.block = BlockIndex(7), .offset = 4000, .data = Bytes(9, 1)}};
  return body;
}

// Its first incarnation's, or those behind what it finds.
void append_batches(Machine& machine, Journal& journal, Seq last, int count, bool sync) {
  CHECK(journal.note_intent(1, {{1}}, Generation(1), {}));
  CHECK(journal.start_incarnation(last.next(), 1, box().public_key));
  for (int i = 0; i < count; ++i) {
    last = last.next();
    Bytes extents;
    const RecordBody body = body_of(machine.random, last, extents);
    CHECK(journal.append(last, body, std::make_shared<const Bytes>(std::move(extents))));
    if (sync) CHECK(journal.sync());
  }
}

// The pieces that a file is made of.
Bytes pieces_of_file(const Bytes& file, std::uint8_t boot, Seq committed) {
  Bytes out = {boot, static_cast<std::uint8_t>(committed.value)};
  std::map<std::uint32_t, crypto::Secret> secrets;
  for (std::size_t place = 0; place < 2; ++place) {
    const ByteView sector = ByteView(file).subspan(place * kSectorBytes, kSectorBytes);
    auto superblock = decode_superblock(sector);
    if (!superblock) continue;
    for (Incarnation& one : superblock->incarnations) {
      auto secret = open_key(one.ring, one.sealed_key);
      CHECK(secret);
      secrets.insert_or_assign(one.number, std::move(*secret));
      one.sealed_key = {static_cast<std::uint8_t>(one.number)};
    }
    add_piece(out, kSector, place, without_padding(encode_superblock(*superblock)));
  }
  for (std::size_t place = 2; offset_of(place) < file.size();) {
    const ByteView rest = ByteView(file).subspan(offset_of(place));
    const auto header = decode_record_header(rest.first(record_header_size()));
    if (!header) {
      const ByteView sector = rest.first(kSectorBytes);
      if (!all_zero(sector)) add_piece(out, kSector, place, without_padding(sector));
      ++place;
      continue;
    }
    Bytes record = to_bytes(rest.first(record_header_size()));
    Bytes additional(kVid.begin(), kVid.end());
    append(additional, record);
    const crypto::OpeningKey key(secrets.at(header->incarnation).clone());
    CHECK(key.open(rest.subspan(record.size(), header->sealed_length), additional, record));
    append(record, rest.subspan(record_header_size() + header->sealed_length, header->extents_length));
    add_piece(out, all_zero(header->previous_tag) ? kRecord : kNextRecord, place, record);
    place += record_bytes(header->sealed_length, header->extents_length) / kSectorBytes;
  }
  return out;
}

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  Machine machine(0);
  test::MemoryFiles files(kFileMax);
  test::StepFileIo steps(files, "");
  const auto note = [&](std::uint64_t committed) { out.push_back(pieces_of_file(files.get(kPath), 0, Seq(committed))); };
  {
    auto journal = Journal::create(machine.env, steps, machine.options, kVid, {});
    CHECK(journal);
    append_batches(machine, **journal, Seq(0), 3, true);
    note(1);
    Bytes extents;
    const RecordBody body = body_of(machine.random, Seq(4), extents);
    CHECK((*journal)->append(Seq(4), body, std::make_shared<const Bytes>(extents)));
    steps.fail_next("sync", Error(Code::kIo, "as told"));
    CHECK((*journal)->sync());  // written again, elsewhere
    note(0);
  }
  {
    auto journal = machine.open(steps);
    CHECK(journal);
    CHECK((*journal)->replay(Seq(2), open_key, [](const Journal::Replayed&) -> Result<> { return {}; }));
    note(2);
    append_batches(machine, **journal, Seq(4), 2, false);
    note(2);
  }
  // In the same boot what is unclaimed is copied; killed on the way.
  steps.die_after(4);
  auto journal = machine.open(steps);
  CHECK(journal);
  (void)(*journal)->replay(Seq(2), open_key, [](const Journal::Replayed&) -> Result<> { return {}; });
  note(2);
  out.push_back(out[2]);
  out.back()[0] = 1;
  return out;
}

const Target target("journal_file", seeds, run, Pace::whole_files);

}  // namespace
}  // namespace s3crate::fuzz
