// SPDX-License-Identifier: GPL-3.0-or-later
// JSON and metrics are made from one list of figures, so that they never disagree.
#include "cli/report.h"

#include <vector>

#include "base/time_text.h"
#include "config.h"

namespace s3crate::cli {
namespace {

constexpr auto kRateSpan = std::chrono::seconds(5);

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
double seconds(std::uint64_t ns) { return static_cast<double>(ns) / 1e9; }

enum class Kind { kCounter, kGauge };
struct Figure {
  std::string_view group, name;
  Kind kind;
  std::string_view help;
  nlohmann::json value;  // an unsigned integer, or a float for seconds
};

void add_latency(std::vector<Figure>& out, std::string_view group, const device::LatencyStats& l) {
  out.push_back({group, "count", Kind::kCounter, "requests", l.count});
  out.push_back({group, "bytes", Kind::kCounter, "bytes", l.bytes});
  out.push_back({group, "p50_seconds", Kind::kGauge, "median time of a request", seconds(l.p50_ns)});
  out.push_back({group, "p99_seconds", Kind::kGauge, "time that 99 of 100 requests stay below", seconds(l.p99_ns)});
}

std::vector<Figure> figures(const device::Stats& s, const Stack& stack) {
  using enum Kind;
  const store::RetryStats retries = stack.retry_stats();
  std::vector<Figure> out = {
      {"disk", "bytes", kGauge, "size of the disk", s.disk_bytes},
      {"disk", "generation", kGauge, "newest generation", s.generation.value},
      {"disk", "epoch", kGauge, "epoch of this writer", s.epoch},
      {"disk", "uptime_seconds", kGauge, "time since the mount", seconds(s.uptime)},
      {"unsent", "bytes", kGauge, "acknowledged, but not yet in the store", s.unsent_bytes},
      {"unsent", "age_seconds", kGauge, "age of the oldest of them", seconds(s.unsent_age)},
      {"failed_reads", "damaged", kCounter, "reads that ended for damage in the store", s.damaged_reads},
      {"failed_reads", "others", kCounter, "reads that failed for anything else", s.other_failed_reads},
      {"overlay", "bytes", kGauge, "written, but not yet in the journal", s.dirty_bytes},
      {"overlay", "capacity_bytes", kGauge, "how much that may be", s.dirty_max},
      {"overlay", "writer_waits", kCounter, "writes that had to wait for room", s.writer_waits},
      {"journal", "used_bytes", kGauge, "in use", s.journal_used},
      {"journal", "capacity_bytes", kGauge, "room for records", s.journal_capacity},
      {"journal", "syncs", kCounter, "fdatasync calls", s.journal_syncs},
      {"journal", "failed_syncs", kCounter, "of them failed", s.journal_failed_syncs},
      {"journal", "written_bytes", kCounter, "written", s.journal_bytes},
      {"journal", "recovered_batches", kCounter, "batches this mount found in it", s.batches_recovered},
      {"block_cache", "bytes", kGauge, "in use", s.block_cache_bytes},
      {"block_cache", "capacity_bytes", kGauge, "limit", s.block_cache_capacity},
      {"block_cache", "hits", kCounter, "extents found", s.block_cache_hits},
      {"block_cache", "misses", kCounter, "extents fetched", s.block_cache_misses},
      {"read_ahead", "bytes", kCounter, "brought before anybody asked", s.read_ahead_bytes},
      {"read_ahead", "used_bytes", kCounter, "of them asked for later", s.read_ahead_used_bytes},
      {"read_ahead", "wasted_bytes", kCounter, "of them dropped before", s.read_ahead_wasted_bytes},
      {"read_ahead", "unused_bytes", kGauge, "of them still waiting in the block cache", s.read_ahead_unused_bytes},
      {"read_ahead", "streams", kGauge, "readers that it is done for at present", s.read_ahead_streams},
      {"map_cache", "bytes", kGauge, "in use", s.map_cache_bytes},
      {"map_cache", "capacity_bytes", kGauge, "limit", s.map_cache_capacity},
      {"map_cache", "hits", kCounter, "pages found", s.map_cache_hits},
      {"map_cache", "misses", kCounter, "pages fetched", s.map_cache_misses},
      {"map", "delta_runs", kGauge, "changes since the checkpoint, in memory", s.delta_runs},
      {"map", "delta_runs_capacity", kGauge, "limit", s.delta_runs_max},
      {"encoder", "batches", kCounter, "batches", s.batches},
      {"encoder", "extents", kCounter, "extents sealed", s.extents},
      {"encoder", "patches", kCounter, "parts of blocks", s.patches},
      {"encoder", "before_compression_bytes", kCounter, "data before compression", s.bytes_before_compression},
      {"encoder", "after_compression_bytes", kCounter, "data after compression", s.bytes_after_compression},
      {"encoder", "zero_blocks", kCounter, "zero blocks written that became holes", s.zero_blocks},
      {"upload", "segments", kCounter, "segments put", s.segments_put},
      {"upload", "segment_bytes", kCounter, "bytes of segments put", s.segment_bytes_put},
      {"upload", "commits", kCounter, "commits", s.commits},
      {"upload", "checkpoints", kCounter, "checkpoints", s.checkpoints},
      {"upload", "extents_left_out", kCounter, "extents overwritten before they were sent", s.extents_left_out},
      {"store", "retries", kCounter, "calls repeated", retries.retries},
      {"store", "given_up", kCounter, "reads given up after the outage timeout", retries.given_up},
      {"store", "given_up_ahead", kCounter, "reads ahead given up early", retries.given_up_ahead},
      {"store", "waiting", kGauge, "calls that have waited for the store for a second or longer", retries.waiting},
  };
  if (s.cache_file) {
    const cache::CacheFileStats& cache = *s.cache_file;
    out.push_back({"cache_file", "on", kGauge, "1 if there is one, and its disk works", std::uint64_t{cache.on}});
    out.push_back({"cache_file", "bytes", kGauge, "in use", cache.bytes});
    out.push_back({"cache_file", "capacity_bytes", kGauge, "limit", cache.capacity});
    out.push_back({"cache_file", "index_bytes", kGauge, "memory for its index", cache.index_bytes});
    out.push_back({"cache_file", "items", kGauge, "extents and pages in it", cache.items});
    out.push_back({"cache_file", "hits", kCounter, "found in it", cache.hits});
    out.push_back({"cache_file", "hit_bytes", kCounter, "bytes of them", cache.hit_bytes});
    out.push_back({"cache_file", "misses", kCounter, "not found in it", cache.misses});
    out.push_back({"cache_file", "wrong", kCounter, "of them found damaged or overwritten", cache.wrong});
    out.push_back({"cache_file", "admitted", kCounter, "taken in", cache.admitted});
    out.push_back({"cache_file", "admitted_bytes", kCounter, "bytes of them", cache.admitted_bytes});
    out.push_back({"cache_file", "copied_bytes", kCounter, "written once more, to be kept longer", cache.copied_bytes});
    out.push_back({"cache_file", "rejected", kCounter, "not taken in, because its disk was busy or full", cache.rejected});
    out.push_back({"cache_file", "errors", kCounter, "errors of its disk", cache.errors});
  }
  if (const auto connects = stack.connects()) out.push_back({"store", "connects", kCounter, "connections made", *connects});
  if (const auto cache = stack.md5_cache_stats()) {
    out.push_back({"md5_cache", "entries", kGauge, "names remembered", cache->entries});
    out.push_back({"md5_cache", "stale_answers", kCounter, "stale answers caught", cache->stale_answers});
    out.push_back({"md5_cache", "passed_on", kCounter, "reads that stayed so until the time was over", cache->passed_on});
    out.push_back({"md5_cache", "delayed_writes", kCounter, "changes that waited for the least time between two", cache->delayed_writes});
  }
  add_latency(out, "reads", s.reads);
  add_latency(out, "writes", s.writes);
  add_latency(out, "discards", s.discards);
  add_latency(out, "flushes", s.flushes);
  return out;
}

std::uint64_t failures(const store::VerbStats& verb) {
  std::uint64_t sum = 0;
  for (auto count : verb.errors) sum += count;
  return sum - verb.errors_of(Code::kNotFound) - verb.errors_of(Code::kExists);
}

std::string number(const nlohmann::json& value) {
  return value.is_number_float() ? fmt::format("{:.9g}", value.get<double>()) : value.dump();
}

struct Health {
  std::string word, reason;
};
Health health_of(const device::Stats& stats, const Stack& stack) {
  const auto waiting = stack.retry_stats().waiting;
  // What passes is told first.
  if ((stats.health == "ok" || stats.health == "damaged") && waiting > 0) {
    const auto trouble = stack.trouble();
    const auto why = trouble && !trouble->why.empty() ? ": " + trouble->why : std::string();
    return {"store away", fmt::format("{} for the store{}", waiting == 1 ? "1 call waits" : fmt::format("{} calls wait", waiting), why)};
  }
  return {stats.health, stats.health_reason};
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.1f}%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string unsent_text(const device::Stats& stats) {
  auto text = format_bytes(stats.unsent_bytes);
  if (stats.unsent_bytes > 0) text += fmt::format(", oldest {}", format_duration(stats.unsent_age));
  return text;
}

std::string cache_file_text(const cache::CacheFileStats& cache) {
  auto text = fmt::format("{} of {}, {} hits, {} taken in, {} not, {} errors", format_bytes(cache.bytes), format_bytes(cache.capacity),
                          percent(cache.hits, cache.hits + cache.misses), cache.admitted, cache.rejected, cache.errors);
  if (!cache.why_off.empty()) text += fmt::format("{}: {}", cache.on ? "; takes nothing new" : "; off", cache.why_off);
  return text;
}

std::string latency_line(const char* name, const device::LatencyStats& l) {
  return fmt::format("  {:<9} {:>12}  {:>10}   p50 {:>9.3f} ms   p99 {:>9.3f} ms\n", name, l.count, format_bytes(l.bytes),
                     seconds(l.p50_ns) * 1e3, seconds(l.p99_ns) * 1e3);
}

}  // namespace

std::string guarantee(const device::Stats& stats, const MountFacts& facts) {
  if (stats.read_only) return "read-only: nothing is written";
  if (stats.failed) return "nothing is acknowledged any more: see health";
  if (facts.store_durability) return "fsync waits for the store: what it acknowledged survives the loss of this machine";
  if (!stats.durable_locally) return "the journal has failed: fsync waits for the store until the disk is mounted again";
  return fmt::format("fsync survives a crash of this machine; if the machine is lost, so is what is not sent yet: now {} "
                     "(on a line that keeps up at most {}; never more than the journal, {})",
                     unsent_text(stats), format_duration(facts.upload_delay), format_bytes(stats.journal_capacity));
}

std::string losetup_line(const device::Stats& stats, const MountFacts& facts) {
  return fmt::format("losetup --direct-io=on --sector-size 4096 {}--find --show {}", stats.read_only ? "--read-only " : "",
                     facts.disk_path);
}

Reporter::Reporter(Env env, device::Disk& disk, const Stack& stack, MountFacts facts)
    : env_(env), disk_(disk), stack_(stack), facts_(std::move(facts)) {
  older_.at = newer_.at = env_.clock.monotonic_now();
}

void Reporter::sample() {
  const auto now = env_.clock.monotonic_now();
  {
    MutexLock lock(mu_);
    if (now - newer_.at < kRateSpan) return;
  }
  const auto stats = disk_.stats();
  MutexLock lock(mu_);
  older_ = newer_;
  newer_ = {now, stats.reads.bytes, stats.writes.bytes};
}

Reporter::Rates Reporter::rates(const device::Stats& stats) const {
  const auto per_second = [](std::uint64_t bytes, Duration span) {
    return span.count() <= 0 ? 0 : static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds(span));
  };
  const auto now = env_.clock.monotonic_now();
  MutexLock lock(mu_);
  const auto span = now - older_.at;
  return {per_second(stats.reads.bytes - older_.read_bytes, span), per_second(stats.reads.bytes, stats.uptime),
          per_second(stats.writes.bytes - older_.written_bytes, span), per_second(stats.writes.bytes, stats.uptime)};
}

