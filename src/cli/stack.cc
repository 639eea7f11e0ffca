// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/stack.h"

#include <cstdlib>

#include "cli/files.h"
#include "cli/keys.h"
#include "cli/process.h"
#include "io/file_io.h"
#include "s3/credential_chain.h"
#include "s3/settings.h"
#include "segment/object_names.h"

namespace s3crate::cli {

namespace {

// What a command that does not wait for an outage gives a request over the network.
constexpr Duration kShortPatience = std::chrono::seconds(20);

const char* environment(const char* name) { return std::getenv(name); }

// Empty if it was not given, or is none of this command's.
std::string given(const Arguments& arguments, std::string_view option) {
  return arguments.has(option) ? arguments.text(option) : std::string();
}

bool is_set(const Arguments& arguments, std::string_view flag) { return arguments.has(flag) && arguments.flag(flag); }

}  // namespace

Result<> Stack::make_s3(Env env, const Url& url, const Arguments& arguments, Duration patience) {
  const auto files = TRY(s3::SharedFiles::load(io::posix_file_io(), environment, given(arguments, "profile")));
  const s3::GivenSettings named = {.endpoint = given(arguments, "endpoint"), .region = given(arguments, "region"),
                                   .ca_file = given(arguments, "ca-file"), .path_style = is_set(arguments, "path-style"),
                                   .virtual_host = is_set(arguments, "virtual-host")};
  const s3::Settings settings = TRY(s3::resolve_settings(named, environment, files));
  s3::S3Options options;
  options.endpoint = {.url = settings.url, .region = settings.region, .bucket = url.bucket, .style = settings.style,
                      .insecure_http = is_set(arguments, "insecure-http")};
  auto endpoint = s3::Endpoint::make(options.endpoint);
  if (!endpoint) return fail(settings.url_from.empty() ? endpoint.error() : endpoint.error().within(settings.url_from));
  options.prefix = url.prefix;
  options.ca_file = settings.ca_file;
  options.proof_name = segment::kChecksumProofName;
  options.crc32c_proof_name = segment::kCrc32cProofName;
  options.conditional_puts = !is_set(arguments, "single-writer");
  options.storage_class = given(arguments, "storage-class");
  options.sse = given(arguments, "sse");
  options.sse_key_id = given(arguments, "sse-key-id");
  options.pause_max = std::min(options.pause_max, patience);
  if (arguments.has("max-upload-rate")) options.upload_rate = arguments.size("max-upload-rate");
  if (arguments.has("max-download-rate")) options.download_rate = arguments.size("max-download-rate");
  credentials_ = is_set(arguments, "anonymous") ? s3::make_anonymous() : s3::make_credential_chain(environment, files);
  const auto who = TRY(credentials_->get());
  s3_ = TRY(s3::S3Store::make(env, options, *credentials_));
  home_ = {endpoint->machine(), url.bucket, url.prefix};
  s3_place_ = {.endpoint = endpoint->text(), .region = endpoint->region(), .virtual_host = endpoint->virtual_host(),
               .access_key = who ? who->access_key : std::string(), .keys_from = credentials_->where()};
  return {};
}

Result<std::unique_ptr<Stack>> Stack::make(Env env, const Url& url, const Arguments& arguments, Outage outage,
                                           Duration outage_timeout) {
  auto stack = TRY(build(env, url, arguments, outage, outage_timeout));
  stack->outage_ = outage;
  stack->outage_timeout_ = outage_timeout;
  stack->front_.emplace(*stack->top_);
  return stack;
}

Result<std::unique_ptr<Stack>> Stack::build(Env env, const Url& url, const Arguments& arguments, Outage outage,
                                            Duration outage_timeout) {
  std::unique_ptr<Stack> stack(new Stack);
  const bool remote = url.kind == Url::Kind::s3;
  const Duration limit = outage == Outage::kWait ? outage_timeout : kShortPatience;
  store::RetryOptions patience{.outage_timeout = limit};
  if (outage == Outage::kFail) patience.put_timeout = limit;
  if (remote) {
    TRY(stack->make_s3(env, url, arguments, patience.outage_timeout));
    stack->top_ = stack->s3_.get();
  } else {
    const auto directory = canonical_path(url.directory);
    stack->directory_ = std::make_unique<store::DirStore>(io::uring_file_io(), env.random, directory);
    stack->top_ = stack->directory_.get();
    stack->home_ = {host_name(), directory};
  }
  stack->metered_ = std::make_unique<store::MeteredStore>(env.clock, *stack->top_);
  stack->top_ = stack->metered_.get();
  if (outage == Outage::kFail && !remote) return stack;
  if (outage == Outage::kEnd && !remote) patience.outage_timeout = Duration::zero();  // what cannot be read here is damaged
  stack->retry_ = std::make_unique<store::RetryStore>(env, *stack->top_, patience);
  stack->top_ = stack->retry_.get();
  const auto look = [retry = stack->retry_.get()] { return retry->trouble(); };
  stack->watch_ = std::make_unique<StoreWatch>(env, url.text(), limit, look,
                                               [stack = stack.get()] { stack->cancel(); });
  if (outage != Outage::kWait || !remote || arguments.count("md5-cache-size") == 0) return stack;
  stack->md5_cache_ = std::make_unique<store::Md5CacheStore>(
      env, *stack->top_,
      store::Md5CacheOptions{.entries_max = arguments.count("md5-cache-size"), .time = arguments.time("md5-cache-time"),
                             .min_write_delay = arguments.time("min-write-delay")});
  stack->top_ = stack->md5_cache_.get();
  return stack;
}

std::optional<store::Md5CacheStats> Stack::md5_cache_stats() const {
  return md5_cache_ ? std::optional(md5_cache_->stats()) : std::nullopt;
}

std::optional<std::uint64_t> Stack::connects() const {
  if (!s3_) return std::nullopt;
  std::uint64_t sum = 0;
  for (auto lane : {s3::Lane::read, s3::Lane::ahead, s3::Lane::upload, s3::Lane::meta}) sum += s3_->counters(lane).connects;
  return sum;
}

void Stack::cancel() {
  if (md5_cache_) md5_cache_->cancel();
  if (retry_) retry_->cancel();
  if (s3_) s3_->cancel();
  for (const auto& origin : origin_stacks_) origin->cancel();
}

void Stack::leave_terminal() {
  watch_.reset();
  for (const auto& origin : origin_stacks_) origin->leave_terminal();
}

std::optional<store::Trouble> Stack::trouble() const {
  if (retry_)
    if (auto trouble = retry_->trouble()) return trouble;
  for (const auto& origin : origin_stacks_)
    if (auto trouble = origin->trouble()) return trouble;
  return std::nullopt;
}

void Stack::use_single_writer() {
  if (s3_) s3_->without_conditions();
}

Result<Url> url_argument(const Arguments& arguments, TakesPoint takes_point, std::size_t index) {
  auto url = TRY(parse_url(arguments.positionals().at(index)));
  if (takes_point == TakesPoint::no && !url.point.empty()) {
    return fail(Code::kBadArgument, "{}@{}: {} takes no point of the past: leave \"@{}\" out (within the place write %40 for @)", url.text(),
                url.point, spec_of(arguments.command()).name, url.point);
  }
  return url;
}

Result<std::optional<volume::Point>> point_of(const Url& url, WallTime now) {
  if (url.point.empty()) return std::nullopt;
  return TRY(volume::parse_point(url.point, now));
}

Result<volume::Commit> resolve_point(volume::Volume& volume, const volume::Commit& head, const volume::Point& point, const Url& url) {
  auto found = volume::resolve(volume, head, point);
  if (!found) return fail(found.error().within(url.text()));
  return found;
}

Result<Url> bucket_argument(const Arguments& arguments) {
  auto url = TRY(url_argument(arguments));
  if (url.kind != Url::Kind::s3) return fail(Code::kBadArgument, "{} is no bucket: write s3://BUCKET/PREFIX", url.text());
  return url;
}

Result<std::unique_ptr<volume::Volume>> open_volume(Env env, Stack& stack, const Url& url, const Arguments& arguments,
                                                    std::uint64_t page_cache_bytes, Origins origins) {
  TRY(crypto::initialise());
  std::vector<std::string> expected;
  if (!url.fingerprint.empty()) expected.push_back(url.fingerprint);
  if (arguments.has("expect-volume")) {
    auto fingerprint = parse_fingerprint(arguments.text("expect-volume"));
    if (!fingerprint) return fail(fingerprint.error().within("--expect-volume"));
    expected.push_back(std::move(*fingerprint));
  }
  const auto keys = TRY(key_source(arguments, url.text()));
  auto volume = TRY(volume::Volume::open(env, stack.store(), keys, {.expected = {}, .page_cache_bytes = page_cache_bytes}));
  if (volume->object().single_writer) stack.use_single_writer();
  const auto vid = to_hex(volume->vid());
  for (const auto& fingerprint : expected) {
    if (!vid.starts_with(fingerprint)) {
      return fail(Code::kCorrupt, "{} holds the volume {}, not {}: nothing was done with it", url.text(),
                  vid.substr(0, fingerprint.size()), fingerprint);
    }
  }
  if (origins == Origins::attach) TRY(stack.attach_origins(env, volume->object(), arguments));
  return volume;
}

}  // namespace s3crate::cli
