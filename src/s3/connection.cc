// SPDX-License-Identifier: GPL-3.0-or-later
// Each connection is a curl multi handle with one easy handle, instead of curl_easy_perform(): only
// a multi handle can be woken from another thread, which is what makes cancelling immediate.
#include "s3/connection.h"

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <set>
#include <system_error>

#include "s3/errors.h"
#include "s3/socket.h"

namespace s3crate::s3 {
namespace {

constexpr std::size_t kHeadersMax = 100;
constexpr std::size_t kHeaderBytesMax = 8192;
constexpr long kUploadBuffer = 256 * 1024;
constexpr long kReadBuffer = 128 * 1024;
// What may wait unsent in the kernel. More would hide from the stall timeout whether anything
// moves.
constexpr int kUnsentMax = 256 * 1024;
// How often a connection looks whether it was cancelled, and, while it sends much, at the line.
constexpr int kTickMs = 1000;
constexpr int kLineTickMs = 20;
constexpr std::uint64_t kPacedBodyMin = 256 * 1024;
// A rate limit is applied to pieces of at most this share of a second.
constexpr std::uint64_t kPiecesPerSecond = 20;
constexpr std::size_t kPieceMin = 4096;

constexpr std::string_view kTooLong = "the answer is longer than it may be";

std::size_t piece(const RateLimiter& limiter, std::size_t wanted) {
  if (limiter.rate() == 0) return wanted;
  return std::min(wanted, std::max<std::size_t>(limiter.rate() / kPiecesPerSecond, kPieceMin));
}

struct FreeSlist {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct CleanEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct CleanMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

template <typename Value>
void set(CURL* easy, CURLoption option, Value value) {
  CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
}

long milliseconds(Duration duration) {
  return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

std::optional<WallTime> parse_date(const std::string& text) {
  const std::time_t seconds = curl_getdate(text.c_str(), nullptr);
  if (seconds <= 0 || seconds >= (1LL << 33)) return std::nullopt;
  return WallTime(std::chrono::seconds(seconds));
}

}  // namespace

class Connection::Impl {
 public:
  Impl(const HttpOptions& options, Lane lane) : multi_(curl_multi_init()), easy_(curl_easy_init()) {
    CHECK(multi_ != nullptr && easy_ != nullptr);
    set_constants(options, lane);
  }

  void arm() { cancelled_ = false; }
  void cancel() {
    cancelled_ = true;
    curl_multi_wakeup(multi_.get());
  }

  Result<HttpAnswer> perform(const HttpOptions& options, const HttpRequest& request,
                             const Traffic& traffic);
  [[nodiscard]] long connects() const {
    long count = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_NUM_CONNECTS, &count);
    return count;
  }

 private:
  void set_constants(const HttpOptions& options, Lane lane);
  void set_up(const HttpOptions& options);
  [[nodiscard]] std::uint64_t body_size() const;
  CURLcode run();
  void pace();
  Error error(CURLcode code);
  bool store(ByteView data);
  std::size_t send(char* to, std::size_t size);
  void rewind(std::uint64_t to);
  void note_header(std::string_view line);

  // curl would silently send a request again whose kept connection broke before an answer came. That
  // is a failed try: it counts, and the next one is signed afresh.
  static int on_request(void* self, char*, char*, int, int) {
    return static_cast<Impl*>(self)->sent_++ == 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
  }
  static int on_open(void* self, curl_socket_t socket, curlsocktype) {
    limit_unsent(socket, kUnsentMax);
    static_cast<Impl*>(self)->sockets_.insert(socket);
    return CURL_SOCKOPT_OK;
  }
  static int on_close(void* self, curl_socket_t socket) {
    static_cast<Impl*>(self)->sockets_.erase(socket);
    return close_socket(socket);
  }
  static std::size_t on_header(char* data, std::size_t one, std::size_t size, void* self) {
    static_cast<Impl*>(self)->note_header({data, one * size});
    return one * size;
  }
  static std::size_t on_body(char* data, std::size_t one, std::size_t size, void* self) {
    return static_cast<Impl*>(self)->store(as_bytes({data, one * size})) ? one * size : 0;
  }
  static std::size_t on_send(char* to, std::size_t one, std::size_t size, void* self) {
    return static_cast<Impl*>(self)->send(to, one * size);
  }
  static int on_seek(void* self, curl_off_t offset, int origin) {
    if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
    static_cast<Impl*>(self)->rewind(static_cast<std::uint64_t>(offset));
    return CURL_SEEKFUNC_OK;
  }

