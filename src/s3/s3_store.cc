// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <charconv>

#include "s3/s3_call.h"
#include "store/arguments.h"

namespace s3crate::s3 {
namespace {

using store::Verb;

constexpr std::size_t kPrefixBytesMax = 500;
// A page of the longest names, each byte of them encoded, with all that S3 says of each.
constexpr std::uint64_t kListBytesMax = 8 << 20;
// The longest is a lifecycle of 1,000 rules.
constexpr std::uint64_t kBucketAnswerMax = 2 << 20;
// S3 takes signatures of up to 15 minutes' difference.
constexpr Duration kSkewMax = std::chrono::minutes(10);
// A time that the store told longer ago is not "lately".
constexpr Duration kDateAgeMax = std::chrono::minutes(15);

bool is_prefix(std::string_view prefix) {
  bool printable = std::ranges::all_of(
      prefix, [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; });
  return printable && prefix.size() <= kPrefixBytesMax && !prefix.starts_with('/') &&
         !prefix.ends_with('/') && prefix.find("//") == std::string_view::npos;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// 501 is an honest answer.
bool is_turned_away(int status) { return status == 429 || (status >= 500 && status != 501); }

}  // namespace

std::string base64(ByteView data) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < data.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (i + k < data.size() ? data[i + k] : 0);
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k > data.size() ? '=' : kDigits[bits >> (18 - 6 * k) & 63];
    }
  }
  return out;
}

Result<std::unique_ptr<S3Store>> S3Store::make(Env env, S3Options options,
                                               CredentialSource& credentials) {
  Endpoint endpoint = TRY(Endpoint::make(options.endpoint));
  if (!is_prefix(options.prefix)) {
    return fail(Code::kBadArgument, "\"{}\" is no prefix for names of objects", options.prefix);
  }
  return std::unique_ptr<S3Store>(
      new S3Store(env, std::move(options), std::move(endpoint), credentials));
}

S3Store::S3Store(Env env, S3Options options, Endpoint endpoint, CredentialSource& credentials)
    : clock_(env.clock),
      options_(std::move(options)),
      conditional_puts_(options_.conditional_puts),
      put_check_(options_.proof_name.empty() ? PutCheck::sha256 : PutCheck::unknown),
      endpoint_(std::move(endpoint)),
      credentials_(credentials),
      limiter_(env, options_.lanes),
      up_(env, options_.upload_rate),
      down_(env, options_.download_rate),
      pacer_(env.clock),
      http_({.ca_file = options_.ca_file,
             .user_agent = options_.user_agent,
             .loopback = endpoint_.loopback(),
             .connect_timeout = options_.connect_timeout,
             .stall_timeout = options_.stall_timeout},
            {up_, down_, pacer_}) {}

void S3Store::cancel() {
  limiter_.cancel();
  http_.cancel();
}

std::string S3Store::key(std::string_view name) const {
  return options_.prefix.empty() ? std::string(name) : fmt::format("{}/{}", options_.prefix, name);
}

std::string S3Store::place(std::string_view name) const {
  return name.empty() ? describe() : fmt::format("{}/{}", describe(), name);
}

std::string S3Store::place(const Call& call) const {
  if (call.subresource.empty()) return place(call.name);
  return fmt::format("s3://{}?{}", options_.endpoint.bucket, call.subresource);
}

std::string S3Store::describe() const {
  const std::string& bucket = options_.endpoint.bucket;
  return options_.prefix.empty() ? "s3://" + bucket
                                 : fmt::format("s3://{}/{}", bucket, options_.prefix);
}

store::StoreCaps S3Store::caps() const {
  return {.put_if_absent = conditional_puts_, .verifies_puts = true, .local = false};
}

// ---- Time ---------------------------------------------------------------------------------------

WallTime S3Store::now() {
  MutexLock lock(mu_);
  if (!date_) return clock_.wall_now();
  return date_->date + (clock_.boottime_now() - date_->at);
}

