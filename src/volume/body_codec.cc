// SPDX-License-Identifier: GPL-3.0-or-later
// The plain form of a commit's sealed body.
#include <algorithm>

#include "base/check.h"
#include "volume/codec.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

constexpr std::size_t kHostMax = 255;
constexpr std::size_t kTagNameMax = 255;
constexpr std::size_t kNoteMax = 1024;
constexpr std::size_t kListMax = 1 << 20;
constexpr std::size_t kObjectSizeMin = 10;
constexpr std::uint16_t kBasesHint = 5;  // type of the extension

void put_generations(ByteWriter& writer, const std::vector<Generation>& list) {
  writer.varint(list.size());
  std::uint64_t next = 0;
  for (Generation g : list) {
    CHECK(g.value >= next);
    writer.varint(g.value - next);
    next = g.value + 1;
  }
}

std::vector<Generation> get_generations(ByteReader& reader) {
  std::vector<Generation> list(get_count(reader, 1, kListMax));
  std::uint64_t next = 0;
  for (Generation& g : list) {
    g = Generation(get_above(reader, next, kNumberMax));
    next = g.value + 1;
  }
  return list;
}

void put_keys(ByteWriter& writer, const std::vector<ObjectKey>& list) {
  writer.varint(list.size());
  for (const ObjectKey& key : list) put_object_key(writer, key);
}

std::vector<ObjectKey> get_keys(ByteReader& reader) {
  std::vector<ObjectKey> list(get_count(reader, 3, kListMax));
  for (std::size_t i = 0; i < list.size(); ++i) {
    list[i] = get_object_key(reader);
    if (i > 0 && list[i] <= list[i - 1]) reader.fail();
    if (!reader.ok()) return {};
  }
  return list;
}

std::vector<ObjectInfo> get_objects(ByteReader& reader) {
  std::vector<ObjectInfo> list(get_count(reader, kObjectSizeMin, kObjectsPerCommitMax));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const ObjectKey key = get_object_key(reader);
    list[i] = get_object_info(reader, key);
    if (i > 0 && key <= list[i - 1].key) reader.fail();
    if (!reader.ok()) return {};
  }
  return list;
}

std::vector<Tag> get_tags(ByteReader& reader) {
  std::vector<Tag> list(get_count(reader, 2, kListMax));
  for (std::size_t i = 0; i < list.size(); ++i) {
    list[i].name = get_text(reader, kTagNameMax);
    list[i].generation = Generation(get_up_to(reader, kNumberMax));
    if (!is_tag_name(list[i].name) || (i > 0 && list[i].name <= list[i - 1].name)) reader.fail();
    if (!reader.ok()) return {};
  }
  return list;
}

void put_pins(ByteWriter& writer, const std::vector<Pin>& pins) {
  writer.varint(pins.size());
  for (const Pin& pin : pins) {
    writer.raw(pin.holder);
    writer.varint(pin.generation.value);
    put_bytes(writer, as_bytes(pin.note));
  }
}

std::vector<Pin> get_pins(ByteReader& reader) {
  std::vector<Pin> list(get_count(reader, sizeof(Vid) + 2, kListMax));
  for (Pin& pin : list) {
    pin.holder = reader.array<sizeof(Vid)>();
    pin.generation = Generation(get_up_to(reader, kNumberMax));
    pin.note = get_text(reader, kNoteMax);
  }
  return list;
}

wire::BodyHead head_of(const CommitBody& body) {
  wire::BodyHead head;
  head.kind = static_cast<std::uint8_t>(body.kind);
  head.flags = body.pending ? wire::kHasPending : 0;
  head.epoch = body.epoch;
  head.instance = body.instance;
  head.home = body.home;
  head.journal = body.journal;
  head.time = from_time(body.time);
  head.store_time = from_time(body.store_time);
  head.disk_bytes = body.disk_bytes;
  head.committed = body.committed.value;
  head.unsent_bytes = body.unsent_bytes;
  head.unsent_age_ns = body.unsent_age_ns;
  head.term = body.term.value;
  head.delta_base_generation = body.delta_base.generation.value;
  head.delta_base_hash = body.delta_base.hash;
  head.checkpoint_commit = body.checkpoint.commit.value;
  head.checkpoint_as_of = body.checkpoint.as_of.value;
  head.checkpoint_roots_hash = body.checkpoint.roots_hash;
  if (body.pending) {
    head.pending_bytes = body.pending->bytes;
    head.pending_first = body.pending->first.value;
  }
  return head;
}

CommitBody from_head(const wire::BodyHead& head) {
  CommitBody body;
  body.kind = CommitKind{head.kind};
  body.epoch = head.epoch;
  body.instance = head.instance;
  body.home = head.home;
  body.journal = head.journal;
  body.time = to_time(head.time);
  body.store_time = to_time(head.store_time);
  body.disk_bytes = head.disk_bytes;
  body.committed = Seq(head.committed);
  body.unsent_bytes = head.unsent_bytes;
  body.unsent_age_ns = head.unsent_age_ns;
  body.term = Generation(head.term);
  body.delta_base = {Generation(head.delta_base_generation), head.delta_base_hash};
  body.checkpoint = {Generation(head.checkpoint_commit), Generation(head.checkpoint_as_of),
                     head.checkpoint_roots_hash};
  if ((head.flags & wire::kHasPending) != 0)
    body.pending = PendingClose{head.pending_bytes, Seq(head.pending_first)};
  return body;
}

