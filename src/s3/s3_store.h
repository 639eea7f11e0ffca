// SPDX-License-Identifier: GPL-3.0-or-later
// S3Store: objects in a bucket of S3 or of what speaks like it. Each call is one try
// (store/retry_store.h makes it patient), signed anew with the store's own time, which every answer
// tells.
//
// Without conditional_puts a put looks first whether the name is free and then hopes, which is
// enough for a volume with a single writer only.
//
// A request is signed and sent a second time at once only if the answer that denied it shows that
// its time was wrong.
//
// A put is done when the store has verified the checksum that came with it. Whether it does is proved
// before the first put, by one that it has to refuse because its checksum is wrong: over https a CRC-32C in place of
// the SHA-256 in the signature, which costs many times as much; if that proves nothing, a SHA-256. The answer to each put with
// a CRC-32C has to repeat it: whoever answers without may not have looked at it. Without a proof, or an echo, the ETag must be the MD5
// of what was sent; or it is read back.
//
// Once S3 has answered here, answers that are not S3's, and servers that cannot prove who they are,
// are an outage (kTransient): something stands in between. Before that they are a mistake (kDenied).
#pragma once

#include <atomic>
#include <optional>

#include "s3/endpoint.h"
#include "s3/errors.h"
#include "s3/http.h"
#include "store/object_store.h"

namespace s3crate::s3 {

// What the store verifies of a body that it gets.
enum class PutCheck {
  unknown,  // to be asked with the next put
  crc32c,   // x-amz-checksum-crc32c; the body itself is not signed, so only over https
  sha256,   // x-amz-content-sha256, signed
  nothing,
};

struct S3Options {
  EndpointOptions endpoint;  // with the bucket
  std::string prefix;        // of all names; without slashes around it; at most 500 bytes
  std::string ca_file;       // PEM, of the authorities to trust; empty: the system's
  std::string user_agent = "s3crate-blk";

  bool conditional_puts = true;
  // The names of the objects that must be refused for their SHA-256 and their CRC-32C; a store that takes one keeps it. Without
  // the first it is not asked, and trusted; without the second SHA-256 it is.
  std::string proof_name, crc32c_proof_name;
  // Sent as they are with each put if not empty: x-amz-storage-class, x-amz-server-side-encryption,
  // x-amz-server-side-encryption-aws-kms-key-id.
  std::string storage_class;
  std::string sse;
  std::string sse_key_id;

  std::uint64_t upload_rate = 0;  // bytes per second, all threads together; 0: no limit
  std::uint64_t download_rate = 0;
  // Requests at once, by lane: read (GET), upload (PUT), meta (HEAD, LIST, DELETE), ahead (GET of
  // what nobody waits for yet).
  std::array<LaneLimits, kLanes> lanes = {LaneLimits{4, 64, 16}, LaneLimits{2, 32, 8},
                                          LaneLimits{2, 16, 4}, LaneLimits{2, 64, 32}};
  Duration connect_timeout = std::chrono::seconds(10);  // over 0
  Duration stall_timeout = std::chrono::seconds(30);    // without a byte; at least 1 s
  // The longest that the store may ask us to stay away with one answer.
  Duration pause_max = std::chrono::minutes(5);
};

class S3Store final : public store::ObjectStore {
 public:
  // kBadArgument. `credentials` must outlive the store.
  [[nodiscard]] static Result<std::unique_ptr<S3Store>> make(Env env, S3Options options,
                                                             CredentialSource& credentials);

  using ObjectStore::put;
  [[nodiscard]] Result<> put(const std::string& name, std::span<const ByteView> parts) override;
  [[nodiscard]] Result<Bytes> get(const std::string& name, std::uint64_t max_size) override;
  [[nodiscard]] Result<> get_range(const std::string& name, std::uint64_t offset,
                                   MutableByteView out) override;
  [[nodiscard]] Result<> get_range_ahead(const std::string& name, std::uint64_t offset,
                                         MutableByteView out) override;
  [[nodiscard]] Result<store::ObjectInfo> head(const std::string& name) override;
  [[nodiscard]] Result<store::ListPage> list(const std::string& prefix,
                                             const std::string& start_after,
                                             std::size_t max_keys) override;
  [[nodiscard]] Result<> remove(const std::string& name) override;
  [[nodiscard]] std::optional<WallTime> store_time() override;
  [[nodiscard]] store::StoreCaps caps() const override;
  [[nodiscard]] std::string describe() const override;  // "s3://bucket/prefix"

