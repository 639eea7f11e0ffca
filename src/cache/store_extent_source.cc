// SPDX-License-Identifier: GPL-3.0-or-later
// Extents from the cache of sealed ones, else from the store: neighbours in one ranged GET. Each is verified by its own digest and
// seal, wherever it came from, and what came from the store is offered to the cache once it was found sound.
#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"
#include "base/parallel.h"
#include "cache/extent_cache.h"
#include "store/reread.h"

namespace s3crate::cache {
namespace {

std::uint64_t end_of(const ExtentRef& ref) { return std::uint64_t{ref.offset} + ref.length; }

// Reads what belongs to one object.
class ObjectReader {
 public:
  ObjectReader(store::ObjectStore& store, const OpenedObject& object, std::uint32_t block_size,
               SealedCache* cache, BufferPool* buffers, Turns::Place* place = nullptr)
      : store_(store), object_(object), block_size_(block_size), cache_(cache), buffers_(buffers), place_(place) {}

  // One GET. Its error is that of all.
  Result<> get(std::span<const ExtentRef> refs, std::span<Result<PlainExtent>> answers) {
    std::uint64_t end = 0;
    for (const ExtentRef& ref : refs) end = std::max(end, end_of(ref));
    const std::size_t size = end - refs[0].offset;
    static BufferPool keeps_nothing(0);
    BufferPool::Lease memory = (buffers_ != nullptr ? *buffers_ : keeps_nothing).lend(size);
    const MutableByteView stored = memory.view();
    const std::uint64_t offset = object_.base_offset + refs[0].offset;
    Result<> got = place_ != nullptr ? store_.get_range_ahead(object_.name, offset, stored)
                                    : store_.get_range(object_.name, offset, stored);
    std::optional<Turns::Turn> turn;
    if (got && place_ != nullptr && refs.size() >= StoreExtentSource::kTurnMin) turn.emplace(*place_);
    if (!got) std::ranges::fill(answers, Result<PlainExtent>(fail(got.error())));
    for (std::size_t i = 0; got && i < refs.size(); i += crypto::kDigestsAtOnce) {
      const std::size_t n = std::min(crypto::kDigestsAtOnce, refs.size() - i);
      open(refs.subspan(i, n), ByteView(stored), refs[0].offset, answers.subspan(i, n));
    }
    return got;
  }

  Result<PlainExtent> get_one(const ExtentRef& ref) {
    Result<PlainExtent> answer;
    (void)get({&ref, 1}, {&answer, 1});
    return answer;
  }

  // Of one GET's bytes, which begin at `base`.
  void open(std::span<const ExtentRef> refs, ByteView stored, std::uint64_t base, std::span<Result<PlainExtent>> answers) {
    std::array<segment::StoredExtent, crypto::kDigestsAtOnce> sealed;
    for (std::size_t i = 0; i < refs.size(); ++i)
      sealed[i] = {refs[i].number, refs[i].digest, stored.subspan(refs[i].offset - base, refs[i].length)};
    segment::open_extents(object_.key, std::span(sealed).first(refs.size()), block_size_, answers);
    for (std::size_t i = 0; i < refs.size(); ++i) {
      if (!answers[i]) answers[i] = fail(answers[i].error().within(where(refs[i])));
      else if (cache_ != nullptr) cache_->offer(refs[i].digest, sealed[i].stored);
    }
  }

  Result<PlainExtent> open(const ExtentRef& ref, ByteView stored) {
    auto plain = segment::open_extent(object_.key, ref.number, ref.digest, stored, block_size_);
    if (!plain) return fail(plain.error().within(where(ref)));
    return plain;
  }

 private:
  [[nodiscard]] std::string where(const ExtentRef& ref) const { return fmt::format("{}: extent {}", object_.name, ref.number); }