nlohmann::json Reporter::json() const {
  const auto stats = disk_.stats();
  const auto health = health_of(stats, stack_);
  nlohmann::json out = {
      {"url", facts_.url},
      {"mountpoint", facts_.mountpoint},
      {"disk", {{"path", facts_.disk_path}, {"block_size", stats.block_size}, {"read_only", stats.read_only}}},
      {"volume", {{"vid", stats.vid}, {"fingerprint", stats.vid.substr(0, 16)}, {"uuid", stats.uuid}}},
      {"health", health.word},
      {"health_reason", health.reason},
      {"damage", stats.damage},
      {"guarantee", guarantee(stats, facts_)},
      {"losetup", losetup_line(stats, facts_)},
      {"state_dir", facts_.state_dir},
      {"durability", facts_.store_durability ? "store" : "local"},
      {"fsync_survives", stats.read_only || stats.failed ? "nothing written" : stats.durable_locally ? "crash" : "loss of the machine"},
      {"time", format_time(env_.clock.wall_now())},
      {"version", PACKAGE_VERSION},
  };
  for (auto& figure : figures(stats, stack_)) out[std::string(figure.group)][std::string(figure.name)] = figure.value;
  const auto r = rates(stats);
  out["reads"]["bytes_per_second"] = r.read_now;
  out["reads"]["mean_bytes_per_second"] = r.read_mean;
  out["writes"]["bytes_per_second"] = r.write_now;
  out["writes"]["mean_bytes_per_second"] = r.write_mean;
  const auto store = stack_.stats();
  for (std::size_t i = 0; i < store::kVerbs; ++i) {
    const auto verb = static_cast<store::Verb>(i);
    const auto& v = store[verb];
    out["store"]["requests"][std::string(store::verb_name(verb))] = {
        {"count", v.calls}, {"bytes", v.bytes}, {"errors", failures(v)}, {"misses", v.errors_of(Code::kNotFound)},
        {"p50_seconds", seconds(v.p50)}, {"p99_seconds", seconds(v.p99)}};
  }
  return out;
}

