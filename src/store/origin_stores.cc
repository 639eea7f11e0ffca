// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/origin_stores.h"

#include <charconv>

namespace s3crate::store {

namespace {
constexpr std::string_view kPrefix = "origins/";
}  // namespace

std::string origin_name(std::uint16_t origin, const std::string& name) {
  return origin == 0 ? name : fmt::format("{}{}/{}", kPrefix, origin, name);
}

// nullopt: the volume's own.
Result<std::optional<OriginStores::Place>> OriginStores::place_of(const std::string& name) const {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::size_t number = 0;
  const char* const begin = name.data() + kPrefix.size();
  const char* const end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(begin, end, number);
  if (error != std::errc() || rest == end || *rest != '/') return std::nullopt;
  if (number == 0 || number > origins_.size()) return fail(Code::kNotFound, "origin {} is not known here", number);
  const Origin& origin = origins_[number - 1];
  if (origin.store == nullptr) return fail(*origin.why);
  return Place{&origin, std::string(rest + 1, end)};
}

template <typename Call>
auto OriginStores::read(const std::string& name, Call call) -> decltype(call(std::declval<ObjectStore&>(), name)) {
  const auto place = TRY(place_of(name));
  if (!place) return call(*own_, name);
  auto answer = call(*place->origin->store, place->name);
  if (!answer) return fail(answer.error().within(place->origin->what));
  return answer;
}

Result<> OriginStores::refuse_change(const std::string& name) const {
  if (TRY(place_of(name))) return fail(Code::kBadArgument, "{} belongs to an origin, which is only read", name);
  return {};
}

Result<> OriginStores::put(const std::string& name, std::span<const ByteView> parts) {
  TRY(refuse_change(name));
  return own_->put(name, parts);
}

Result<> OriginStores::remove(const std::string& name) {
  TRY(refuse_change(name));
  return own_->remove(name);
}

Result<Bytes> OriginStores::get(const std::string& name, std::uint64_t max_size) {
  return read(name, [&](ObjectStore& store, const std::string& its) { return store.get(its, max_size); });
}

Result<> OriginStores::get_range(const std::string& name, std::uint64_t offset, MutableByteView out) {
  return read(name, [&](ObjectStore& store, const std::string& its) { return store.get_range(its, offset, out); });
}

Result<> OriginStores::get_range_ahead(const std::string& name, std::uint64_t offset, MutableByteView out) {
  return read(name, [&](ObjectStore& store, const std::string& its) { return store.get_range_ahead(its, offset, out); });
}

Result<ObjectInfo> OriginStores::head(const std::string& name) {
  auto info = TRY(read(name, [](ObjectStore& store, const std::string& its) { return store.head(its); }));
  info.name = name;
  return info;
}

Result<ListPage> OriginStores::list(const std::string& prefix, const std::string& start_after, std::size_t max_keys) {
  return own_->list(prefix, start_after, max_keys);
}

StoreCaps OriginStores::caps() const {
  StoreCaps caps = own_->caps();
  for (const Origin& origin : origins_) caps.local = caps.local && (origin.store == nullptr || origin.store->caps().local);
  return caps;
}

}  // namespace s3crate::store
