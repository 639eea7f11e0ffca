// SPDX-License-Identifier: GPL-3.0-or-later
// Who we are to the store: credentials, and where they come from.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "crypto/crypto.h"

namespace s3crate::s3 {

// One set, whole and never changed. The secret and the token are wiped when the last holder lets
// go.
struct Credentials {
  Credentials(std::string access_key, Bytes secret, std::string session_token)
      : access_key(std::move(access_key)),
        secret(std::move(secret)),
        session_token(std::move(session_token)) {}
  ~Credentials() {
    crypto::wipe(secret);
    crypto::wipe({reinterpret_cast<std::uint8_t*>(session_token.data()), session_token.size()});
  }
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  const std::string access_key;
  Bytes secret;
  std::string session_token;  // empty: none
};

// Asked before every try of every request, so it answers from memory unless it has to refresh.
// Thread-safe. A null pointer stands for nobody: requests go unsigned.
// kTransient if a try later may help; kDenied if there are no credentials to be had.
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  [[nodiscard]] virtual Result<std::shared_ptr<const Credentials>> get() = 0;
  // Where those came from that get() gave: "the environment". Empty if it is not known.
  [[nodiscard]] virtual std::string where() { return {}; }
};

}  // namespace s3crate::s3
