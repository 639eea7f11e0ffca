// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/credential_chain.h"

#include <algorithm>

namespace s3crate::s3 {
namespace {

using Answer = Result<std::shared_ptr<const Credentials>>;
constexpr std::size_t kPartMax = 16 * 1024;  // session tokens have some 1 to 4 KiB

class FixedSource final : public CredentialSource {
 public:
  explicit FixedSource(Answer answer) : answer_(std::move(answer)) {}
  Answer get() override { return answer_; }

 private:
  const Answer answer_;
};

struct Part {
  std::string_view name;
  std::optional<std::string_view> value;
};

// Parts of credentials go into headers.
bool is_fit(std::string_view value) {
  return value.size() <= kPartMax && std::ranges::all_of(value, [](char c) { return c > ' ' && c < 0x7f; });
}

Answer credentials_of(const std::string& where, const Part& key, const Part& secret, const Part& token) {
  if (!key.value && !secret.value) return fail(Code::kNotFound, "no credentials in {}", where);
  if (!key.value || !secret.value) {
    const Part& there = key.value ? key : secret;
    const Part& missing = key.value ? secret : key;
    return fail(Code::kDenied, "{} has {} but no {}: give both or none", where, there.name, missing.name);
  }
  for (const Part& part : {key, secret, token}) {
    if (part.value && !is_fit(*part.value)) {
      return fail(Code::kDenied, "{}: {} is too long, or has spaces or other characters that no key has", where, part.name);
    }
  }
  const ByteView bytes = as_bytes(*secret.value);
  return std::make_shared<const Credentials>(std::string(*key.value), Bytes(bytes.begin(), bytes.end()),
                                             std::string(token.value.value_or("")));
}

Answer from_environment(const Environment& environment) {
  const auto part = [&](const char* name) { return Part{name, variable(environment, name)}; };
  return credentials_of("the environment", part("AWS_ACCESS_KEY_ID"), part("AWS_SECRET_ACCESS_KEY"), part("AWS_SESSION_TOKEN"));
}

Answer from_file(const SharedFiles::File& file, const std::string& where) {
  const auto part = [&](std::string_view name) { return Part{name, file.find(name)}; };
  return credentials_of(where, part("aws_access_key_id"), part("aws_secret_access_key"), part("aws_session_token"));
}

}  // namespace

Result<std::shared_ptr<const Credentials>> CredentialChain::get() {
  std::optional<std::size_t> chosen;
  {
    MutexLock lock(mu_);
    chosen = chosen_;
  }
  if (chosen) return links_[*chosen].source->get();
  std::string places;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    auto answer = links_[i].source->get();
    if (is(answer, Code::kNotFound)) {
      places += fmt::format("{}{}", places.empty() ? "" : ", nor in ", links_[i].where);
      continue;
    }
    if (answer) {
      MutexLock lock(mu_);
      chosen_ = i;
    }
    return answer;
  }
  return fail(Code::kDenied,
              "no credentials for S3: there are none in {}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a "
              "--profile, or say --anonymous if the bucket is public", places);
}

std::string CredentialChain::where() {
  MutexLock lock(mu_);
  return chosen_ ? links_[*chosen_].where : std::string();
}

std::unique_ptr<CredentialSource> make_credential_chain(const Environment& environment, const SharedFiles& files) {
  std::vector<CredentialChain::Link> links;
  const auto add = [&](std::string where, Answer answer) {
    links.push_back({std::move(where), std::make_unique<FixedSource>(std::move(answer))});
  };
  if (!files.profile_by_option) add("the environment", from_environment(environment));
  for (const SharedFiles::File* file : {&files.credentials, &files.config}) {
    const auto where = file->describe(files.profile);
    add(where, from_file(*file, where));
  }
  return std::make_unique<CredentialChain>(std::move(links));
}

std::unique_ptr<CredentialSource> make_anonymous() { return std::make_unique<FixedSource>(nullptr); }

}  // namespace s3crate::s3
