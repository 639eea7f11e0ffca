// SPDX-License-Identifier: GPL-3.0-or-later
// Pages into map objects. An object is put when it is full, under a name that no other writer can
// take: the nonce is random.
#include "base/check.h"
#include "segment/object_names.h"
#include "store/reread.h"
#include "volume/tree.h"

namespace s3crate::volume {

PageWriter::PageWriter(Target target) : target_(std::move(target)) {
  CHECK(target_.object_bytes > 0 &&
        target_.object_bytes + kPagePlainMax <= segment::kObjectBytesMax / 2);
  CHECK(target_.page_bytes > 0 && target_.min_fanout >= 2);
}

Result<> PageWriter::go_on() const {
  if (target_.stopped && target_.stopped()) return fail(Code::kCancelled, "no more pages are wanted");
  return {};
}

Result<PageRef> PageWriter::write(Page page) {
  TRY(go_on());
  if (!id_) {
    id_ = TRY(target_.new_id());
    target_.random.fill(nonce_);
    object_ = encode_map_object_header({.vid = target_.vid, .id = *id_});
  }
  const MapObjectHeader header{.vid = target_.vid, .id = *id_};
  const PageRef ref =
      seal_page(header, nonce_, target_.ring, page, target_.page_key, target_.random, object_);
  pages_.push_back(ref);
  target_.loader.insert(ref, std::make_shared<const Page>(std::move(page)));
  if (object_.size() >= target_.object_bytes) TRY(put_object());
  return ref;
}

Result<std::vector<ObjectInfo>> PageWriter::finish() {
  if (id_) TRY(put_object());
  return std::exchange(written_, {});
}

Result<> PageWriter::put_object() {
  const std::string name = segment::object_name(segment::ObjectKind::map, *id_, nonce_);
  Result<> put = target_.store.put(name, object_);
  if (is(put, Code::kExists)) {
    // An earlier try of a put may have succeeded without our hearing of it: then these are our own
    // bytes.
    TRY(store::reread(target_.store, [&]() -> Result<> {
      if (equal(TRY(target_.store.get(name, object_.size())), object_)) return {};
      return fail(Code::kCorrupt, "{}: the name is taken by other bytes", name);
    }));
  } else if (!put) {
    return put;
  }
  ObjectInfo info;
  info.key = {.origin = 0, .id = *id_};
  info.kind = segment::ObjectKind::map;
  info.nonce = nonce_;
  info.length = object_.size();
  info.hash = crypto::blake2b(object_);
  info.blocks = pages_.size();
  for (const PageRef& page : pages_)
    target_.loader.stored(page, ByteView(object_).subspan(page.offset, page.length));
  pages_.clear();
  written_.push_back(info);
  id_.reset();
  object_.clear();
  return {};
}

}  // namespace s3crate::volume
