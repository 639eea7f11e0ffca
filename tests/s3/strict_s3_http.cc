// SPDX-License-Identifier: GPL-3.0-or-later
// StrictS3 over libmicrohttpd: the daemon, bodies in and out, and the faults that happen to
// connections.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "tests/s3/strict_s3.h"
#include "tests/s3/text.h"
#include "tests/s3/verify.h"

namespace s3crate::test::strict {
namespace {

constexpr std::size_t kConnectionMemory = 512 << 10;  // half of it is one read from the socket
constexpr const char* kControl = "/~control";

int socket_of(MHD_Connection* connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

MHD_Result add_header(void* cls, enum MHD_ValueKind, const char* key, std::size_t key_size,
                      const char* value, std::size_t value_size) {
  auto& request = *static_cast<Request*>(cls);
  std::string name = lower_case({key, key_size});
  if (!request.headers.emplace(name, std::string(value == nullptr ? "" : value, value_size)).second)
    request.repeated_header = name;
  return MHD_YES;
}

}  // namespace

struct StrictS3::Pending {
  explicit Pending(StrictS3& owner_) : owner(owner_), settings(owner_.current()) {}
  ~Pending() {
    if (ticket != 0) owner.service_.objects().end_put(route.key, ticket);
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  StrictS3& owner;
  std::shared_ptr<const Settings> settings;
  bool begun = false;
  Request request;
  Route route;
  std::uint64_t ticket = 0;
  std::size_t received = 0;
  std::unique_ptr<Digest> sha256, md5;
};

void StrictS3::begin(Pending& pending, MHD_Connection* connection) {
  Request& request = pending.request;
  pending.begun = true;
  MHD_get_connection_values_n(connection, MHD_HEADER_KIND, add_header, &request);
  request.tls = options_.tls.has_value();
  request.address = options_.address;
  if (request.path == kControl) return;
  pending.route = Service::route(request, *pending.settings, now());
  const std::string* signed_as = request.header("x-amz-content-sha256");
  if (signed_as == nullptr || *signed_as != "UNSIGNED-PAYLOAD" || request.header("x-amz-checksum-sha256") != nullptr)
    pending.sha256 = std::make_unique<Digest>(Digest::Kind::kSha256);
  if (pending.settings->etag == "md5" || request.header("content-md5") != nullptr)
    pending.md5 = std::make_unique<Digest>(Digest::Kind::kMd5);
  if (pending.route.refusal || pending.route.operation != "PutObject") return;
  request.body = std::make_shared<Blob>(std::stoull("0" + *request.header("content-length")));
  pending.ticket = service_.objects().begin_put(pending.route.key);
}

// A body that was refused by its headers is read and dropped.
void StrictS3::receive(Pending& pending, ByteView piece) {
  Blob* body = pending.request.body.get();
  if (body == nullptr || pending.received + piece.size() > body->size) return;
  std::memcpy(body->data.get() + pending.received, piece.data(), piece.size());
  pending.received += piece.size();
  if (pending.sha256) pending.sha256->update(piece);
  if (pending.request.header(kCrc32cHeader) != nullptr)
    pending.request.body_crc32c = crc32c(piece, pending.request.body_crc32c);
  if (pending.md5) pending.md5->update(piece);
}

void StrictS3::reset(int socket) {
  // On Linux this makes a connected TCP socket send RST at once.
  sockaddr address{};
  address.sa_family = AF_UNSPEC;
  ::connect(socket, &address, sizeof address);
}

// Until the client closes the connection or the server stops; false, as what follows is the end.
bool StrictS3::wait_for_client(int socket) {
  pollfd fds[2] = {{socket, POLLRDHUP, 0}, {stop_event_, POLLIN, 0}};
  while (::poll(fds, 2, -1) < 0) CHECK(errno == EINTR);
  return false;
}

bool StrictS3::finish(Pending& pending, MHD_Connection* connection) {
  auto arrived = std::chrono::steady_clock::now();
  Request& request = pending.request;
  if (request.path == kControl)
    return send(pending, connection, control(request.query), Fault::kNone);
  if (pending.sha256) request.body_sha256 = to_hex(pending.sha256->finish());
  if (pending.md5) request.body_md5 = to_hex(pending.md5->finish());

  const Settings& settings = *pending.settings;
  Fault fault = draw(pending.route, settings);
  count("requests");
  count(pending.route.operation);
  count("bytes.in", pending.received);
  bool undone = settings.speaks == "page" || fault == Fault::kError500 || fault == Fault::kSlowDown || fault == Fault::kReset ||
                fault == Fault::kHang;
  Response response;
  if (!undone) {
    auto as_of = arrived;
    if (fault == Fault::kStale) as_of -= std::chrono::milliseconds(settings.stale_ms);
    response = service_.serve(pending.route, request, settings, now(), as_of, pending.ticket);
  }
  if (settings.speaks == "page") {
    response = {};
    response.headers["Content-Type"] = "text/html";
    response.text = "<!DOCTYPE html><html><body>Welcome</body></html>";
    fault = Fault::kNone;
  }
  if (fault == Fault::kSlowDown) {
    response = error_response(503, "SlowDown", "Please reduce your request rate.");
    if (settings.retry_after_s > 0)
      response.headers["Retry-After"] = fmt::format("{}", settings.retry_after_s);
  }
  if (fault == Fault::kError500 || fault == Fault::kErrorAfter)
    response = error_response(500, "InternalError", "We encountered an internal error.");
  bool has_body = request.method != "HEAD" && !response.body().empty();
  bool needs_body = fault == Fault::kTruncate || fault == Fault::kCorrupt || fault == Fault::kStall;
  if (needs_body && !has_body) fault = Fault::kNone;
  if (fault != Fault::kNone) count(fmt::format("fault.{}", fault_name(fault)));
  auto answered = arrived + std::chrono::microseconds(settings.latency_us);
  if (fault == Fault::kTail) answered += std::chrono::milliseconds(settings.tail_ms);
  {
    std::unique_lock lock(mu_);
    stopping_changed_.wait_until(lock, answered, [&] { return stopping_; });
  }
  if (fault == Fault::kHang) return wait_for_client(socket_of(connection));
  if (fault == Fault::kReset || fault == Fault::kLostReply) {
    reset(socket_of(connection));
    return false;
  }
  return send(pending, connection, std::move(response), fault);
}

namespace {

// A body on its way out, with what is to happen to it.
struct Body {
  Response response;
  Fault fault;
  int socket;
  int stop_event;
};

ssize_t read_body(void* cls, std::uint64_t position, char* out, std::size_t room) {
  auto& body = *static_cast<Body*>(cls);
  ByteView all = body.response.body();
  std::size_t end = body.fault == Fault::kCorrupt ? all.size() : all.size() / 2;
  if (position >= end) {
    if (body.fault == Fault::kStall) {
      pollfd fds[2] = {{body.socket, POLLRDHUP, 0}, {body.stop_event, POLLIN, 0}};
      while (::poll(fds, 2, -1) < 0) CHECK(errno == EINTR);
    }
    return MHD_CONTENT_READER_END_WITH_ERROR;
  }
  std::size_t length = std::min(room, end - static_cast<std::size_t>(position));
  std::memcpy(out, all.data() + position, length);
  std::size_t flipped = all.size() / 3;
  if (body.fault == Fault::kCorrupt && flipped >= position && flipped < position + length)
    out[flipped - position] = static_cast<char>(out[flipped - position] ^ 0x10);
  return static_cast<ssize_t>(length);
}

void free_body(void* cls) { delete static_cast<Body*>(cls); }
void free_response(void* cls) { delete static_cast<Response*>(cls); }

}  // namespace

bool StrictS3::send(const Pending& pending, MHD_Connection* connection, Response response,
                    Fault fault) {
  response.headers["Date"] = http_date(now());
  response.headers["Server"] = "StrictS3";
  {
    std::lock_guard lock(mu_);
    response.headers["x-amz-request-id"] = fmt::format("{:016X}", next_id_++);
    if (!response.error.empty()) ++counters_["error." + response.error];
    counters_["bytes.out"] += response.body().size();
  }
  if (pending.request.method == "HEAD" && !response.error.empty()) response.text.clear();
  auto status = static_cast<unsigned>(response.status);
  auto headers = response.headers;
  ByteView body = response.body();
  MHD_Response* out = nullptr;
  if (fault == Fault::kTruncate || fault == Fault::kCorrupt || fault == Fault::kStall) {
    auto* state = new Body{std::move(response), fault, socket_of(connection), stop_event_};
    out = MHD_create_response_from_callback(state->response.body().size(), 64 << 10, read_body,
                                            state, free_body);
  } else {
    auto* state = new Response(std::move(response));
    body = state->body();
    out = MHD_create_response_from_buffer_with_free_callback_cls(
        body.size(), const_cast<std::uint8_t*>(body.data()), free_response, state);
  }
  CHECK(out != nullptr);
  for (const auto& [name, value] : headers)
    CHECK(MHD_add_response_header(out, name.c_str(), value.c_str()) == MHD_YES);
  MHD_Result queued = MHD_queue_response(connection, status, out);
  MHD_destroy_response(out);
  return queued == MHD_YES;
}

// ---- The daemon --------------------------------------------------------------------------------

struct HttpCallbacks {
  // Called first, with the target as it stands on the request line.
  static void* on_target(void* cls, const char* target, MHD_Connection*) {
    auto* pending = new StrictS3::Pending(*static_cast<StrictS3*>(cls));
    std::string_view all = target;
    auto question = all.find('?');
    pending->request.path = all.substr(0, question);
    if (question != std::string_view::npos) pending->request.query = all.substr(question + 1);
    return pending;
  }