  // Open ones; several as long as more than one address is tried. curl itself tells only afterwards
  // which socket it was.
  std::set<curl_socket_t> sockets_;
  const std::unique_ptr<CURLM, CleanMulti> multi_;
  const std::unique_ptr<CURL, CleanEasy> easy_;
  std::atomic<bool> cancelled_ = false;

  // Of the request under way.
  const HttpRequest* request_ = nullptr;
  RateLimiter* up_ = nullptr;
  RateLimiter* down_ = nullptr;
  std::optional<Pacer::Upload> upload_;  // of a body that is worth it
  std::unique_ptr<curl_slist, FreeSlist> headers_;
  char error_[CURL_ERROR_SIZE] = "";
  HttpAnswer answer_;
  int sent_ = 0;  // how often curl began to send it
  bool is_stored_ = false;  // the body is the one that was wanted
  bool too_long_ = false;
  bool enough_ = false;        // of what the store has to say on its refusal
  std::size_t part_ = 0;       // what is sent next: this part of the body,
  std::size_t part_done_ = 0;  // from here on
  std::uint64_t unsent_ = 0;   // in all
};

// What never changes. The handle is not reset between requests: a reset handle may keep a buffer of
// the old size, and then refuses another.
void Connection::Impl::set_constants(const HttpOptions& options, Lane lane) {
  CURL* easy = easy_.get();
  set(easy, CURLOPT_ERRORBUFFER, error_);
  set(easy, CURLOPT_PATH_AS_IS, 1L);
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(easy, CURLOPT_USERAGENT, options.user_agent.c_str());
  set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  if (options.loopback) set(easy, CURLOPT_NOPROXY, "*");
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_QUICK_EXIT, 1L);
  set(easy, CURLOPT_TCP_NODELAY, 1L);
  set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  set(easy, CURLOPT_TCP_KEEPIDLE, 30L);
  set(easy, CURLOPT_TCP_KEEPINTVL, 10L);
  set(easy, CURLOPT_SOCKOPTFUNCTION, on_open);
  set(easy, CURLOPT_SOCKOPTDATA, this);
  set(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
  set(easy, CURLOPT_CLOSESOCKETDATA, this);
  if (lane == Lane::upload) set(easy, CURLOPT_UPLOAD_BUFFERSIZE, kUploadBuffer);
  if (lane == Lane::read || lane == Lane::ahead) set(easy, CURLOPT_BUFFERSIZE, kReadBuffer);
  set(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(options.connect_timeout));
  set(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(easy, CURLOPT_LOW_SPEED_TIME, milliseconds(options.stall_timeout) / 1000);
  set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options.ca_file.empty()) {
    set(easy, CURLOPT_CAINFO, options.ca_file.c_str());
    set(easy, CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  set(easy, CURLOPT_PREREQFUNCTION, on_request);
  set(easy, CURLOPT_PREREQDATA, this);
  set(easy, CURLOPT_HEADERFUNCTION, on_header);
  set(easy, CURLOPT_HEADERDATA, this);
  set(easy, CURLOPT_WRITEFUNCTION, on_body);
  set(easy, CURLOPT_WRITEDATA, this);
  set(easy, CURLOPT_READFUNCTION, on_send);
  set(easy, CURLOPT_READDATA, this);
  set(easy, CURLOPT_SEEKFUNCTION, on_seek);
  set(easy, CURLOPT_SEEKDATA, this);
}

void Connection::Impl::set_up(const HttpOptions& options) {
  CURL* easy = easy_.get();
  set(easy, CURLOPT_URL, request_->url.c_str());
  const Duration limit = time_limit(options, body_size(), request_->into.size() + request_->body_max,
                                    up_->rate(), down_->rate());
  set(easy, CURLOPT_TIMEOUT_MS, milliseconds(limit));

  headers_.reset();
  auto add = [this](const std::string& line) {
    curl_slist* longer = curl_slist_append(headers_.get(), line.c_str());
    CHECK(longer != nullptr);
    static_cast<void>(headers_.release());
    headers_.reset(longer);
  };
  add("Expect:");  // a body is sent without asking first
  for (const Header& header : request_->headers) add(header.name + ": " + header.value);
  set(easy, CURLOPT_HTTPHEADER, headers_.get());

  set(easy, CURLOPT_CUSTOMREQUEST, static_cast<const char*>(nullptr));
  set(easy, CURLOPT_HTTPGET, 1L);  // ends what an earlier PUT or HEAD had set
  if (request_->method == "PUT") {
    set(easy, CURLOPT_UPLOAD, 1L);
    set(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(body_size()));
  } else if (request_->method == "HEAD") {
    set(easy, CURLOPT_NOBODY, 1L);
  } else if (request_->method != "GET") {
    set(easy, CURLOPT_CUSTOMREQUEST, request_->method.c_str());
  }
}

std::uint64_t Connection::Impl::body_size() const {
  std::uint64_t size = 0;
  for (ByteView part : request_->body) size += part.size();
  return size;
}

void Connection::Impl::note_header(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // a new answer: what came before it was "100 Continue"
    answer_.headers.clear();
    answer_.date.reset();
    answer_.retry_after.reset();
    return;
  }
  std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || line.size() > kHeaderBytesMax ||
      answer_.headers.size() >= kHeadersMax) {
    return;
  }
  Header header{std::string(line.substr(0, colon)), {}};
  for (char& c : header.name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  line.remove_prefix(colon + 1);
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  header.value = line;
  if (header.name == "date") answer_.date = parse_date(header.value);
  // All forms of a date begin with the name of the day.
  const bool number = !header.value.empty() && header.value[0] >= '0' && header.value[0] <= '9';
  if (header.name == "retry-after" && !number) answer_.retry_after = parse_date(header.value);
  answer_.headers.push_back(std::move(header));
}

bool Connection::Impl::store(ByteView data) {
  if (cancelled_) return false;
  if (answer_.status == 0) {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    answer_.status = static_cast<int>(status);
    curl_off_t announced = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    is_stored_ = answer_.status == request_->stored_status && !answer_.is_page();
    if (is_stored_ && request_->into.empty()) {
      too_long_ = announced > 0 && static_cast<std::uint64_t>(announced) > request_->body_max;
      if (too_long_) return false;
      answer_.body.reserve(announced > 0 ? static_cast<std::size_t>(announced) : 0);
    }
  }
  if (!is_stored_) {
    std::size_t room = kErrorBodyMax - answer_.body.size();
    append(answer_.body, data.first(std::min(room, data.size())));
    enough_ = data.size() > room;
    return !enough_;
  }
  bool direct = !request_->into.empty();
  std::uint64_t max = direct ? request_->into.size() : request_->body_max;
  too_long_ = data.size() > max - answer_.body_size;
  if (too_long_) return false;
  if (direct) {
    if (!data.empty())
      std::memcpy(request_->into.data() + answer_.body_size, data.data(), data.size());
  } else {
    append(answer_.body, data);
  }
  answer_.body_size += data.size();
  for (std::size_t taken = 0; taken < data.size();) {
    std::size_t next = piece(*down_, data.size() - taken);
    if (!down_->take(next)) return false;
    taken += next;
  }
  return true;
}

std::size_t Connection::Impl::send(char* to, std::size_t size) {
  if (cancelled_) return CURL_READFUNC_ABORT;
  while (part_ < request_->body.size() && part_done_ == request_->body[part_].size()) {
    ++part_;
    part_done_ = 0;
  }
  if (part_ == request_->body.size()) return 0;
  ByteView rest = request_->body[part_].subspan(part_done_);
  rest = rest.first(piece(*up_, std::min(rest.size(), size)));
  if (!up_->take(rest.size())) return CURL_READFUNC_ABORT;
  std::memcpy(to, rest.data(), rest.size());
  part_done_ += rest.size();
  unsent_ -= rest.size();
  return rest.size();
}

void Connection::Impl::rewind(std::uint64_t to) {
  unsent_ = body_size() - std::min(to, body_size());
  part_ = 0;
  while (part_ < request_->body.size() && to >= request_->body[part_].size()) {
    to -= request_->body[part_++].size();
  }
  part_done_ = static_cast<std::size_t>(to);
}

CURLcode Connection::Impl::run() {
  CHECK(curl_multi_add_handle(multi_.get(), easy_.get()) == CURLM_OK);
  CURLcode code = CURLE_ABORTED_BY_CALLBACK;
  for (int running = 1; !cancelled_;) {
    if (curl_multi_perform(multi_.get(), &running) != CURLM_OK) break;
    if (running == 0) {
      int left = 0;
      const CURLMsg* message = curl_multi_info_read(multi_.get(), &left);
      if (message != nullptr && message->msg == CURLMSG_DONE) code = message->data.result;
      break;
    }
    pace();
    const int tick = upload_ && upload_->sending() ? kLineTickMs : kTickMs;
    if (curl_multi_poll(multi_.get(), nullptr, 0, tick, nullptr) != CURLM_OK) break;
  }
  CHECK(curl_multi_remove_handle(multi_.get(), easy_.get()) == CURLM_OK);
  return code;
}

void Connection::Impl::pace() {
  if (!upload_ || !upload_->sending() || !upload_->due() || sockets_.size() != 1) return;
  const curl_socket_t socket = *sockets_.begin();
  const auto sample = sample_line(socket);
  if (!sample) return;
  if (unsent_ == 0 && sample->unsent == 0) return upload_->all_sent();
  set_pace(socket, upload_->pace(*sample));
}

Error Connection::Impl::error(CURLcode code) {
  if (cancelled_) return {Code::kCancelled, "stopped"};
  std::string text = *error_ != '\0' ? error_ : curl_easy_strerror(code);
  if (sent_ > 1) return {Code::kTransient, "the connection broke before an answer came"};
  switch (code) {
    case CURLE_WRITE_ERROR:
      return {too_long_ ? Code::kCorrupt : Code::kTransient,
              too_long_ ? std::string(kTooLong) : text};
    case CURLE_COULDNT_CONNECT: {
      long number = 0;
      curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &number);
      if (number != 0) text += fmt::format(" ({})", std::generic_category().message(static_cast<int>(number)));
      return {Code::kTransient, text};
    }
    case CURLE_PARTIAL_FILE:
      return {Code::kTransient, "the answer broke off: " + text};
    case CURLE_PEER_FAILED_VERIFICATION: {
      long result = 0;
      curl_easy_getinfo(easy_.get(), CURLINFO_SSL_VERIFYRESULT, &result);
      return {Code::kDenied, refused_certificate(result, text)};
    }
    case CURLE_SSL_CACERT_BADFILE:
      return {Code::kBadArgument, "the CA file cannot be used: " + text};
    case CURLE_SSL_CONNECT_ERROR:
      if (text.find("wrong version number") == std::string::npos) return {Code::kTransient, text};
      return {Code::kDenied, "the server does not speak TLS; is its endpoint http://?"};
    default:
      return {Code::kTransient, text};
  }
}

Result<HttpAnswer> Connection::Impl::perform(const HttpOptions& options, const HttpRequest& request,
                                             const Traffic& traffic) {
  request_ = &request;
  up_ = &traffic.up;
  down_ = &traffic.down;
  answer_ = {};
  sent_ = 0;
  is_stored_ = false;
  too_long_ = false;
  enough_ = false;
  *error_ = '\0';
  rewind(0);
  set_up(options);
  if (body_size() >= kPacedBodyMin) upload_.emplace(traffic.pacer);
  CURLcode code = run();
  upload_.reset();
  if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && enough_)) return fail(error(code));
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  answer_.status = static_cast<int>(status);
  return std::move(answer_);
}

Connection::Connection(const HttpOptions& options, Lane lane)
    : impl_(std::make_unique<Impl>(options, lane)) {}
Connection::~Connection() = default;

void Connection::begin() {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(ready == CURLE_OK);
}
void Connection::arm() { impl_->arm(); }
void Connection::cancel() { impl_->cancel(); }
std::uint64_t Connection::connects() const { return static_cast<std::uint64_t>(impl_->connects()); }

Result<HttpAnswer> Connection::perform(const HttpOptions& options, const HttpRequest& request,
                                       const Traffic& traffic) {
  return impl_->perform(options, request, traffic);
}

}  // namespace s3crate::s3
