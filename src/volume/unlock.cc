// SPDX-License-Identifier: GPL-3.0-or-later
// A volume's key slots: which of them opens, with what the user gave.
#include <algorithm>
#include <map>

#include "segment/object_names.h"
#include "store/reread.h"
#include "volume/volume.h"

namespace s3crate::volume {
namespace {

// Of a volume with more, the others are got one by one, as they are come to.
constexpr std::size_t kSlotsTogether = 4;
// Keys commits are all needed, but for those that a writer just made.
constexpr std::size_t kKeysCommitsTogether = 64;

// What the user gave, as the keys of slots.
class SlotKeys {
 public:
  SlotKeys(const KeySource& source, const VolumeObject& object)
      : source_(source), object_(object) {}
  SlotKeys(const SlotKeys&) = delete;
  SlotKeys& operator=(const SlotKeys&) = delete;
  ~SlotKeys() {
    if (passphrase_) crypto::wipe(*passphrase_);
  }

  // nullptr: nothing was given that is for such a slot.
  Result<const crypto::Secret*> key_of(const SlotHeader& header) {
    if (header.kind == SlotKind::key_file) return source_.key_file ? &*source_.key_file : nullptr;
    if (header.kind != SlotKind::passphrase) return nullptr;
    if (!asked_ && source_.passphrase && !source_.key_file) passphrase_ = TRY(source_.passphrase());
    asked_ = true;
    if (!passphrase_) return nullptr;
    auto& key = stretched_[{header.cost.operations, header.cost.memory_kib}];
    if (!key) key = TRY(crypto::argon2id(*passphrase_, object_.salt, header.cost));
    return &*key;
  }
  [[nodiscard]] bool has_passphrase() const { return passphrase_.has_value(); }

 private:
  const KeySource& source_;
  const VolumeObject& object_;
  bool asked_ = false;
  std::optional<Bytes> passphrase_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::optional<crypto::Secret>>
      stretched_;  // one Argon2id run per cost
};

}  // namespace

// Slots go together with what load_head() will want: the newest commit, and the keys commits that
// LIST shows copies of.
Result<std::map<std::string, Result<Bytes>>> Volume::get_slots(
    std::span<const std::string> slots, std::span<const Generation> keys_commits) {
  std::map<Generation, int> commits;
  for (Generation g : keys_commits) ++commits[g];
  if (first_listing_ && !first_listing_->page.objects.empty())
    if (auto head = segment::parse_commit_name(first_listing_->page.objects[0].name))
      ++commits[*head];
  std::vector<WantedObject> wanted;
  for (const std::string& name : slots.first(std::min(slots.size(), kSlotsTogether)))
    wanted.push_back({name, kSlotObjectMax});
  const std::size_t n = wanted.size();
  for (const auto& [g, uses] : commits)
    wanted.push_back({segment::commit_name(g), kCommitBytesMax});
  auto got = get_together(env_.executor, store_, wanted);
  TRY(keep_ahead(commits, std::span(got).subspan(n)));
  std::map<std::string, Result<Bytes>> out;
  for (std::size_t i = 0; i < n; ++i) out.emplace(wanted[i].name, std::move(got[i]));
  return out;
}

Result<> Volume::unlock(const KeySource& source, std::span<const store::ObjectInfo> names) {
  std::vector<std::string> slots;
  std::vector<Generation> keys_commits;
  for (const store::ObjectInfo& info : names) {
    if (auto copy = segment::parse_keys_copy_name(info.name)) {
      newest_keys_copy_ = std::max(newest_keys_copy_, *copy);
      if (keys_commits.size() < kKeysCommitsTogether) keys_commits.push_back(*copy);
    }
    if (segment::parse_slot_name(info.name)) slots.push_back(info.name);
  }
  auto ahead = TRY(get_slots(slots, keys_commits));
  SlotKeys keys(source, object_);
  bool any_slot = false;
  for (const std::string& name : slots) {
    Result<Bytes> stored;
    auto header = store::reread(store_, [&]() -> Result<SlotHeader> {
      auto got = ahead.extract(name);
      stored = got ? std::move(got.mapped()) : store_.get(name, kSlotObjectMax);
      if (!stored) return fail(stored.error());
      return parse_slot(*stored);
    });
    if (!stored && !is(stored, Code::kCorrupt) && !is(stored, Code::kNotFound))
      return fail(stored.error());
    if (!header || header->vid != vid_ || header->slot != *segment::parse_slot_name(name))
      continue;  // damaged or foreign: another slot may open
    any_slot = true;
    const crypto::Secret* key = TRY(keys.key_of(*header));
    if (key == nullptr) continue;
    auto unlocked = open_slot(*stored, *key);
    if (is(unlocked, Code::kBadKey) && !store_.caps().local) {
      // The wrong key, or a slot that was damaged on the way.
      unlocked = open_slot(TRY(store_.get(name, kSlotObjectMax)), *key);
    }
    if (is(unlocked, Code::kBadKey)) continue;
    if (!unlocked) return fail(unlocked.error().within(name));
    identity_ = std::make_shared<const Identity>(std::move(unlocked->identity));
    anchor_ = unlocked->anchor;
    return {};
  }
  if (!any_slot) return fail(Code::kCorrupt, "{} holds no usable key slot", store_.describe());
  if (source.key_file)
    return fail(Code::kBadKey, "the key file does not open {}", store_.describe());
  if (keys.has_passphrase())
    return fail(Code::kBadKey, "the passphrase does not open {}", store_.describe());
  return fail(Code::kBadKey,
              "{} needs a key: give --passphrase-file, --passphrase-command or --key-file",
              store_.describe());
}

}  // namespace s3crate::volume
