// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/metered_store.h"

namespace s3crate::store {

std::string_view verb_name(Verb verb) {
  switch (verb) {
    case Verb::put:
      return "put";
    case Verb::get:
      return "get";
    case Verb::get_range:
      return "get_range";
    case Verb::head:
      return "head";
    case Verb::list:
      return "list";
    case Verb::remove:
      return "remove";
  }
  return "unknown";
}

std::uint64_t StoreStats::calls() const {
  std::uint64_t total = 0;
  for (const VerbStats& verb : verbs) total += verb.calls;
  return total;
}

StoreStats MeteredStore::stats() const {
  StoreStats stats;
  for (std::size_t i = 0; i < kVerbs; ++i) {
    const Meter& meter = meters_[i];
    VerbStats& verb = stats.verbs[i];
    verb.calls = meter.latency.count();
    verb.bytes = meter.bytes;
    for (std::size_t code = 0; code < verb.errors.size(); ++code) {
      verb.errors[code] = meter.errors[code];
    }
    verb.p50 = meter.latency.percentile(0.5);
    verb.p99 = meter.latency.percentile(0.99);
  }
  return stats;
}

template <typename Call, typename BytesOf>
auto MeteredStore::measure(Verb verb, Call call, BytesOf bytes_of) -> decltype(call()) {
  Meter& meter = meters_.at(static_cast<std::size_t>(verb));
  MonotonicTime start = clock_.monotonic_now();
  auto result = call();
  meter.latency.add(clock_.monotonic_now() - start);
  if (result) {
    meter.bytes += bytes_of(result);
  } else {
    ++meter.errors.at(static_cast<std::size_t>(result.error().code()));
  }
  return result;
}

Result<> MeteredStore::put(const std::string& name, std::span<const ByteView> parts) {
  std::uint64_t size = 0;
  for (ByteView part : parts) size += part.size();
  return measure(
      Verb::put, [&] { return inner_.put(name, parts); }, [&](const auto&) { return size; });
}

Result<Bytes> MeteredStore::get(const std::string& name, std::uint64_t max_size) {
  return measure(
      Verb::get, [&] { return inner_.get(name, max_size); },
      [](const Result<Bytes>& data) { return data->size(); });
}

Result<> MeteredStore::get_range(const std::string& name, std::uint64_t offset,
                                 MutableByteView out) {
  return measure(
      Verb::get_range, [&] { return inner_.get_range(name, offset, out); },
      [&](const auto&) { return out.size(); });
}

Result<> MeteredStore::get_range_ahead(const std::string& name, std::uint64_t offset,
                                       MutableByteView out) {
  return measure(
      Verb::get_range, [&] { return inner_.get_range_ahead(name, offset, out); },
      [&](const auto&) { return out.size(); });
}

Result<ObjectInfo> MeteredStore::head(const std::string& name) {
  return measure(
      Verb::head, [&] { return inner_.head(name); }, [](const auto&) { return 0; });
}

Result<ListPage> MeteredStore::list(const std::string& prefix, const std::string& start_after,
                                    std::size_t max_keys) {
  return measure(
      Verb::list, [&] { return inner_.list(prefix, start_after, max_keys); },
      [](const auto&) { return 0; });
}

Result<> MeteredStore::remove(const std::string& name) {
  return measure(
      Verb::remove, [&] { return inner_.remove(name); }, [](const auto&) { return 0; });
}

}  // namespace s3crate::store
