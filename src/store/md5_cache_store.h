// SPDX-License-Identifier: GPL-3.0-or-later
// Md5CacheStore: for stores whose reads lag behind their writes. It remembers for a while what was put and removed
// through it, and does not believe answers that say otherwise.
//
//   remembered      a stale answer to get      get_range                   head            list
//   put             not found; another length  not found; too short        not found;      without the name, or with
//                   or MD5                     for what was put            another length  another length
//   removed         any object                 any bytes                   any object      with the name
//
// A stale answer is asked for again, at growing intervals, until it agrees or the time of what is remembered is over;
// then the store's last answer is the truth, whatever it is: an object may really be lost, and that must not be an
// outage. The bytes of a range are compared only if it is the whole object. Of an object over kHashedMax only the length
// is remembered: MD5 costs more than all else that is done with a segment, and under a write-once name other bytes of the
// same length are no older state but damage, which the seals of the content show.
//
// Parts are read of objects that verified commits name, so get_range takes no 404 for the truth before it has stayed one for
// that time, whoever put the object. A lost one is waited for once; and when some in a row are lost, so may be others, and
// nothing is waited for until one is found after all.
//
// What else is not known is not checked: a put or removal without an answer, and changes of one name that overlap (puts
// may: only one of them can win). A name that was taken when it was to be put is remembered as there, with any content.
//
// min_write_delay spaces the changes of one name, from the end of one to the beginning of the next.
//
// Stands above the wrapper that retries: outages are that one's business. After cancel() nothing waits any more: what
// would have waited is kCancelled.
#pragma once

#include <list>
#include <map>
#include <set>

#include "base/executor.h"
#include "crypto/crypto.h"
#include "store/object_store.h"

namespace s3crate::store {

struct Md5CacheOptions {
  std::size_t entries_max = 10'000;  // the oldest is forgotten first
  Duration time = std::chrono::seconds(10);
  Duration min_write_delay{};
};

struct Md5CacheStats {
  std::uint64_t entries = 0;        // now
  std::uint64_t stale_answers = 0;  // withheld and asked for again
  std::uint64_t passed_on = 0;      // reads of one object that ended so, because the time was over
  std::uint64_t delayed_writes = 0;
  std::uint64_t waiting = 0;        // calls that wait now, for either reason
};

class Md5CacheStore final : public ObjectStore {
 public:
  static constexpr std::uint64_t kHashedMax = 1 << 20;
  static constexpr int kLostInARowMax = 8;

  // `inner` must outlive this.
  Md5CacheStore(Env env, ObjectStore& inner, Md5CacheOptions options);
  ~Md5CacheStore() override;

  void cancel();
  [[nodiscard]] Md5CacheStats stats() const;

  using ObjectStore::put;
  [[nodiscard]] Result<> put(const std::string& name, std::span<const ByteView> parts) override;
  [[nodiscard]] Result<Bytes> get(const std::string& name, std::uint64_t max_size) override;
  [[nodiscard]] Result<> get_range(const std::string& name, std::uint64_t offset,
                                   MutableByteView out) override;
  [[nodiscard]] Result<> get_range_ahead(const std::string& name, std::uint64_t offset,
                                         MutableByteView out) override;
  [[nodiscard]] Result<ObjectInfo> head(const std::string& name) override;
  [[nodiscard]] Result<ListPage> list(const std::string& prefix, const std::string& start_after,
                                      std::size_t max_keys) override;
  [[nodiscard]] Result<> remove(const std::string& name) override;
  [[nodiscard]] std::optional<WallTime> store_time() override { return inner_.store_time(); }
  [[nodiscard]] StoreCaps caps() const override { return inner_.caps(); }
  [[nodiscard]] std::string describe() const override { return inner_.describe(); }

 private:
  enum class State { unknown, present, absent };
  struct Content {
    std::optional<std::uint64_t> size;
    std::optional<crypto::Md5> md5;
  };
  struct Entry {
    State state = State::unknown;
    Content content;       // of a present one
    MonotonicTime at{};    // of the last change
    std::uint64_t version = 0;
    MonotonicTime next_write{};
    int writing = 0, removing = 0;  // changes under way; the second are among the first
    bool muddled = false;  // their order decides the outcome, and nobody knows it
    std::list<const std::string*>::iterator place;
  };
  // What one name must look like.
  struct Known {
    State state;
    Content content;
    std::uint64_t version;
    MonotonicTime until;
  };
  using Names = std::map<std::string, Known>;
  enum class Change { put, remove };

  template <typename Call, typename Agrees>
  auto believe(const std::string& name, Call call, Agrees agrees) -> decltype(call());
  template <typename Call>
  [[nodiscard]] Result<> believe_range(const std::string& name, std::uint64_t offset, MutableByteView out, Call call);
  // After a 404: waits, unless the object is known to be lost. Whether to ask again.
  [[nodiscard]] bool may_come(const std::string& name, MonotonicTime give_up, Duration delay);
  void note_found(const std::string& name, bool doubted);
  [[nodiscard]] std::optional<Known> recall(const std::string& name);
  [[nodiscard]] std::optional<Known> known(const Entry& entry) const REQUIRES(mu_);
  [[nodiscard]] Names recall_range(const std::string& prefix, const std::string& start_after);
  [[nodiscard]] Entry& entry_of(const std::string& name) REQUIRES(mu_);  // a new one if there is none
  void touch(Entry& entry) REQUIRES(mu_);  // a change of it
  [[nodiscard]] Result<> begin_write(const std::string& name, Change change);
  void end_write(const std::string& name, Change change, const Result<>& done, Content content);
  // kCancelled if cancelled before or meanwhile.
  [[nodiscard]] Result<> wait_until(MonotonicTime time) REQUIRES(mu_);
  void forget_old() REQUIRES(mu_);

  Clock& clock_;
  ObjectStore& inner_;
  const Md5CacheOptions options_;
  const std::unique_ptr<CondVar> changed_;

  mutable Mutex mu_;
  bool cancelled_ GUARDED_BY(mu_) = false;
  std::map<std::string, Entry> entries_ GUARDED_BY(mu_);
  std::list<const std::string*> order_ GUARDED_BY(mu_);  // by Entry::at, oldest first
  std::uint64_t versions_ GUARDED_BY(mu_) = 0;
  std::set<std::string> lost_ GUARDED_BY(mu_);  // at most entries_max: parts of them were waited for in vain
  int lost_in_a_row_ GUARDED_BY(mu_) = 0;
  Md5CacheStats stats_ GUARDED_BY(mu_);
};

}  // namespace s3crate::store
