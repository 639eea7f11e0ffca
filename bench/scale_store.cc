// SPDX-License-Identifier: GPL-3.0-or-later
#include "bench/scale_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <charconv>

#include "base/check.h"
#include "store/arguments.h"

namespace s3crate::bench {
namespace {

using store::covers, store::not_found, store::too_long, store::too_short;

struct Record {
  char name[64];
  std::uint64_t offset;
  std::uint64_t size;
};

int open_file(const std::string& directory) {
  const int fd = directory.empty() ? ::memfd_create("objects", 0)
                                   : ::open(directory.c_str(), O_RDWR | O_TMPFILE, 0600);
  CHECK(fd >= 0);
  return fd;
}

void write_at(int fd, const void* data, std::size_t size, std::uint64_t at) {
  for (const char* from = static_cast<const char*>(data); size > 0;) {
    const auto n = ::pwrite(fd, from, size, static_cast<off_t>(at));
    CHECK(n > 0);
    from += n, at += static_cast<std::uint64_t>(n), size -= static_cast<std::size_t>(n);
  }
}

void read_at(int fd, void* data, std::size_t size, std::uint64_t at) {
  for (char* to = static_cast<char*>(data); size > 0;) {
    const auto n = ::pread(fd, to, size, static_cast<off_t>(at));
    CHECK(n > 0);
    to += n, at += static_cast<std::uint64_t>(n), size -= static_cast<std::size_t>(n);
  }
}

}  // namespace

Kind kind_of(const std::string& name) {
  if (name.starts_with("commits/")) return Kind::commits;
  if (name.starts_with("segments/")) return Kind::segments;
  return name.starts_with("map/") ? Kind::map : Kind::other;
}

ScaleStore::ScaleStore(const std::string& directory)
    : ScaleStore(open_file(directory), open_file(directory), 0, 0) {}

ScaleStore::~ScaleStore() {
  ::close(data_);
  ::close(index_);
}

std::string ScaleStore::handed_on() {
  MutexLock lock(mu_);
  CHECK(indexed_ == 0);
  std::vector<Record> records;
  std::uint64_t at = 0;
  const auto flush = [&] {
    write_at(index_, records.data(), records.size() * sizeof(Record), at * sizeof(Record));
    at += records.size();
    records.clear();
  };
  for (const auto& [name, place] : fresh_) {
    Record record{{}, place.offset, place.size};
    CHECK(name.size() < sizeof record.name);
    name.copy(record.name, name.size());
    records.push_back(record);
    if (records.size() == 10'000) flush();
  }
  flush();
  return fmt::format("{},{},{},{}", data_, index_, at, end_);
}

std::unique_ptr<ScaleStore> ScaleStore::take(const std::string& handed_on) {
  std::array<std::uint64_t, 4> numbers{};
  const char* at = handed_on.c_str();
  for (auto& number : numbers)
    at = std::from_chars(at, handed_on.c_str() + handed_on.size(), number).ptr + 1;
  return std::unique_ptr<ScaleStore>(new ScaleStore(
      static_cast<int>(numbers[0]), static_cast<int>(numbers[1]), numbers[2], numbers[3]));
}

PutCounts ScaleStore::counts() {
  MutexLock lock(mu_);
  return counts_;
}

std::uint64_t ScaleStore::stored_bytes() {
  MutexLock lock(mu_);
  return end_;
}

std::pair<std::string, ScaleStore::Place> ScaleStore::indexed_at(std::uint64_t i) const {
  Record record;
  read_at(index_, &record, sizeof record, i * sizeof record);
  return {record.name, {record.offset, record.size}};
}

std::uint64_t ScaleStore::first_not_below(const std::string& name) const {
  std::uint64_t from = 0, to = indexed_;
  while (from < to) {
    const std::uint64_t middle = from + (to - from) / 2;
    if (indexed_at(middle).first < name)
      from = middle + 1;
    else
      to = middle;
  }
  return from;
}

Result<ScaleStore::Place> ScaleStore::find(const std::string& name) {
  {
    MutexLock lock(mu_);
    if (auto it = fresh_.find(name); it != fresh_.end()) return it->second;
  }
  const std::uint64_t at = first_not_below(name);
  if (at == indexed_) return not_found(name);
  auto [found, place] = indexed_at(at);
  if (found != name) return not_found(name);
  return place;
}

Result<> ScaleStore::put(const std::string& name, std::span<const ByteView> parts) {
  const bool there = find(name).has_value();
  const Kind kind = kind_of(name);
  Place place;
  for (const ByteView part : parts) place.size += part.size();
  {
    MutexLock lock(mu_);
    if (there || fresh_.contains(name)) return fail(Code::kExists, "object {} exists", name);
    place.offset = end_;
    if (kind == Kind::segments && !keep_segments)
      place.offset = kDropped;
    else
      end_ += place.size;
    auto& count = counts_[static_cast<std::size_t>(kind)];
    count.puts += 1;
    count.bytes += place.size;
  }
  if (place.offset != kDropped) {
    std::uint64_t at = place.offset;
    for (const ByteView part : parts) {
      write_at(data_, part.data(), part.size(), at);
      at += part.size();
    }
  }
  MutexLock lock(mu_);
  fresh_.emplace(name, place);
  return {};
}

Result<Bytes> ScaleStore::get(const std::string& name, std::uint64_t max_size) {
  const Place place = TRY(find(name));
  if (place.size > max_size) return too_long(name, place.size, max_size);
  Bytes out(place.size);
  TRY(read(name, 0, out));
  return out;
}

Result<> ScaleStore::get_range(const std::string& name, std::uint64_t offset, MutableByteView out) {
  return read(name, offset, out);
}

Result<> ScaleStore::read(const std::string& name, std::uint64_t offset, MutableByteView out) {
  const Place place = TRY(find(name));
  if (!covers(place.size, offset, out.size()))
    return too_short(name, place.size, offset, out.size());
  if (place.offset == kDropped) return fail(Code::kDenied, "object {} was not kept", name);
  read_at(data_, out.data(), out.size(), place.offset + offset);
  return {};
}

Result<store::ObjectInfo> ScaleStore::head(const std::string& name) {
  return store::ObjectInfo{name, TRY(find(name)).size};
}

Result<store::ListPage> ScaleStore::list(const std::string& prefix, const std::string& start_after,
                                         std::size_t max_keys) {
  store::ListPage page;
  const bool after = start_after >= prefix && !start_after.empty();
  const std::string& from = after ? start_after : prefix;
  std::uint64_t at = first_not_below(from);
  MutexLock lock(mu_);
  auto fresh = fresh_.lower_bound(from);
  for (;;) {
    std::pair<std::string, Place> next;
    if (at < indexed_) next = indexed_at(at);
    const bool from_fresh = fresh != fresh_.end() && (at == indexed_ || fresh->first < next.first);
    if (from_fresh) next = *fresh;
    if (!from_fresh && at == indexed_) break;
    if (!next.first.starts_with(prefix)) break;
    if (page.objects.size() == max_keys) {
      page.more = true;
      break;
    }
    if (!after || next.first != start_after) page.objects.push_back({next.first, next.second.size});
    if (from_fresh)
      ++fresh;
    else
      ++at;
  }
  return page;
}

Result<> ScaleStore::remove(const std::string&) {
  return fail(Code::kDenied, "nothing is removed here");
}

}  // namespace s3crate::bench
