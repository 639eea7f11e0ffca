// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/stack_world.h"

#include "device/head.h"
#include "segment/object_names.h"
#include "tests/sim/watched_disk.h"

namespace s3crate::sim {
namespace {

class HookedStore final : public store::ObjectStore {
 public:
  HookedStore(store::ObjectStore& inner, const Hooks& hooks) : inner_(inner), hooks_(hooks) {}

  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    return around(store::Verb::put, name, [&] { return inner_.put(name, parts); });
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max_size) override {
    return around(store::Verb::get, name, [&] { return inner_.get(name, max_size); });
  }
  Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override {
    return around(store::Verb::get_range, name, [&] { return inner_.get_range(name, offset, out); });
  }
  Result<store::ObjectInfo> head(const std::string& name) override {
    return around(store::Verb::head, name, [&] { return inner_.head(name); });
  }
  Result<store::ListPage> list(const std::string& prefix, const std::string& start_after, std::size_t max_keys) override {
    return around(store::Verb::list, prefix, [&] { return inner_.list(prefix, start_after, max_keys); });
  }
  Result<> remove(const std::string& name) override {
    return around(store::Verb::remove, name, [&] { return inner_.remove(name); });
  }
  std::optional<WallTime> store_time() override { return inner_.store_time(); }
  store::StoreCaps caps() const override { return inner_.caps(); }
  std::string describe() const override { return inner_.describe(); }

 private:
  template <typename Call>
  auto around(store::Verb verb, const std::string& name, Call call) -> decltype(call()) {
    const Watch watch(Watch::Of::harness);
    if (hooks_.before) TRY(hooks_.before(verb, name));
    auto answer = call();
    if (hooks_.after) TRY(hooks_.after(verb, name));
    return answer;
  }
  store::ObjectStore& inner_;
  const Hooks& hooks_;
};

crypto::Secret key_file() { return crypto::Secret::copy_of(Bytes(32, 7)); }

}  // namespace

device::DiskOptions small_options() {
  device::DiskOptions options;
  options.state_dir = "/state";
  options.host = "simulated";
  options.home = {"simulated", "/bucket"};
  options.url = "sim:///bucket";
  options.journal_slot_bytes = 32 << 10;
  options.journal_bytes = (1 << 20) + 8 * (32 << 10);
  options.dirty_max = 48 << 10;
  options.batch_bytes = 16 << 10;
  options.batch_delay = std::chrono::milliseconds(5);
  options.upload_delay = std::chrono::milliseconds(50);
  options.upload_threads = 2;
  options.generations_in_flight = 2;
  options.block_cache_bytes = 64 << 10;
  options.map_cache_bytes = 16 << 10;
  options.cache_file_chunk_bytes = 24 << 10;
  options.cache_file_bytes = 4096 + 10 * options.cache_file_chunk_bytes;
  options.read_ahead_bytes = 0;
  options.segment_bytes = 32 << 10;
  options.checkpoint_runs = 20;
  options.delta_runs_max = 150;
  options.page_bytes = 600;
  return options;
}

// --- Mount -----------------------------------------------------------------------------------------------------------------

struct Mount::Life {
  explicit Life(SimExecutor& executor) : changed(executor.cond_var()) {}
  Mutex mu;
  std::unique_ptr<CondVar> changed;
  Mount* mount = nullptr;  // null: over
};

Mount::Mount(StackWorld& world, SimDisk& disk, device::DiskOptions options)
    : world_(world), machine_(disk), options_(std::move(options)), process_(world.start(disk)) {
  options_.boot.fill(world.boot);
  hooked_ = std::make_unique<HookedStore>(process_->store(), hooks);
  metered_ = std::make_unique<store::MeteredStore>(env().clock, *hooked_);
  retry_ = std::make_unique<store::RetryStore>(env(), *metered_, store::RetryOptions{});
  options_.cancel_store = [retry = retry_.get()] { retry->cancel(); };
  if (options_.log) {
    options_.log = [log = options_.log](const std::string& line) {
      const Watch watch(Watch::Of::harness);
      log(line);
    };
  }
  life_ = std::make_shared<Life>(world.world.executor());
  life_->mount = this;
  waker_ = env().executor.spawn("waker", [this] {
    {
      MutexLock lock(life_->mu);
      while (life_->mount != nullptr && process_->alive()) life_->changed->wait(life_->mu);
    }
    wake();
  });
}

