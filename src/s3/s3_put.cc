// SPDX-License-Identifier: GPL-3.0-or-later
// Puts, and how the store is known to hold what was sent: it verifies checksums, which is proved once; or its
// ETag is the MD5 of what was sent; or the object is read back.
#include "s3/s3_call.h"
#include "store/arguments.h"

namespace s3crate::s3 {

using store::Verb;

namespace {

constexpr std::string_view kProofText = "Put here by s3crate-blk with the checksum of something else.\n";
constexpr std::string_view kSomethingElse = "something else";

}  // namespace

S3Store::Call S3Store::put_call(const std::string& name, std::span<const ByteView> parts,
                                std::span<const ByteView> summed) const {
  Call call{.verb = Verb::put, .lane = Lane::upload, .method = "PUT", .name = name};
  call.body = parts;
  call.summed = summed;
  call.payload_hash = options_.put_check == PutCheck::md5 ? std::string(kUnsignedPayload)
                                                          : to_hex(crypto::sha256(summed));
  if (conditional_puts_) call.headers.push_back({"If-None-Match", "*"});
  auto add = [&call](std::string_view header, const std::string& value) {
    if (!value.empty()) call.headers.push_back({std::string(header), value});
  };
  add("x-amz-storage-class", options_.storage_class);
  add("x-amz-server-side-encryption", options_.sse);
  add("x-amz-server-side-encryption-aws-kms-key-id", options_.sse_key_id);
  return call;
}

// What else it may answer than that the bytes do not match proves nothing; least of all that the name is taken,
// for then it took it once.
Result<> S3Store::prove_checksums() {
  const ByteView text = as_bytes(kProofText), other = as_bytes(kSomethingElse);
  auto done = ask(put_call(options_.proof_name, {&text, 1}, {&other, 1}));
  if (is(done, Code::kTransient) || is(done, Code::kCancelled)) return fail(done.error());
  checksums_ = is(done, Code::kCorrupt) ? Checksums::verified : Checksums::ignored;
  return {};
}

std::optional<bool> S3Store::verifies_checksums() const {
  const Checksums known = checksums_;
  if (known == Checksums::unknown || options_.proof_name.empty()) return std::nullopt;
  return known == Checksums::verified;
}

// Of a store that verifies nothing: it has what was sent, or the name is taken by other bytes.
Result<> S3Store::check_stored(const Call& call, std::string_view etag) {
  if (etag == fmt::format("\"{}\"", to_hex(crypto::md5(call.body)))) return {};
  std::uint64_t size = 0;
  for (ByteView part : call.body) size += part.size();
  auto stored = get(call.name, size);
  if (is(stored, Code::kNotFound)) return fail(Code::kTransient, "{} is not to be read yet", place(call.name));
  if (!stored && !is(stored, Code::kCorrupt)) return fail(stored.error());
  ByteView rest = stored ? ByteView(*stored) : ByteView();
  bool same = stored && rest.size() == size;
  for (ByteView part : call.body) {
    same = same && equal(rest.first(part.size()), part);
    if (same) rest = rest.subspan(part.size());
  }
  if (same) return {};
  return fail(Code::kExists, "{} holds other bytes than were sent", place(call.name));
}

Result<> S3Store::put(const std::string& name, std::span<const ByteView> parts) {
  TRY(store::check_name(name));
  if (checksums_ == Checksums::unknown) TRY(prove_checksums());
  if (!conditional_puts_) {
    auto taken = head(name);
    if (taken) return fail(Code::kExists, "{} exists", place(name));
    if (!is(taken, Code::kNotFound)) return fail(std::move(taken.error()));
  }
  const Call call = put_call(name, parts, parts);
  const HttpAnswer answer = TRY(ask(call));
  // S3 gives each object one; without it somebody else may have said yes, and nothing is stored.
  const std::string_view etag = answer.header("etag");
  if (etag.empty()) return fail(refusal(call, answer, true, "there is no ETag in it"));
  return checksums_ == Checksums::ignored ? check_stored(call, etag) : Result<>();
}

}  // namespace s3crate::s3