std::optional<WallTime> S3Store::store_time() {
  MutexLock lock(mu_);
  BootTime boot = clock_.boottime_now();
  if (!date_ || boot - date_->at > kDateAgeMax) return std::nullopt;
  return date_->date + (boot - date_->at);
}

// ---- Asking -------------------------------------------------------------------------------------

Result<HttpRequest> S3Store::sign(const Call& call, Signed& how) {
  std::shared_ptr<const Credentials> credentials = TRY(credentials_.get());
  how = {credentials != nullptr, now()};
  HttpRequest request{.lane = call.lane,
                      .method = std::string(call.method),
                      .url = {},
                      .headers = call.headers,
                      .body = call.body,
                      .stored_status = call.wanted,
                      .into = call.into,
                      .body_max = call.body_max};
  request.headers.push_back({"Host", endpoint_.host()});
  // Whatever is not covered by a signature gets at least a checksum.
  if (call.verb == Verb::put && !how.at_all) {
    request.headers.push_back({"Content-MD5", base64(crypto::md5(call.summed))});
  }
  std::string path = endpoint_.path(call.name.empty() ? std::string() : key(call.name));
  std::string query = canonical_query(call.query);
  sign_s3(credentials.get(), endpoint_.region(), how.time, call.method, path, query,
          call.payload_hash, request.headers);
  request.url = endpoint_.url(path, query);
  return request;
}

// What every answer teaches, whatever was asked.
void S3Store::heed(const HttpAnswer& answer) {
  if (answer.date) {
    MutexLock lock(mu_);
    date_ = Date{*answer.date, clock_.boottime_now()};
  }
  if (answer.status < 400) return;
  // Far below what a Duration holds.
  constexpr std::uint64_t kSecondsMax = 1'000'000;
  Duration pause{};
  if (auto seconds = parse_number(answer.header("retry-after"))) {
    pause = std::chrono::seconds(std::min(*seconds, kSecondsMax));
  } else if (answer.retry_after) {
    pause = *answer.retry_after - answer.date.value_or(now());
  }
  if (pause > Duration::zero()) limiter_.pause(std::min(pause, options_.pause_max));
}

Result<HttpAnswer> S3Store::try_once(const Call& call, Signed& how) {
  TRY(limiter_.enter(call.lane));
  Result<HttpAnswer> answer = [&]() -> Result<HttpAnswer> {
    // Signed when its turn has come, however long that took.
    HttpRequest request = TRY(sign(call, how));
    auto answer = http_.perform(request);
    if (!answer) return fail(no_answer(answer.error()));
    return answer;
  }();
  auto outcome = LaneLimiter::Outcome::served;
  if (!answer && !is(answer, Code::kTransient)) outcome = LaneLimiter::Outcome::unknown;
  if (is(answer, Code::kTransient) || (answer && is_turned_away(answer->status))) {
    outcome = LaneLimiter::Outcome::turned_away;
  }
  if (answer) heed(*answer);
  limiter_.leave(call.lane, outcome);
  return answer;
}

// A certificate, or the file of those to trust: neither was wrong before.
Error S3Store::no_answer(const Error& error) const {
  const bool passing = met_s3_ && (error.code() == Code::kDenied || error.code() == Code::kBadArgument);
  return {passing ? Code::kTransient : error.code(), error.message()};
}

// `why` an answer with a status that was wanted is none, if it is one.
Error S3Store::refusal(const Call& call, const HttpAnswer& answer, bool is_signed, std::string_view why) {
  Refusal refusal = parse_refusal(answer.status, answer.body);
  refusal.is_page = answer.is_page();
  if (!why.empty()) refusal.message = why;
  if (call.refusal != nullptr) *call.refusal = refusal;
  std::string_view region = answer.header("x-amz-bucket-region");
  if (refusal.region.empty() && region != endpoint_.region()) refusal.region = region;
  Error error = error_of({.verb = call.verb,
                          .place = place(call),
                          .bucket = options_.endpoint.bucket,
                          .region = endpoint_.region(),
                          .endpoint = endpoint_.text(),
                          .is_signed = is_signed,
                          .permission = call.permission},
                         refusal);
  if (is_s3(call.verb, refusal)) {
    if (!refusal.code.empty()) met_s3_ = true;
    return error;
  }
  return {met_s3_ ? Code::kTransient : error.code(), error.message()};
}