  store::ObjectStore& store_;
  const OpenedObject& object_;
  const std::uint32_t block_size_;
  SealedCache* const cache_;
  BufferPool* const buffers_;
  Turns::Place* const place_;  // of what is read ahead, else null
};

// A share of what there may be.
class TasksOf {
 public:
  TasksOf(std::atomic<std::size_t>& all, std::size_t wanted) : all_(all) {
    const std::size_t before = all_.fetch_add(wanted);
    const std::size_t left = StoreExtentSource::kTasksMax - std::min(before, StoreExtentSource::kTasksMax);
    count_ = std::min(wanted, left);
    all_ -= wanted - count_;
  }
  ~TasksOf() { all_ -= count_; }
  TasksOf(const TasksOf&) = delete;
  TasksOf& operator=(const TasksOf&) = delete;
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  std::atomic<std::size_t>& all_;
  std::size_t count_;
};

}  // namespace

std::size_t StoreExtentSource::in_one_get(std::span<const ExtentRef> refs) {
  std::uint64_t end = end_of(refs[0]);
  std::size_t n = 1;
  for (; n < refs.size() && refs[n].object == refs[0].object; ++n) {
    const ExtentRef& next = refs[n];
    CHECK(next.offset >= refs[n - 1].offset);
    if (next.offset > end && next.offset - end > kGapMax) break;
    const std::uint64_t new_end = std::max(end, end_of(next));
    if (new_end - refs[0].offset > kGetMax) break;
    end = new_end;
  }
  return n;
}

std::vector<Result<PlainExtent>> StoreExtentSource::load(std::span<const ExtentRef> refs) {
  return load(refs, nullptr);
}

std::vector<Result<PlainExtent>> StoreExtentSource::load_ahead(std::span<const ExtentRef> refs, Turns::Place& place) {
  return load(refs, &place);
}

std::vector<Result<PlainExtent>> StoreExtentSource::load(std::span<const ExtentRef> refs,
                                                         Turns::Place* place) {
  if (cache_ == nullptr) return load_stored(refs, place);
  std::vector<Result<PlainExtent>> answers(refs.size());
  const std::vector<std::size_t> missing = load_cached(refs, answers);
  if (missing.size() == refs.size()) return load_stored(refs, place);
  if (missing.empty()) return answers;
  std::vector<ExtentRef> rest;
  rest.reserve(missing.size());
  for (std::size_t at : missing) rest.push_back(refs[at]);
  std::vector<Result<PlainExtent>> stored = load_stored(rest, place);
  for (std::size_t i = 0; i < missing.size(); ++i) answers[missing[i]] = std::move(stored[i]);
  return answers;
}

void StoreExtentSource::was_used(const ExtentRef& ref) {
  if (cache_ != nullptr) cache_->was_used({ref.digest, ref.length});
}

// Answers which it has not got.
std::vector<std::size_t> StoreExtentSource::load_cached(std::span<const ExtentRef> refs,
                                                        std::vector<Result<PlainExtent>>& answers) {
  std::vector<SealedCache::Wanted> wanted;
  wanted.reserve(refs.size());
  for (const ExtentRef& ref : refs) wanted.push_back({ref.digest, ref.length});
  const std::vector<Bytes> found = cache_->find(wanted);
  std::vector<std::size_t> missing;
  Result<std::shared_ptr<const OpenedObject>> object;
  std::optional<ObjectKey> resolved;
  for (std::size_t i = 0; i < refs.size(); ++i) {
    if (found[i].empty()) {
      missing.push_back(i);
      continue;
    }
    if (resolved != refs[i].object) object = resolver_.resolve(refs[i].object);
    resolved = refs[i].object;
    if (!object) {
      answers[i] = fail(object.error());
      continue;
    }
    answers[i] = ObjectReader(store_, **object, block_size_, cache_, buffers_).open(refs[i], found[i]);
    if (answers[i]) continue;
    cache_->was_wrong(wanted[i]);
    missing.push_back(i);
  }
  return missing;
}

// What one GET brings.
void StoreExtentSource::load_range(std::span<const ExtentRef> refs, std::span<Result<PlainExtent>> answers, Turns::Place* place) {
  const auto object = resolver_.resolve(refs[0].object);
  if (!object) {
    std::ranges::fill(answers, Result<PlainExtent>(fail(object.error())));
    return;
  }
  ObjectReader reader(store_, **object, block_size_, cache_, buffers_, place);
  const Result<> got = reader.get(refs, answers);
  if (place != nullptr) return;
  if (refs.size() > 1 && (is(got, Code::kCorrupt) || is(got, Code::kNotFound))) {
    for (std::size_t i = 0; i < refs.size(); ++i) (void)reader.get(refs.subspan(i, 1), answers.subspan(i, 1));
  }
  for (std::size_t i = 0; got && i < refs.size(); ++i)
    answers[i] = store::reread(store_, std::move(answers[i]), [&] { return reader.get_one(refs[i]); });
}

std::vector<Result<PlainExtent>> StoreExtentSource::load_stored(std::span<const ExtentRef> refs, Turns::Place* place) {
  const auto is_sane = [](const ExtentRef& ref) { return ref.length > 0 && ref.length <= segment::kSealedExtentMax; };
  struct Range {
    std::size_t begin, count;
  };
  std::vector<Range> ranges;
  std::uint64_t largest = 1;
  std::vector<Result<PlainExtent>> answers(refs.size());
  for (std::size_t done = 0; done < refs.size();) {
    if (!is_sane(refs[done])) {
      answers[done] = fail(Code::kCorrupt, "extent {}: a length of {} bytes", refs[done].number, refs[done].length);
      ++done;
      continue;
    }
    const auto near = refs.subspan(done, in_one_get(refs.subspan(done)));
    ranges.push_back({done, static_cast<std::size_t>(std::ranges::find_if_not(near, is_sane) - near.begin())});
    done += ranges.back().count;
    largest = std::max(largest, end_of(refs[done - 1]) - refs[ranges.back().begin].offset);
  }
  const auto load = [&](std::size_t i) {
    const auto [begin, count] = ranges[i];
    load_range(refs.subspan(begin, count), std::span(answers).subspan(begin, count), place);
  };
  if (executor_ == nullptr || ranges.size() < 2) {
    for (std::size_t i = 0; i < ranges.size(); ++i) load(i);
    return answers;
  }
  const TasksOf tasks(tasks_, std::min<std::size_t>({ranges.size(), kGetsTogether, std::max<std::uint64_t>(kGetMax / largest, 1)}) - 1);
  parallel(*executor_, ranges.size(), 1 + tasks.count(), load);
  return answers;
}

}  // namespace s3crate::cache