std::string Reporter::metrics() const {
  const auto stats = disk_.stats();
  const auto label = fmt::format("volume=\"{}\"", stats.vid.substr(0, 16));
  std::string out;
  const auto type = [&](const std::string& name, Kind kind, std::string_view help) {
    out += fmt::format("# TYPE {} {}\n# HELP {} {}\n", name, kind == Kind::kCounter ? "counter" : "gauge", name, help);
  };
  for (const auto& f : figures(stats, stack_)) {
    const auto name = fmt::format("s3crate_blk_{}_{}", f.group, f.name);
    type(name, f.kind, f.help);
    out += fmt::format("{}{}{{{}}} {}\n", name, f.kind == Kind::kCounter ? "_total" : "", label, number(f.value));
  }
  const auto store = stack_.stats();
  const auto per_verb = [&](const char* name, std::string_view help, auto value) {
    type(name, Kind::kCounter, help);
    for (std::size_t i = 0; i < store::kVerbs; ++i) {
      const auto verb = static_cast<store::Verb>(i);
      out += fmt::format("{}_total{{{},verb=\"{}\"}} {}\n", name, label, store::verb_name(verb), value(store[verb]));
    }
  };
  per_verb("s3crate_blk_store_requests", "requests to the store", [](const auto& v) { return v.calls; });
  per_verb("s3crate_blk_store_bytes", "bytes sent or received", [](const auto& v) { return v.bytes; });
  per_verb("s3crate_blk_store_errors", "requests that failed", [](const auto& v) { return failures(v); });
  return out + "# EOF\n";
}

