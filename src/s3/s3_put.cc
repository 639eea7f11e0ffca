// SPDX-License-Identifier: GPL-3.0-or-later
// Puts, and how the store is known to hold what was sent: it verifies checksums of one kind or the other, which is proved once; or
// its ETag is the MD5 of what was sent; or the object is read back.
#include <array>

#include "base/crc32c.h"
#include "s3/s3_call.h"
#include "store/arguments.h"

namespace s3crate::s3 {

using store::Verb;

namespace {

constexpr std::string_view kProofText = "Put here by s3crate-blk with the checksum of something else.\n";
constexpr std::string_view kSomethingElse = "something else";
constexpr std::string_view kCrc32cHeader = "x-amz-checksum-crc32c";

// As S3 has it: the most significant byte first.
std::string crc32c_base64(std::span<const ByteView> parts) {
  std::uint32_t crc = 0;
  for (ByteView part : parts) crc = crc32c(part, crc);
  const std::array<std::uint8_t, 4> bytes = {static_cast<std::uint8_t>(crc >> 24), static_cast<std::uint8_t>(crc >> 16),
                                             static_cast<std::uint8_t>(crc >> 8), static_cast<std::uint8_t>(crc)};
  return base64(bytes);
}

}  // namespace

S3Store::Call S3Store::put_call(PutCheck check, const std::string& name, std::span<const ByteView> parts,
                                std::span<const ByteView> summed) const {
  Call call{.verb = Verb::put, .lane = Lane::upload, .method = "PUT", .name = name};
  call.body = parts;
  call.summed = summed;
  if (check == PutCheck::crc32c) {
    call.payload_hash = kUnsignedPayload;
    call.crc32c = crc32c_base64(summed);
    call.headers.push_back({std::string(kCrc32cHeader), call.crc32c});
    call.headers.push_back({"x-amz-sdk-checksum-algorithm", "CRC32C"});  // without it Ceph 19 overlooks the one before
  } else {
    call.payload_hash = to_hex(crypto::sha256(summed));
  }
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
Result<bool> S3Store::refuses_wrong(PutCheck check, const std::string& name) {
  const ByteView text = as_bytes(kProofText), other = as_bytes(kSomethingElse);
  Refusal refusal;
  Call call = put_call(check, name, {&text, 1}, {&other, 1});
  call.refusal = &refusal;
  auto done = ask(call);
  if (is(done, Code::kTransient) || is(done, Code::kCancelled)) return fail(done.error());
  return !done && says_wrong_checksum(refusal);
}

// There are stores in trouble about a checksum that they do not know, or that is wrong: so trouble with one proof leads to the other. The
// first time for one put alone, as it may have been the trouble of a moment.
Result<PutCheck> S3Store::prove_checksums() {
  PutCheck found = PutCheck::unknown;
  bool for_now = false;
  if (endpoint_.tls() && !options_.crc32c_proof_name.empty() && !crc32c_useless_) {
    const auto refused = refuses_wrong(PutCheck::crc32c, options_.crc32c_proof_name);
    if (is(refused, Code::kCancelled)) return fail(refused.error());
    if (refused && *refused) found = PutCheck::crc32c;
    for_now = !refused && !crc32c_troubled_.exchange(true);
  }
  if (found == PutCheck::unknown) found = TRY(prove_sha256());
  PutCheck before = PutCheck::unknown;
  return for_now || put_check_.compare_exchange_strong(before, found) ? found : before;
}

Result<PutCheck> S3Store::prove_sha256() {
  return TRY(refuses_wrong(PutCheck::sha256, options_.proof_name)) ? PutCheck::sha256 : PutCheck::nothing;
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

// S3 gives each object an ETag; without it somebody else may have said yes, and nothing is stored.
Result<HttpAnswer> S3Store::put_stored(const Call& call) {
  HttpAnswer answer = TRY(ask(call));
  if (answer.header("etag").empty()) return fail(refusal(call, answer, true, "there is no ETag in it"));
  return answer;
}

Result<> S3Store::put_with_sha256(PutCheck check, const std::string& name, std::span<const ByteView> parts) {
  const Call call = put_call(check, name, parts, parts);
  const HttpAnswer answer = TRY(put_stored(call));
  return check == PutCheck::nothing ? check_stored(call, answer.header("etag")) : Result<>();
}

Result<> S3Store::put_with_crc32c(const std::string& name, std::span<const ByteView> parts) {
  Refusal refusal;
  Call call = put_call(PutCheck::crc32c, name, parts, parts);
  call.refusal = &refusal;
  const auto answer = put_stored(call);
  if (answer) {
    if (answer->header(kCrc32cHeader) == call.crc32c) {
      crc32c_taken_ = true;
      return {};
    }
    if (!crc32c_taken_) {
      crc32c_useless_ = true;
      put_check_ = PutCheck::unknown;
    }
    return check_stored(call, answer->header("etag"));
  }
  if (is(answer, Code::kTransient) || (refusal.status != 400 && refusal.status != 501)) return fail(answer.error());
  // It refuses what is right as well: it has another idea of a CRC-32C, or wants bodies to be signed. Once one was taken it is
  // another front end that does, or damage on the way: that is for this put alone.
  const PutCheck other = TRY(prove_sha256());
  auto done = put_with_sha256(other, name, parts);
  if (!crc32c_taken_ && (done || is(done, Code::kExists))) {
    crc32c_useless_ = true;
    put_check_ = other;
  }
  return done;
}

Result<> S3Store::put(const std::string& name, std::span<const ByteView> parts) {
  TRY(store::check_name(name));
  PutCheck check = put_check_;
  if (check == PutCheck::unknown) check = TRY(prove_checksums());
  if (!conditional_puts_) {
    auto taken = head(name);
    if (taken) return fail(Code::kExists, "{} exists", place(name));
    if (!is(taken, Code::kNotFound)) return fail(std::move(taken.error()));
  }
  return check == PutCheck::crc32c ? put_with_crc32c(name, parts) : put_with_sha256(check, name, parts);
}

}  // namespace s3crate::s3