Mount::~Mount() { end(); }

// A dead process has nobody who waits.
void Mount::wake() {
  if (process_->alive()) return;
  retry_->cancel();
  if (disk_) disk_->cancel();
}

void Mount::end() {
  if (!process_) return;
  life_->mount = nullptr;
  life_->changed->notify_all();
  retry_->cancel();
  disk_.reset();
  volume_.reset();
  waker_.reset();
  process_.reset();
}

Result<> Mount::open() {
  volume_ = TRY(world_.open_volume(env(), *retry_, options_.map_cache_bytes));
  disk_ = std::make_unique<WatchedDisk>(TRY([&] {
    const Watch watch(Watch::Of::product);
    return device::Disk::open(env(), process_->file_io(), *volume_, options_);
  }()));
  wake();
  return {};
}

Result<> Mount::close(Duration drain) {
  auto closed = disk_->close(drain);
  end();
  return closed;
}

void Mount::crash(bool power) {
  if (!alive()) return;
  if (power) world_.power_cut(machine_);
  else process_->kill();
  life_->changed->notify_all();
  if (on_crash) on_crash();
}

void Mount::crash_after(std::uint64_t steps, bool power) {
  world_.world.steps().at(world_.world.steps().count() + steps, [life = life_, power] {
    if (life->mount != nullptr) life->mount->crash(power);
  });
}

Result<Bytes> Mount::read(std::uint64_t offset, std::uint64_t length) {
  Bytes out(length);
  TRY(disk_->read(offset, out));
  return out;
}

Result<Bytes> Mount::read_all() { return read(0, disk_->size()); }

// --- StackWorld ------------------------------------------------------------------------------------------------------------

StackWorld::StackWorld(std::uint64_t seed, const StackFormat& format, const ExecutorOptions& executor)
    : world(seed, executor), format_(format) {
  CHECK(crypto::initialise());
}

StackWorld::StackWorld(std::uint64_t seed, const StackFormat& format, const StackImage& image)
    : world(seed), vid(image.vid), boot(image.boot), format_(format), begin_(image.time), formatted_(true) {
  CHECK(crypto::initialise());
  world.disk().restore(image.disk);
  bucket().restore(image.bucket);
}

StackImage StackWorld::image() {
  return {world.disk().image(), bucket().image(), vid, boot, world.executor().monotonic_now()};
}

std::unique_ptr<Process> StackWorld::start(SimDisk& disk) {
  auto process = world.start(disk);
  if (format_.directory) process->keep_objects_in("/store");
  return process;
}

void StackWorld::run(const std::function<void()>& main) {
  world.run([&] {
    if (world.executor().monotonic_now() < begin_) world.executor().sleep_until(begin_);
    if (!formatted_) {
      auto process = start(world.disk());
      volume::CreateOptions create;
      create.disk_bytes = format_.disk_bytes;
      create.extent_bytes = format_.extent_bytes;
      create.single_writer = format_.single_writer;
      volume::SlotRequest slot;
      slot.key_file = key_file();
      auto made = volume::create(process->env(), process->store(), create, {&slot, 1});
      CHECK(made);
      vid = *made;
      formatted_ = true;
      world.steps().failpoints = {};  // here nothing was to fail
    }
    main();
  });
}

void StackWorld::power_cut(SimDisk& disk) {
  world.power_cut(disk);
  ++boot;
}

Result<std::unique_ptr<volume::Volume>> StackWorld::open_volume(Env env, store::ObjectStore& store,
                                                                std::uint64_t page_cache_bytes) const {
  const Watch watch(Watch::Of::product);
  volume::KeySource keys;
  keys.key_file = key_file();
  return volume::Volume::open(env, store, keys, {.expected = vid, .page_cache_bytes = page_cache_bytes});
}