std::string Reporter::text() const {
  const auto s = disk_.stats();
  const auto retries = stack_.retry_stats();
  const auto health = health_of(s, stack_);
  const auto r = rates(s);
  std::string out;
  const auto line = [&](std::string_view name, const std::string& value) { out += fmt::format("{:<14} {}\n", name, value); };
  line("volume", fmt::format("{}  {}", s.vid.substr(0, 16), facts_.url));
  line("disk", fmt::format("{} in blocks of {}, {}", format_bytes(s.disk_bytes), format_bytes(s.block_size),
                           s.read_only ? "read-only" : "read-write"));
  line("generation", fmt::format("{} (epoch {})", s.generation, s.epoch));
  line("health", health.reason.empty() ? health.word : fmt::format("{}: {}", health.word, health.reason));
  line("uptime", format_duration(s.uptime));
  line("guarantee", guarantee(s, facts_));
  line("unsent", unsent_text(s));
  out += "requests\n";
  out += latency_line("reads", s.reads) + latency_line("writes", s.writes) + latency_line("discards", s.discards) +
         latency_line("flushes", s.flushes);
  line("rates", fmt::format("reads {}/s (mean {}/s), writes {}/s (mean {}/s)", format_bytes(r.read_now),
                            format_bytes(r.read_mean), format_bytes(r.write_now), format_bytes(r.write_mean)));
  line("overlay", fmt::format("{} of {}, {} writes waited", format_bytes(s.dirty_bytes), format_bytes(s.dirty_max), s.writer_waits));
  line("journal", fmt::format("{} of {}, {} written, {} syncs ({} failed), {} batches recovered", format_bytes(s.journal_used),
                              format_bytes(s.journal_capacity), format_bytes(s.journal_bytes), s.journal_syncs,
                              s.journal_failed_syncs, s.batches_recovered));
  line("block cache", fmt::format("{} of {}, {} hits", format_bytes(s.block_cache_bytes), format_bytes(s.block_cache_capacity),
                                  percent(s.block_cache_hits, s.block_cache_hits + s.block_cache_misses)));
  if (s.cache_file) line("cache file", cache_file_text(*s.cache_file));
  line("read-ahead", fmt::format("{} for {} readers, {} used, {} wasted, {} not used yet", format_bytes(s.read_ahead_bytes),
                                 s.read_ahead_streams, format_bytes(s.read_ahead_used_bytes),
                                 format_bytes(s.read_ahead_wasted_bytes), format_bytes(s.read_ahead_unused_bytes)));
  line("map cache", fmt::format("{} of {}, {} hits; {} of {} changed runs", format_bytes(s.map_cache_bytes),
                                format_bytes(s.map_cache_capacity), percent(s.map_cache_hits, s.map_cache_hits + s.map_cache_misses),
                                s.delta_runs, s.delta_runs_max));
  line("encoder", fmt::format("{} to {} ({}), {} extents, {} zero blocks left out", format_bytes(s.bytes_before_compression),
                              format_bytes(s.bytes_after_compression), percent(s.bytes_after_compression, s.bytes_before_compression),
                              s.extents, s.zero_blocks));
  line("upload", fmt::format("{} segments ({}), {} commits, {} checkpoints, {} extents overwritten before", s.segments_put,
                             format_bytes(s.segment_bytes_put), s.commits, s.checkpoints, s.extents_left_out));
  if (const auto cache = stack_.md5_cache_stats()) {
    line("md5 cache", fmt::format("{} names, {} stale answers caught, {} writes delayed", cache->entries, cache->stale_answers,
                                  cache->delayed_writes));
  }
  out += fmt::format("store          {} retries, {} given up, {} waiting", retries.retries, retries.given_up, retries.waiting);
  if (const auto connects = stack_.connects()) out += fmt::format(", {} connections", *connects);
  out += '\n';
  const auto store = stack_.stats();
  for (std::size_t i = 0; i < store::kVerbs; ++i) {
    const auto verb = static_cast<store::Verb>(i);
    const auto& v = store[verb];
    out += fmt::format("  {:<9} {:>12}  {:>10}   p50 {:>9.3f} ms   p99 {:>9.3f} ms   {} errors\n", store::verb_name(verb), v.calls,
                       format_bytes(v.bytes), seconds(v.p50) * 1e3, seconds(v.p99) * 1e3, failures(v));
  }
  return out;
}

}  // namespace s3crate::cli
