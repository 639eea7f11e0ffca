// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/control.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "crypto/crypto.h"

namespace s3crate::cli {
namespace {

constexpr std::size_t kLineMax = 256 << 10;
constexpr std::size_t kClientsMax = 32;
constexpr auto kRequestTimeout = std::chrono::seconds(10);
constexpr int kPollMs = 200;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::kBadArgument, "{} is too long for the name of a socket", path);
  path.copy(address.sun_path, path.size());
  return address;
}

Result<Fd> make_socket() {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail(system_error(errno, "make", "a socket"));
  return fd;
}

}  // namespace

std::string runtime_directory(uid_t owner) {
  if (owner == 0) return "/run/s3crate-blk";
  if (owner == ::geteuid()) {
    const char* own = std::getenv("XDG_RUNTIME_DIR");
    if (own != nullptr && own[0] == '/') return fmt::format("{}/s3crate-blk", own);
  }
  return fmt::format("/run/user/{}/s3crate-blk", owner);
}

// Ours alone, or nobody else can have put anything there.
Result<> make_private_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail(system_error(errno, "make the directory", path));
  struct stat st = {};
  if (::lstat(path.c_str(), &st) != 0) return fail(system_error(errno, "look at", path));
  if (!S_ISDIR(st.st_mode) || st.st_uid != ::geteuid() || (st.st_mode & 077) != 0) {
    return fail(Code::kIo, "{} is not a directory of this user alone (mode 0700)", path);
  }
  return {};
}

std::string control_socket_path(const std::string& mountpoint, uid_t owner) {
  const auto hash = crypto::blake2b(as_bytes(mountpoint));
  return fmt::format("{}/{}.sock", runtime_directory(owner), to_hex(ByteView(hash).first(8)));
}

Result<> ControlConnection::send(const nlohmann::json& value) {
  const auto line = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const auto n = ::send(fd_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Code::kTransient, "the process behind the mount has hung up");
    sent += static_cast<std::size_t>(n);
  }
  return {};
}

Result<std::optional<nlohmann::json>> ControlConnection::receive(Duration timeout) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  for (;;) {
    if (const auto end = buffer_.find('\n'); end != std::string::npos) {
      auto value = nlohmann::json::parse(buffer_.substr(0, end), nullptr, false);
      buffer_.erase(0, end + 1);
      if (!value.is_object()) return fail(Code::kCorrupt, "a line that is no JSON object came through the control socket");
      return value;
    }
    if (buffer_.size() > kLineMax) return fail(Code::kCorrupt, "too long a line came through the control socket");
    pollfd wait = {fd_.get(), POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(ms));
    if (ready == 0 || (ready < 0 && errno == EINTR)) return std::nullopt;
    char piece[4096];
    const auto n = ::recv(fd_.get(), piece, sizeof piece, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Code::kTransient, "the process behind the mount has hung up");
    buffer_.append(piece, static_cast<std::size_t>(n));
  }
}

bool ControlConnection::abandoned() const {
  pollfd look = {fd_.get(), POLLRDHUP, 0};
  return ::poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

void ControlConnection::wait_for_exit(Duration timeout) const {
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0)));
  if (!process) return;
  pollfd wait = {process.get(), POLLIN, 0};
  ::poll(&wait, 1, static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()));
}

Result<ControlConnection> connect_control(const std::string& socket_path) {
  const auto address = TRY(address_of(socket_path));
  auto fd = TRY(make_socket());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail(errno == EACCES ? Code::kIo : Code::kNotFound, "{}: {}", socket_path, std::strerror(errno));
  }
  return ControlConnection(std::move(fd));
}

struct ControlServer::Client {
  explicit Client(Fd fd) : connection(std::move(fd)) {}
  ControlConnection connection;
  std::atomic<bool> done = false;
  std::unique_ptr<Task> task;
};

Result<std::unique_ptr<ControlServer>> ControlServer::listen(Env env, const std::string& socket_path, Handler handler) {
  TRY(make_private_directory(socket_path.substr(0, socket_path.rfind('/'))));
  const auto address = TRY(address_of(socket_path));
  if (connect_control(socket_path)) return fail(Code::kFenced, "another process serves this mountpoint");
  auto fd = TRY(make_socket());
  ::unlink(socket_path.c_str());  // of a process that died
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(socket_path.c_str(), 0600) != 0 || ::listen(fd.get(), static_cast<int>(kClientsMax)) != 0) {
    return fail(system_error(errno, "listen at", socket_path));
  }
  return std::unique_ptr<ControlServer>(new ControlServer(env, socket_path, std::move(fd), std::move(handler)));
}

ControlServer::ControlServer(Env env, std::string path, Fd listener, Handler handler)
    : env_(env), path_(std::move(path)), listener_(std::move(listener)), handler_(std::move(handler)) {
  acceptor_ = env_.executor.spawn("control", [this] { accept_loop(); });
}

ControlServer::~ControlServer() {
  stopping_ = true;
  acceptor_.reset();
  ::unlink(path_.c_str());
  clients_.clear();
}

void ControlServer::accept_loop() {
  while (!stopping_) {
    pollfd wait = {listener_.get(), POLLIN, 0};
    const bool came = ::poll(&wait, 1, kPollMs) > 0;
    std::erase_if(clients_, [](const std::unique_ptr<Client>& client) { return client->done.load(); });
    if (!came) continue;
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd || clients_.size() >= kClientsMax) continue;  // one too many is hung up on
    clients_.push_back(std::make_unique<Client>(std::move(fd)));
    Client& client = *clients_.back();
    client.task = env_.executor.spawn("control client", [this, &client] { serve(client); });
  }
}

void ControlServer::serve(Client& client) {
  auto request = client.connection.receive(kRequestTimeout);
  if (request && *request) handler_(**request, client.connection);
  client.done = true;
}

}  // namespace s3crate::cli