bool is_sound(const wire::BodyHead& head, std::uint32_t block_size) {
  const bool has_pending = (head.flags & wire::kHasPending) != 0;
  return head.kind >= static_cast<std::uint8_t>(CommitKind::keys) &&
         head.kind <= static_cast<std::uint8_t>(CommitKind::close) &&
         (head.flags & ~wire::kHasPending) == 0 && head.reserved == 0 &&
         head.epoch <= ObjectId::kEpochMax && head.disk_bytes <= segment::kDiskBytesMax &&
         head.disk_bytes % block_size == 0 && head.committed <= kNumberMax &&
         head.term <= kNumberMax && head.delta_base_generation <= kNumberMax &&
         (head.delta_base_generation != 0 || all_zero(head.delta_base_hash)) &&
         head.checkpoint_commit <= kNumberMax &&
         (head.checkpoint_commit != 0
              ? head.checkpoint_as_of < head.checkpoint_commit
              : head.checkpoint_as_of == 0 && all_zero(head.checkpoint_roots_hash)) &&
         head.pending_first <= kNumberMax &&
         (has_pending || (head.pending_bytes == 0 && head.pending_first == 0));
}

}  // namespace

bool is_tag_name(std::string_view name) {
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  return !name.empty() && name.size() <= kTagNameMax && name != "." && name != ".." && name.find('/') == name.npos &&
         std::ranges::none_of(name, is_control);
}

Bytes encode_body(const CommitBody& body) {
  Bytes out;
  ByteWriter writer(out);
  writer.wire(head_of(body));
  put_bytes(writer, as_bytes(body.host));
  put_roots(writer, body.roots);
  CHECK(body.objects.size() <= kObjectsPerCommitMax);
  writer.varint(body.objects.size());
  for (const ObjectInfo& info : body.objects) {
    put_object_key(writer, info.key);
    put_object_info(writer, info);
  }
  put_runs(writer, body.runs);
  put_generations(writer, body.voids);
  segment::put_seq_ranges(writer, body.abandoned);
  writer.varint(body.tags.size());
  for (const Tag& tag : body.tags) {
    put_bytes(writer, as_bytes(tag.name));
    writer.varint(tag.generation.value);
  }
  put_pins(writer, body.pins);
  put_keys(writer, body.condemned_objects);
  put_generations(writer, body.condemned_generations);
  put_keys(writer, body.freed_objects);
  put_generations(writer, body.freed_generations);
  segment::put_extensions(writer, body.extensions);
#ifndef NDEBUG
  const auto decoded = decode_body(out, segment::kBlockSizeMin);
  CHECK(decoded ? *decoded == body : is(decoded, Code::kUnsupported));
#endif
  return out;
}

Result<CommitBody> decode_body(ByteView plain, std::uint32_t block_size) {
  ByteReader reader(plain);
  const auto head = reader.wire<wire::BodyHead>();
  if (!reader.ok() || !is_sound(head, block_size))
    return fail(Code::kCorrupt, "a commit's body has a malformed head");
  CommitBody body = from_head(head);
  body.host = get_text(reader, kHostMax);
  body.roots = get_roots(reader);
  body.objects = get_objects(reader);
  body.runs = get_runs(reader, body.disk_bytes, block_size);
  body.voids = get_generations(reader);
  body.abandoned = segment::get_seq_ranges(reader);
  body.tags = get_tags(reader);
  body.pins = get_pins(reader);
  body.condemned_objects = get_keys(reader);
  body.condemned_generations = get_generations(reader);
  body.freed_objects = get_keys(reader);
  body.freed_generations = get_generations(reader);
  if (!reader.ok()) return fail(Code::kCorrupt, "a commit's body is malformed");
  body.extensions = TRY(segment::get_extensions(reader, "a commit's body"));
  return body;
}

void put_bases_hint(CommitBody& body, std::span<const Generation> below_delta_base) {
  std::erase_if(body.extensions, [](const Extension& e) { return e.type == kBasesHint; });
  if (below_delta_base.empty()) return;
  Extension hint{kBasesHint, false, {}};
  ByteWriter writer(hint.value);
  Generation above = body.delta_base.generation;
  for (Generation g : below_delta_base.first(std::min(below_delta_base.size(), kBasesHintMax))) {
    CHECK(g < above);
    writer.varint(above - g);
    above = g;
  }
  const auto place = std::ranges::upper_bound(body.extensions, kBasesHint, {}, &Extension::type);
  body.extensions.insert(place, std::move(hint));
}

std::vector<Generation> bases_hint(const CommitBody& body) {
  std::vector<Generation> out;
  const auto hint = std::ranges::find(body.extensions, kBasesHint, &Extension::type);
  if (hint == body.extensions.end()) return out;
  ByteReader reader(hint->value);
  Generation above = body.delta_base.generation;
  while (!reader.done() && out.size() < kBasesHintMax) {
    const std::uint64_t down = reader.varint();
    if (!reader.ok() || down == 0 || down >= above.value) break;
    above = Generation(above.value - down);
    out.push_back(above);
  }
  return out;
}

}  // namespace s3crate::volume
