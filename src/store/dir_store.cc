// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/dir_store.h"

#include <algorithm>

#include "store/arguments.h"

namespace s3crate::store {
namespace {

// How often a put starts again when its temporary file or its directory is deleted under its hands.
constexpr int kPutAttempts = 5;
// Objects so large do not stay in the page cache.
constexpr std::uint64_t kDroppedMin = 1 << 20;

std::string_view parent_name(std::string_view name) {
  std::size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : name.substr(0, slash);
}

std::string directory_above(const std::string& path) {
  std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string without_slashes_at_end(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Error store_error(Error error) {
  switch (error.code()) {
    case Code::kNoSpace:
    case Code::kIo:
      return {Code::kTransient, error.message()};
    default:
      return error;
  }
}

template <typename T>
Result<T> store_result(Result<T> result) {
  if (!result) return fail(store_error(std::move(result.error())));
  return result;
}

}  // namespace

// Locked, and gone with its name when done with; the bytes stay if they were linked to another.
struct DirStore::TempFile {
  TempFile(io::FileIo& files, std::string path, std::unique_ptr<io::File> file)
      : files(files), path(std::move(path)), file(std::move(file)) {}
  ~TempFile() { static_cast<void>(files.remove(path)); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  io::FileIo& files;
  const std::string path;
  const std::unique_ptr<io::File> file;
};

struct DirStore::Query {
  const std::string& prefix;
  const std::string& start_after;
  std::size_t limit;
  std::vector<std::string> names;

  [[nodiscard]] bool wants_object(const std::string& name) const {
    return name.starts_with(prefix) && name > start_after && is_valid_object_name(name);
  }
  // Whether names that begin with `dir` (which ends in a slash) may be wanted.
  [[nodiscard]] bool wants_directory(const std::string& dir) const {
    return (dir.starts_with(prefix) || prefix.starts_with(dir)) &&
           (dir > start_after || start_after.starts_with(dir)) &&
           is_valid_object_name(std::string_view(dir).substr(0, dir.size() - 1));
  }
};

DirStore::DirStore(io::FileIo& files, Random& random, std::string root)
    : files_(files), random_(random), root_(without_slashes_at_end(std::move(root))) {}

std::string DirStore::path_of(std::string_view name) const {
  return name.empty() ? root_ : fmt::format("{}/{}", root_, name);
}

std::string DirStore::directory_of(const std::string& name) const {
  return path_of(parent_name(name));
}

Result<> DirStore::check_not_away() {
  if (!seen_objects_) return {};
  auto entries = files_.list(root_);
  if (is(entries, Code::kNotFound) || (entries && entries->empty())) {
    return fail(Code::kTransient, "the objects in {} are gone: is its filesystem mounted?", root_);
  }
  if (!entries) return fail(store_error(std::move(entries.error())));
  return {};
}

// ---- Writing ------------------------------------------------------------------------------------

Result<> DirStore::put(const std::string& name, std::span<const ByteView> parts) {
  TRY(check_name(name));
  for (int attempt = 0; attempt < kPutAttempts; ++attempt) {
    Result<> done = put_once(name, parts);
    if (done) seen_objects_ = true;
    // Another process took our temporary file for a leftover before we had it locked, or somebody
    // deleted a directory: what we know of them is out of date.
    if (is(done, Code::kNotFound)) {
      MutexLock lock(mu_);
      prepared_ = false;
      durable_.clear();
      continue;
    }
    return store_result(std::move(done));
  }
  return fail(Code::kTransient, "cannot store {}: files in {} are deleted by others", name, root_);
}

// kNotFound: start again.
Result<> DirStore::put_once(const std::string& name, std::span<const ByteView> parts) {
  TRY(prepare());
  // Before the object's directories, so that these are not made where a filesystem is about to be
  // mounted.
  std::unique_ptr<TempFile> temp = TRY(make_temp());
  TRY(make_parents_durable(name));
  io::WriteOp all{0, parts};
  TRY(temp->file->write({&all, 1}, io::Sync::yes));
  std::uint64_t size = 0;
  for (const ByteView part : parts) size += part.size();
  // Whoever reads what was just written finds it above: in the memory of a filesystem on the disk, or in the block cache.
  if (size >= kDroppedMin) temp->file->drop_cached(0, size);
  Result<> linked = files_.link(temp->path, path_of(name));
  // A name that is taken may be so by a process that was killed before it could sync: whoever is
  // told kExists may conclude that its own object is stored, so it must be durable as well.
  if (linked || is(linked, Code::kExists)) TRY(files_.sync_directory(directory_of(name)));
  if (is(linked, Code::kExists)) return fail(Code::kExists, "object {} exists", name);
  return linked;
}

Result<> DirStore::prepare() {
  {
    MutexLock lock(mu_);
    if (prepared_) return {};
  }
  TRY(check_not_away());
  TRY(files_.make_directories(path_of(kTempDir)));
  // The root may have been made by a process that was killed before it could sync its name. Who may
  // not look into the directory above did not make it either.
  auto parent_synced = files_.sync_directory(directory_above(root_));
  if (!parent_synced && !is(parent_synced, Code::kDenied)) return parent_synced;
  // Once only: puts that start again because of each other's clearing must not clear once more.
  if (!cleared_.exchange(true)) clear_leftovers();
  MutexLock lock(mu_);
  prepared_ = true;
  return {};
}

// Whatever fails here is left for the next process.
void DirStore::clear_leftovers() {
  auto entries = files_.list(path_of(kTempDir));
  if (!entries) return;
  for (const io::DirectoryEntry& entry : *entries) {
    if (entry.is_directory) continue;
    std::string path = fmt::format("{}/{}/{}", root_, kTempDir, entry.name);
    auto file = files_.open(path, io::OpenMode::read_write);
    if (file && (*file)->lock()) static_cast<void>(files_.remove(path));
  }
}

Result<std::unique_ptr<DirStore::TempFile>> DirStore::make_temp() {
  std::string path = fmt::format("{}/{}/{}", root_, kTempDir, to_hex(random_.array<16>()));
  auto file = TRY(files_.open(path, io::OpenMode::create_new));
  auto temp = std::make_unique<TempFile>(files_, path, std::move(file));
  // If this fails, either the filesystem has no locks, and nobody clears anything; or a process
  // that clears leftovers was faster, and link() will not find the file.
  static_cast<void>(temp->file->lock());
  return temp;
}

// A directory that we find, and what is in it, may have been put there by a process that was killed
// before it could sync the name; so all on the way down to a new object is synced before it, once by
// every process, and again after each list(): what was seen there must not vanish in a power cut that
// leaves what stands on it.
Result<> DirStore::make_parents_durable(const std::string& name) {
  std::string_view parent = parent_name(name);
  if (parent.empty()) return {};
  std::uint64_t lists = 0;
  {
    MutexLock lock(mu_);
    if (durable_.contains(parent)) return {};
    lists = lists_;
  }
  TRY(files_.make_directories(path_of(parent)));
  TRY(files_.sync_directory(path_of(parent)));
  for (std::string_view dir = parent; !dir.empty(); dir = parent_name(dir)) {
    TRY(files_.sync_directory(path_of(parent_name(dir))));
  }
  MutexLock lock(mu_);
  if (lists == lists_) durable_.emplace(parent);
  return {};
}

Result<> DirStore::remove(const std::string& name) {
  auto file = open_object(name);
  if (!file && !is(file, Code::kNotFound)) return fail(std::move(file.error()));
  if (file) {
    auto removed = files_.remove(path_of(name));
    if (!removed && !is(removed, Code::kNotFound)) return store_result(std::move(removed));
    seen_objects_ = false;  // if that was the last one, an empty directory is as it should be
  }
  auto synced = files_.sync_directory(directory_of(name));
  if (!synced && !is(synced, Code::kNotFound) && !is(synced, Code::kBadArgument)) {
    return store_result(std::move(synced));
  }
  return {};
}

// ---- Reading ------------------------------------------------------------------------------------

Result<std::unique_ptr<io::File>> DirStore::open_object(const std::string& name) {
  TRY(check_name(name));
  auto file = files_.open(path_of(name), io::OpenMode::read_only);
  if (file) {
    seen_objects_ = true;
    return file;
  }
  // kBadArgument: a directory, below a file, or too long for this filesystem: no object either way.
  if (!is(file, Code::kNotFound) && !is(file, Code::kBadArgument)) {
    return fail(store_error(std::move(file.error())));
  }
  TRY(check_not_away());
  return not_found(name);
}

Result<Bytes> DirStore::get(const std::string& name, std::uint64_t max_size) {
  std::unique_ptr<io::File> file = TRY(open_object(name));
  std::uint64_t size = TRY(store_result(file->size()));
  if (size > max_size) return too_long(name, size, max_size);
  Bytes data(size);
  TRY(store_result(file->read_at(0, data)));
  return data;
}

Result<> DirStore::get_range(const std::string& name, std::uint64_t offset, MutableByteView out) {
  std::unique_ptr<io::File> file = TRY(open_object(name));
  std::uint64_t size = TRY(store_result(file->size()));
  if (!covers(size, offset, out.size())) return too_short(name, size, offset, out.size());
  return store_result(file->read_at(offset, out));
}

Result<ObjectInfo> DirStore::head(const std::string& name) {
  std::unique_ptr<io::File> file = TRY(open_object(name));
  const std::uint64_t size = TRY(store_result(file->size()));
  return ObjectInfo{name, size};
}

Result<ListPage> DirStore::list(const std::string& prefix, const std::string& start_after,
                                std::size_t max_keys) {
  TRY(check_max_keys(max_keys));
  // The deepest directory that holds all names with this prefix.
  std::string base = prefix.substr(0, prefix.rfind('/') + 1);
  if (!base.empty() && !is_valid_object_name(std::string_view(base).substr(0, base.size() - 1))) {
    return ListPage{};
  }
  std::string after = start_after;
  for (;;) {
    Query query{prefix, after, max_keys + 1, {}};
    TRY(walk(base, query));
    if (query.names.empty()) TRY(check_not_away());
    {
      MutexLock lock(mu_);
      durable_.clear();
      ++lists_;
    }
    ListPage page;
    page.more = query.names.size() > max_keys;
    if (page.more) query.names.pop_back();
    for (std::string& name : query.names) {
      auto info = head(name);
      if (info) page.objects.push_back(std::move(*info));
      // Removed meanwhile.
      if (!info && !is(info, Code::kNotFound)) return fail(std::move(info.error()));
    }
    // A caller goes on after the last name, so a page that says "more" has one.
    if (!page.objects.empty() || !page.more) return page;
    after = query.names.back();
  }
}

// Collects names below `dir`, which is empty or ends in a slash, in byte order.
Result<> DirStore::walk(const std::string& dir, Query& query) {
  auto entries = files_.list(path_of(std::string_view(dir).substr(0, dir.size() - !dir.empty())));
  if (is(entries, Code::kNotFound) || is(entries, Code::kBadArgument)) return {};
  if (!entries) return fail(store_error(std::move(entries.error())));
  // What lies in a directory is named with the slash: "a-" < "a/b" < "a0".
  for (io::DirectoryEntry& entry : *entries) {
    if (entry.is_directory) entry.name += '/';
  }
  std::ranges::sort(*entries, {}, &io::DirectoryEntry::name);
  for (const io::DirectoryEntry& entry : *entries) {
    if (query.names.size() == query.limit) return {};
    std::string name = dir + entry.name;
    if (entry.is_directory) {
      if (query.wants_directory(name)) TRY(walk(name, query));
    } else if (query.wants_object(name)) {
      query.names.push_back(std::move(name));
    }
  }
  return {};
}

}  // namespace s3crate::store
