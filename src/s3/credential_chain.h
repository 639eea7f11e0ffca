// SPDX-License-Identifier: GPL-3.0-or-later
// CredentialChain: a list of places where credentials may be, in the order of the AWS tools. The first that has some
// is the one from then on.
//
//   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; not if a profile was chosen by option
//   2. the profile in the shared credentials file
//   3. the profile in the shared config file
//
// Each place is a CredentialSource that answers kNotFound if it has nothing to say; any other error ends the search,
// for half a pair of keys is a mistake and no reason to go on as somebody else. What has to be fetched and refreshed
// (a process, web identity, the metadata of a machine) is one more place in the list.
#pragma once

#include <vector>

#include "base/mutex.h"
#include "s3/credentials.h"
#include "s3/shared_files.h"

namespace s3crate::s3 {

class CredentialChain final : public CredentialSource {
 public:
  struct Link {
    std::string where;  // for the message that nothing was found
    std::unique_ptr<CredentialSource> source;
  };
  explicit CredentialChain(std::vector<Link> links) : links_(std::move(links)) {}

  [[nodiscard]] Result<std::shared_ptr<const Credentials>> get() override;
  [[nodiscard]] std::string where() override;

 private:
  const std::vector<Link> links_;
  Mutex mu_;
  std::optional<std::size_t> chosen_ GUARDED_BY(mu_);
};

// The list above.
[[nodiscard]] std::unique_ptr<CredentialSource> make_credential_chain(const Environment& environment,
                                                                      const SharedFiles& files);
// For --anonymous: nobody.
[[nodiscard]] std::unique_ptr<CredentialSource> make_anonymous();

}  // namespace s3crate::s3