  // What the bucket says of itself, as XML (s3/bucket_config.h): GET ?versioning and the like, one
  // try. `permission` is the one that it takes. kNotFound: nothing of that kind is set.
  [[nodiscard]] Result<Bytes> ask_bucket(const std::string& subresource,
                                         std::string_view permission);

  // What the store verifies, as it has been seen to.
  [[nodiscard]] PutCheck put_check() const { return put_check_; }

  // Ends what is under way or waits, as kCancelled. Calls that begin later are not touched.
  void cancel();
  // From now on a put looks and hopes (see above), whatever the options said.
  void without_conditions() { conditional_puts_ = false; }
  [[nodiscard]] LaneCounters counters(Lane lane) const { return http_.counters(lane); }
  [[nodiscard]] int limit(Lane lane) const { return limiter_.limit(lane); }

 private:
  struct Call;
  // How a request was signed.
  struct Signed {
    bool at_all = false;
    WallTime time{};
  };
  struct Date {
    WallTime date;
    BootTime at;
  };
  S3Store(Env env, S3Options options, Endpoint endpoint, CredentialSource& credentials);

  [[nodiscard]] std::string key(std::string_view name) const;
  [[nodiscard]] std::string place(std::string_view name) const;
  [[nodiscard]] std::string place(const Call& call) const;
  // An answer with a status that the call wants.
  [[nodiscard]] Result<HttpAnswer> ask(const Call& call);
  [[nodiscard]] Result<> get_range(Lane lane, const std::string& name, std::uint64_t offset,
                                   MutableByteView out);
  [[nodiscard]] Result<HttpAnswer> try_once(const Call& call, Signed& how);
  [[nodiscard]] Result<HttpRequest> sign(const Call& call, Signed& how);
  void heed(const HttpAnswer& answer);
  [[nodiscard]] Error no_answer(const Error& error) const;
  [[nodiscard]] Error refusal(const Call& call, const HttpAnswer& answer, bool is_signed,
                              std::string_view why = {});
  [[nodiscard]] Error nonsense(const Call& call, std::string_view what) const;
  [[nodiscard]] Result<> take_page(const Call& call, const HttpAnswer& answer,
                                   const std::string& below, std::string& after, std::string& token,
                                   std::size_t max_keys, store::ListPage& page);
  [[nodiscard]] WallTime now();
  [[nodiscard]] Call put_call(PutCheck check, const std::string& name, std::span<const ByteView> parts,
                              std::span<const ByteView> summed) const;
  [[nodiscard]] Result<bool> refuses_wrong(PutCheck check, const std::string& name);
  [[nodiscard]] Result<PutCheck> prove_checksums();
  [[nodiscard]] Result<PutCheck> prove_sha256();
  [[nodiscard]] Result<HttpAnswer> put_stored(const Call& call);
  [[nodiscard]] Result<> put_with_sha256(PutCheck check, const std::string& name, std::span<const ByteView> parts);
  [[nodiscard]] Result<> put_with_crc32c(const std::string& name, std::span<const ByteView> parts);
  [[nodiscard]] Result<> check_stored(const Call& call, std::string_view etag);

  Clock& clock_;
  const S3Options options_;
  std::atomic<bool> conditional_puts_;
  std::atomic<bool> met_s3_ = false;
  std::atomic<PutCheck> put_check_;
  std::atomic<bool> crc32c_taken_ = false;     // a right one was, and repeated
  std::atomic<bool> crc32c_useless_ = false;   // before that one was not
  std::atomic<bool> crc32c_troubled_ = false;  // the proof was in trouble
  const Endpoint endpoint_;
  CredentialSource& credentials_;
  LaneLimiter limiter_;
  RateLimiter up_;
  RateLimiter down_;
  Pacer pacer_;
  Http http_;

  Mutex mu_;
  std::optional<Date> date_ GUARDED_BY(mu_);  // as of the newest answer
};

}  // namespace s3crate::s3
