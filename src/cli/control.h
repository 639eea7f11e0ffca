// SPDX-License-Identifier: GPL-3.0-or-later
// The socket through which sync, status and umount talk to the process behind a mount: JSON, one value a line.
//
// A client sends one request, {"command": NAME}, and reads answers until the last one, which has "done": true, or an "error" like
// every command's --json. The socket lies in a directory that only its owner enters, and is named after the mountpoint.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "cli/files.h"

namespace s3crate::cli {

// Where the sockets of a user's mounts lie, and what attach makes: /run/s3crate-blk of root.
[[nodiscard]] std::string runtime_directory(uid_t owner);
// Makes it, if need be. kIo: there is something that others could have put there.
[[nodiscard]] Result<> make_private_directory(const std::string& path);

// Of a mount by `owner`; "" if that user has no place for it. `mountpoint` is canonical.
[[nodiscard]] std::string control_socket_path(const std::string& mountpoint, uid_t owner);

class ControlConnection {
 public:
  explicit ControlConnection(Fd fd) : fd_(std::move(fd)) {}
  // kTransient: the other end is gone.
  [[nodiscard]] Result<> send(const nlohmann::json& value);
  // The next line within `timeout`; nullopt: none came. kTransient: the other end is gone; kCorrupt: no JSON, or too long.
  [[nodiscard]] Result<std::optional<nlohmann::json>> receive(Duration timeout);
  // Whether the other end has hung up.
  [[nodiscard]] bool abandoned() const;
  // Until the process at the other end has ended, and no lock or name is left of it, but no longer than `timeout`.
  void wait_for_exit(Duration timeout) const;

 private:
  Fd fd_;
  std::string buffer_;
};

// kNotFound: nobody listens.
[[nodiscard]] Result<ControlConnection> connect_control(const std::string& socket_path);

class ControlServer {
 public:
  // Answers one request. Runs on a thread of its own; must end soon once stopping() says so.
  using Handler = std::function<void(const nlohmann::json& request, ControlConnection& connection)>;
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> listen(Env env, const std::string& socket_path, Handler handler);
  // Takes the socket away, lets the handlers end, joins them.
  ~ControlServer();
  [[nodiscard]] bool stopping() const { return stopping_; }

 private:
  struct Client;
  ControlServer(Env env, std::string path, Fd listener, Handler handler);
  void accept_loop();
  void serve(Client& client);

  Env env_;
  const std::string path_;
  Fd listener_;
  const Handler handler_;
  std::atomic<bool> stopping_ = false;
  std::vector<std::unique_ptr<Client>> clients_;  // of the accepting thread, then of the destructor
  std::unique_ptr<Task> acceptor_;
};

}  // namespace s3crate::cli
