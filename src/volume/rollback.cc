// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/rollback.h"

#include <algorithm>
#include <tuple>

#include "volume/codec.h"

namespace s3crate::volume {
namespace {

constexpr std::uint16_t kRollbackPoint = 1, kRollbackBelow = 8;  // types of extensions

// A page counts like a block of the object that it is in.
Run counted(const PageRef& page) {
  Run run{.block = {}, .count = 1, .hole = false, .first = 0, .extent = {}};
  run.extent.object = page.object;
  return run;
}

bool before(const PageRef& a, const PageRef& b) {
  return std::tie(a.object, a.offset, a.nonce, a.hash) < std::tie(b.object, b.offset, b.nonce, b.hash);
}

// Level by level, from the roots down: what both have is taken out, together with all below it.
class Switch {
 public:
  Switch(PageLoader& loader, Ledger& ledger, const std::function<bool()>& stopped)
      : loader_(loader), ledger_(ledger), stopped_(stopped) {}

  Result<> run(const MaybeRoot& from, const MaybeRoot& to) {
    const int top = std::max(from ? from->level : 0, to ? to->level : 0);
    for (int level = top; level >= 0; --level) {
      if (from && from->level == level) leaving_.push_back(from->page);
      if (to && to->level == level) coming_.push_back(to->page);
      TRY(one_level(static_cast<std::uint8_t>(level)));
    }
    // What delta pages amend. (What one map has under a delta page, the other may have as a leaf: then it
    // was counted out and in, which comes to the same.)
    return one_level(0);
  }

 private:
  Result<> one_level(std::uint8_t level) {
    take_out_shared();
    const auto leaving = std::exchange(leaving_, {}), coming = std::exchange(coming_, {});
    TRY(each(leaving, level, [&](const PageRef& ref, const Result<PagePtr>& page) -> Result<> {
      if (!page) return {};
      ledger_.forget_page(ref);
      if (level == 0) ledger_.forget_runs(**page);
      return below(**page, leaving_);
    }));
    return each(coming, level, [&](const PageRef& ref, const Result<PagePtr>& page) -> Result<> {
      if (!page) return fail(Code::kCorrupt, "a page of that map is damaged or gone: {}", page.error().message());
      ledger_.add(counted(ref));
      if (level == 0)
        for (const PageEntry& entry : (*page)->entries) ledger_.add(TRY(decode_run(entry)));
      return below(**page, coming_);
    });
  }

  void take_out_shared() {
    std::ranges::sort(leaving_, before);
    std::ranges::sort(coming_, before);
    std::vector<PageRef> only_leaving, only_coming;
    std::ranges::set_difference(leaving_, coming_, std::back_inserter(only_leaving), before);
    std::ranges::set_difference(coming_, leaving_, std::back_inserter(only_coming), before);
    leaving_ = std::move(only_leaving);
    coming_ = std::move(only_coming);
  }

  // The pages in this order, many at a time. An error that may pass ends it.
  Result<> each(std::span<const PageRef> refs, std::uint8_t level,
                const std::function<Result<>(const PageRef&, const Result<PagePtr>&)>& visit) {
    std::size_t looked = 0;
    for (std::size_t i = 0; i < refs.size(); ++i) {
      if (stopped_ && stopped_()) return fail(Code::kCancelled, "no more pages are wanted");
      if (i >= looked) looked = i + std::max<std::size_t>(1, loader_.load_ahead(refs.subspan(i)));
      auto page = loader_.load(refs[i]);
      if (is(page, Code::kTransient) || is(page, Code::kCancelled) || is(page, Code::kDenied)) return fail(page.error());
      if (page && ((*page)->level != level || (*page)->tree != TreeId::map)) page = fail(Code::kCorrupt, "it is another page");
      TRY(visit(refs[i], page));
    }
    return {};
  }

  static Result<> below(const Page& page, std::vector<PageRef>& out) {
    if (page.base) out.push_back(*page.base);
    if (page.level > 0)
      for (const PageEntry& entry : page.entries) out.push_back(TRY(decode_page_ref(entry.value)));
    return {};
  }

  PageLoader& loader_;
  Ledger& ledger_;
  const std::function<bool()>& stopped_;
  std::vector<PageRef> leaving_, coming_;  // of the level that is next
};

}  // namespace

void put_rollback_point(CommitBody& body, Generation point) {
  Extension extension{kRollbackPoint, false, {}};
  ByteWriter(extension.value).u64(point.value);
  segment::replace_extension(body.extensions, std::move(extension));
}

std::optional<Generation> rollback_point(const CommitBody& body) {
  const auto extension = std::ranges::find(body.extensions, kRollbackPoint, &Extension::type);
  if (extension == body.extensions.end() || extension->value.size() != 8) return std::nullopt;
  return Generation(ByteReader(extension->value).u64());
}

void put_rollback_below(CommitBody& body, const RollbackRef& rollback) {
  Extension extension{kRollbackBelow, false, {}};
  ByteWriter writer(extension.value);
  writer.u64(rollback.generation.value);
  writer.u64(rollback.point.value);
  writer.raw(rollback.parent);
  segment::replace_extension(body.extensions, std::move(extension));
}

std::optional<RollbackRef> rollback_below(const CommitBody& body) {
  const auto extension = std::ranges::find(body.extensions, kRollbackBelow, &Extension::type);
  if (extension == body.extensions.end() || extension->value.size() != 16 + sizeof(Hash)) return std::nullopt;
  ByteReader reader(extension->value);
  const Generation generation(reader.u64()), point(reader.u64());
  return RollbackRef{generation, point, reader.array<sizeof(Hash)>()};
}

std::optional<RollbackRef> newest_rollback(const Commit& commit) {
  if (commit.body.kind == CommitKind::rollback && has_checkpoint(commit.body))
    if (const auto point = rollback_point(commit.body)) return RollbackRef{commit.header.generation, *point, commit.header.parent};
  if (is_import(commit.body)) return RollbackRef{commit.header.generation, Generation(commit.header.generation.value - 1), {}};
  return rollback_below(commit.body);
}

Result<> note_switch(PageLoader& loader, const MaybeRoot& from, const MaybeRoot& to, Ledger& ledger,
                     const std::function<bool()>& stopped) {
  return Switch(loader, ledger, stopped).run(from, to);
}

}  // namespace s3crate::volume