Error S3Store::nonsense(const Call& call, std::string_view what) const {
  return Error(Code::kCorrupt, std::string(what)).within(asked_text(call.verb, place(call)));
}

Result<HttpAnswer> S3Store::ask(const Call& call) {
  bool any_success = call.verb == Verb::put || call.verb == Verb::remove;
  for (bool again = false;; again = true) {
    Signed how;
    auto answer = try_once(call, how);
    if (!answer) {
      return fail(answer.error().within(asked_text(call.verb, place(call))));
    }
    const bool wanted = answer->status == call.wanted || (any_success && answer->status / 100 == 2);
    if (wanted && !answer->is_page()) {
      if (!answer->header("etag").empty()) met_s3_ = true;
      return answer;
    }
    // RequestTimeTooSkewed, which a HEAD has no body to say. The right time is known by now.
    bool wrong_time = answer->status == 403 && answer->date && how.at_all &&
                      std::chrono::abs(*answer->date - how.time) > kSkewMax;
    if (!wrong_time || again) return fail(refusal(call, *answer, how.at_all));
  }
}

// ---- The verbs ----------------------------------------------------------------------------------

Result<Bytes> S3Store::get(const std::string& name, std::uint64_t max_size) {
  TRY(store::check_name(name));
  Call call{.verb = Verb::get, .lane = Lane::read, .method = "GET", .name = name};
  call.body_max = max_size;
  HttpAnswer answer = TRY(ask(call));
  // Without a length, an answer that was cut off would look like a shorter object.
  auto length = parse_number(answer.header("content-length"));
  if (!length) return fail(nonsense(call, "an answer without a length"));
  if (*length != answer.body.size())
    return fail(nonsense(call, "an answer of another length than it says"));
  return std::move(answer.body);
}

Result<> S3Store::get_range(const std::string& name, std::uint64_t offset, MutableByteView out) {
  return get_range(Lane::read, name, offset, out);
}

Result<> S3Store::get_range_ahead(const std::string& name, std::uint64_t offset,
                                  MutableByteView out) {
  return get_range(Lane::ahead, name, offset, out);
}

Result<> S3Store::get_range(Lane lane, const std::string& name, std::uint64_t offset,
                            MutableByteView out) {
  TRY(store::check_name(name));
  CHECK(!out.empty());
  const std::uint64_t last = offset + (out.size() - 1);
  // More than any store can hold, and more than some can count.
  if (last < offset || last > static_cast<std::uint64_t>(INT64_MAX)) {
    auto info = TRY(head(name));
    return store::too_short(name, info.size, offset, out.size());
  }
  Call call{.verb = Verb::get_range, .lane = lane, .method = "GET", .name = name};
  call.headers.push_back({"Range", fmt::format("bytes={}-{}", offset, last)});
  call.wanted = 206;
  call.into = out;
  HttpAnswer answer = TRY(ask(call));
  const std::string_view range = answer.header("content-range");
  if (!range.starts_with(fmt::format("bytes {}-", offset)))
    return fail(nonsense(call, "an answer with another range"));
  if (!range.starts_with(fmt::format("bytes {}-{}/", offset, last)) ||
      answer.body_size != out.size()) {
    auto size = parse_number(range.substr(std::min(range.find('/') + 1, range.size())));
    return store::too_short(name, size.value_or(0), offset, out.size());
  }
  return {};
}