Result<Bytes> StackWorld::read_generation(Env env, store::ObjectStore& store, Generation generation) const {
  auto volume = TRY(open_volume(env, store));
  TRY(volume->load_head());
  volume::Commit commit = TRY(volume->load_commit(generation));
  volume::View view = TRY(volume->load_view(commit));
  volume::ObjectTable objects(env.executor, volume->keys(), volume->pages());
  objects.rebase(view.companions.objects, {});
  for (const segment::ObjectInfo& info : view.new_objects) objects.add(info);
  cache::ExtentCache cache(env.executor, 32 << 10);
  cache::StoreExtentSource source(store, objects, kStackBlock);
  Bytes out(view.disk_bytes);
  device::Gather gather(BlockIndex(0), BlockIndex(out.size() / kStackBlock), kStackBlock, out);
  gather.add_runs(view.changes, {});
  TRY(gather.add_tree(volume->pages(), view.map));
  TRY(gather.finish(cache, source));
  return out;
}

Result<std::vector<std::string>> StackWorld::unneeded(Env env, store::ObjectStore& store, std::span<const Generation> kept) const {
  auto volume = TRY(open_volume(env, store));
  std::vector<volume::Commit> commits{TRY(volume->load_head())};
  const volume::View view = TRY(volume->load_view(commits.front()));
  for (Generation generation : kept) commits.push_back(TRY(volume->load_commit(generation)));
  std::vector<std::pair<segment::ObjectKey, Generation>> dead;
  TRY(volume::tree_scan(volume->pages(), view.companions.liveness, {}, [&](const volume::PageEntry& entry) -> Result<bool> {
    const auto [key, liveness] = TRY(volume::decode_liveness(entry));
    if (liveness.died != Generation(0)) dead.emplace_back(key, liveness.died);
    return true;
  }));
  volume::ObjectTable objects(env.executor, volume->keys(), volume->pages());
  objects.rebase(view.companions.objects, {});
  std::vector<std::string> names;
  for (const auto& [key, when] : dead) {
    const Generation died = when;
    const segment::ObjectInfo info = TRY(objects.find(key));
    if (info.kind == segment::ObjectKind::inline_extents) continue;  // its commit stays
    const bool needed = std::ranges::any_of(commits, [&](const volume::Commit& commit) {
      return volume::is_needed(info.born, died, commit.header.generation, commit.body.checkpoint);
    });
    if (!needed) names.push_back(segment::object_name(info.kind, key.id, info.nonce));
  }
  return names;
}

Result<std::map<std::string, std::vector<segment::Run>>> StackWorld::segments(Env env, store::ObjectStore& store) const {
  auto volume = TRY(open_volume(env, store));
  const volume::View view = TRY(volume->load_view(TRY(volume->load_head())));
  volume::ObjectTable objects(env.executor, volume->keys(), volume->pages());
  objects.rebase(view.companions.objects, {});
  for (const segment::ObjectInfo& info : view.new_objects) objects.add(info);
  device::Gather gather(BlockIndex(0), BlockIndex(view.disk_bytes / kStackBlock), kStackBlock);
  gather.add_runs(view.changes, {});
  TRY(gather.add_tree(volume->pages(), view.map));
  std::map<std::string, std::vector<segment::Run>> out;
  for (const segment::Run& run : gather.stored_runs()) {
    const segment::ObjectInfo info = TRY(objects.find(run.extent.object));
    if (info.kind == segment::ObjectKind::segment) out[segment::object_name(info.kind, info.key.id, info.nonce)].push_back(run);
  }
  return out;
}

std::uint64_t StackWorld::objects(std::string_view prefix) {
  std::uint64_t n = 0;
  for (const std::string& name : bucket().names()) n += name.starts_with(prefix);
  return n;
}

}  // namespace s3crate::sim