  static MHD_Result on_data(void* cls, MHD_Connection* connection, const char*, const char* method,
                            const char*, const char* data, std::size_t* size, void** state) {
    auto& self = *static_cast<StrictS3*>(cls);
    auto& pending = *static_cast<StrictS3::Pending*>(*state);
    if (!pending.begun) {
      pending.request.method = method;
      self.begin(pending, connection);
      return self.answer_early(pending, connection) ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
      StrictS3::receive(pending, {reinterpret_cast<const std::uint8_t*>(data), *size});
      *size = 0;
      return MHD_YES;
    }
    return self.finish(pending, connection) ? MHD_YES : MHD_NO;
  }

  static void on_end(void*, MHD_Connection*, void** state, enum MHD_RequestTerminationCode) {
    delete static_cast<StrictS3::Pending*>(*state);
    *state = nullptr;
  }

  static void on_connection(void* cls, MHD_Connection*, void**,
                            enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED) static_cast<StrictS3*>(cls)->count("connections");
  }

  // Targets are decoded by route.cc, not by the library.
  static std::size_t keep_escapes(void*, MHD_Connection*, char* text) { return std::strlen(text); }
};

// Who waits for 100 Continue is told at once that the body is not wanted.
bool StrictS3::answer_early(Pending& pending, MHD_Connection* connection) {
  if (!pending.route.refusal || pending.request.header("expect") == nullptr) return true;
  count("requests");
  count(pending.route.operation);
  return send(pending, connection, *pending.route.refusal, Fault::kNone);
}

StrictS3::StrictS3(Options options)
    : options_(options),
      certificate_(options.tls ? make_certificate(*options.tls) : Certificate()),
      port_(options.port),
      stop_event_(::eventfd(0, EFD_CLOEXEC)),
      random_(options.seed) {
  CHECK(stop_event_ >= 0);
  start();
}

StrictS3::~StrictS3() {
  stop();
  ::close(stop_event_);
}

void StrictS3::start() {
  CHECK(daemon_ == nullptr);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  CHECK(::inet_pton(AF_INET, options_.address.c_str(), &address.sin_addr) == 1);
  unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
                   MHD_USE_ITC | MHD_USE_SUPPRESS_DATE_NO_CLOCK;
  if (options_.tls) flags |= MHD_USE_TLS;
  MHD_OptionItem tls[] = {
      {MHD_OPTION_HTTPS_MEM_CERT, 0, const_cast<char*>(certificate_.certificate.c_str())},
      {MHD_OPTION_HTTPS_MEM_KEY, 0, const_cast<char*>(certificate_.key.c_str())},
      {MHD_OPTION_END, 0, nullptr}};
  MHD_OptionItem none[] = {{MHD_OPTION_END, 0, nullptr}};
  daemon_ =
      MHD_start_daemon(flags, 0, nullptr, nullptr, &HttpCallbacks::on_data, this,            //
                       MHD_OPTION_SOCK_ADDR, reinterpret_cast<sockaddr*>(&address),          //
                       MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U,                               //
                       MHD_OPTION_URI_LOG_CALLBACK, &HttpCallbacks::on_target, this,         //
                       MHD_OPTION_UNESCAPE_CALLBACK, &HttpCallbacks::keep_escapes, nullptr,  //
                       MHD_OPTION_NOTIFY_COMPLETED, &HttpCallbacks::on_end, nullptr,         //
                       MHD_OPTION_NOTIFY_CONNECTION, &HttpCallbacks::on_connection, this,    //
                       MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemory,                //
                       MHD_OPTION_STRICT_FOR_CLIENT, 1,                                      //
                       MHD_OPTION_ARRAY, options_.tls ? tls : none, MHD_OPTION_END);
  CHECK(daemon_ != nullptr);
  port_ = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_BIND_PORT)->port;
}

void StrictS3::stop() {
  if (daemon_ == nullptr) return;
  {
    std::lock_guard lock(mu_);
    stopping_ = true;
  }
  stopping_changed_.notify_all();
  std::uint64_t value = 1;
  CHECK(::write(stop_event_, &value, sizeof value) == sizeof value);
  MHD_stop_daemon(daemon_);
  daemon_ = nullptr;
  CHECK(::read(stop_event_, &value, sizeof value) == sizeof value);
  std::lock_guard lock(mu_);
  stopping_ = false;
}

std::string StrictS3::endpoint() const {
  return fmt::format("{}://{}:{}", options_.tls ? "https" : "http", options_.address, port_);
}

std::string StrictS3::virtual_host_endpoint() const {
  return fmt::format("{}://localhost:{}", options_.tls ? "https" : "http", port_);
}

}  // namespace s3crate::test::strict