Result<store::ObjectInfo> S3Store::head(const std::string& name) {
  TRY(store::check_name(name));
  Call call{.verb = Verb::head, .lane = Lane::meta, .method = "HEAD", .name = name};
  auto answer = ask(call);
  if (is(answer, Code::kDenied)) {
    // The refusal of a HEAD has no words; that of a GET says why.
    call.method = "GET";
    call.headers.push_back({"Range", "bytes=0-0"});
    call.wanted = 206;
    call.body_max = 1;
    auto words = ask(call);
    return fail(is(words, Code::kDenied) ? words.error() : answer.error());
  }
  if (!answer) return fail(answer.error());
  auto length = parse_number(answer->header("content-length"));
  if (!length) return fail(nonsense(call, "an answer without a length"));
  return store::ObjectInfo{name, *length};
}

Result<> S3Store::remove(const std::string& name) {
  TRY(store::check_name(name));
  Call call{.verb = Verb::remove, .lane = Lane::meta, .method = "DELETE", .name = name};
  call.wanted = 204;
  auto done = ask(call);
  if (!done && !is(done, Code::kNotFound)) return fail(std::move(done.error()));
  return {};
}

Result<Bytes> S3Store::ask_bucket(const std::string& subresource, std::string_view permission) {
  Call call{.verb = Verb::get, .lane = Lane::meta, .method = "GET", .name = {}};
  call.query = {{subresource, ""}};
  call.body_max = kBucketAnswerMax;
  call.subresource = subresource;
  call.permission = permission;
  return TRY(ask(call)).body;
}

// Appends what is ours of one answer, and moves on to where the next one begins.
Result<> S3Store::take_page(const Call& call, const HttpAnswer& answer, const std::string& below,
                            std::string& after, std::string& token, std::size_t max_keys,
                            store::ListPage& page) {
  auto listing = parse_listing(answer.body, max_keys);
  if (is(listing, Code::kUnsupported)) return fail(refusal(call, answer, true, listing.error().message()));
  if (!listing) return fail(nonsense(call, listing.error().message()));
  met_s3_ = true;
  const std::size_t own = key("").size();
  for (store::ObjectInfo& info : listing->keys) {
    if (!info.name.starts_with(below)) return fail(nonsense(call, "a name that was not asked for"));
    if (info.name <= after) return fail(nonsense(call, "names out of order"));
    after = info.name;
    info.name.erase(0, own);
    if (store::is_valid_object_name(info.name)) page.objects.push_back(std::move(info));
  }
  page.more = listing->truncated;
  if (listing->truncated && listing->keys.empty() &&
      (listing->token.empty() || listing->token == token)) {
    return fail(nonsense(call, "an empty page that leads nowhere"));
  }
  token = std::move(listing->token);
  return {};
}

Result<store::ListPage> S3Store::list(const std::string& prefix, const std::string& start_after,
                                      std::size_t max_keys) {
  TRY(store::check_max_keys(max_keys));
  const std::string below = key(prefix);
  std::string after = start_after.empty() ? std::string() : key(start_after);
  std::string token;
  store::ListPage page;
  // Once more only if a page held nothing but objects of others, and then by large steps.
  std::size_t keys = max_keys;
  for (;; keys = store::kListKeysMax) {
    Call call{.verb = Verb::list, .lane = Lane::meta, .method = "GET", .name = {}};
    call.query = {{"list-type", "2"},
                  {"encoding-type", "url"},
                  {"max-keys", std::to_string(keys)},
                  {"prefix", below}};
    if (!token.empty()) {
      call.query.emplace_back("continuation-token", token);
    } else if (!after.empty()) {
      call.query.emplace_back("start-after", after);
    }
    call.body_max = kListBytesMax;
    HttpAnswer answer = TRY(ask(call));
    TRY(take_page(call, answer, below, after, token, keys, page));
    if (!page.objects.empty() || !page.more) break;
  }
  if (page.objects.size() > max_keys) {
    page.objects.resize(max_keys);
    page.more = true;
  }
  return page;
}

}  // namespace s3crate::s3
