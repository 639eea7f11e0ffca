// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/keys.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

#include "cli/files.h"
#include "cli/prompt.h"

namespace s3crate::cli {
namespace {

constexpr std::size_t kPassphraseMax = 4096;

struct Origin {
  std::string key_file, passphrase_file, passphrase_command;
  [[nodiscard]] bool empty() const { return key_file.empty() && passphrase_file.empty() && passphrase_command.empty(); }
  [[nodiscard]] bool has_passphrase() const { return !passphrase_file.empty() || !passphrase_command.empty(); }
};

Origin from_options(const Arguments& arguments, bool typed) {
  const auto get = [&](std::string_view name) {
    return arguments.has(name) && arguments.typed(name) == typed ? arguments.text(name) : std::string();
  };
  return {get("key-file"), get("passphrase-file"), get("passphrase-command")};
}

Origin from_environment() {
  const auto get = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  return {get("S3CRATE_KEY_FILE"), get("S3CRATE_PASSPHRASE_FILE"), get("S3CRATE_PASSPHRASE_COMMAND")};
}

Origin from_credentials() {
  Origin origin;
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || directory[0] != '/') return origin;
  const auto take = [&](std::string_view name, std::string& path) {
    auto candidate = fmt::format("{}/{}", directory, name);
    if (::access(candidate.c_str(), R_OK) == 0) path = std::move(candidate);
  };
  take(kKeyCredential, origin.key_file);
  take(kPassphraseCredential, origin.passphrase_file);
  return origin;
}

Result<Origin> find_origin(const Arguments& arguments) {
  for (const Origin& origin :
       {from_options(arguments, true), from_environment(), from_options(arguments, false), from_credentials()}) {
    if (origin.empty()) continue;
    if (!origin.passphrase_file.empty() && !origin.passphrase_command.empty()) {
      return fail(Code::kBadArgument, "a passphrase file and a passphrase command are given: choose one");
    }
    return origin;
  }
  return Origin{};
}

void wipe(std::string& text) { crypto::wipe({reinterpret_cast<std::uint8_t*>(text.data()), text.size()}); }

Result<crypto::Secret> read_key_file(const std::string& path) {
  auto content = read_small_file(path, kPassphraseMax);
  if (!content) return fail(Code::kBadKey, "{}", content.error().message());
  if (content->size() != crypto::kSecretSize) {
    wipe(*content);
    return fail(Code::kBadKey, "{} is no key file: it has {} bytes instead of {} (make one with s3crate-blk key new)", path,
                content->size(), crypto::kSecretSize);
  }
  auto key = crypto::Secret::copy_of(as_bytes(*content));
  wipe(*content);
  return key;
}

// Its first line.
Result<Bytes> passphrase_of(std::string content, const std::string& source) {
  const auto end = std::min(content.find('\n'), content.size());
  const bool has_return = end > 0 && content[end - 1] == '\r';
  const auto line = as_bytes(content).subspan(0, end - (has_return ? 1 : 0));
  Bytes passphrase(line.begin(), line.end());
  wipe(content);
  if (passphrase.empty()) return fail(Code::kBadKey, "there is no passphrase in the first line of {}", source);
  return passphrase;
}

Result<Bytes> read_passphrase_file(const std::string& path) {
  auto content = path == "-" ? read_small_file(STDIN_FILENO, "standard input", kPassphraseMax)
                             : read_small_file(path, kPassphraseMax);
  if (!content) return fail(Code::kBadKey, "{}", content.error().message());
  return passphrase_of(std::move(*content), path == "-" ? "standard input" : path);
}

Result<Bytes> run_passphrase_command(const std::string& command) {
  std::FILE* output = ::popen(command.c_str(), "re");
  if (output == nullptr) return fail(Code::kBadKey, "the passphrase command cannot be started");
  auto content = read_small_file(::fileno(output), "what the passphrase command prints", kPassphraseMax);
  const int status = ::pclose(output);
  if (!content) return fail(Code::kBadKey, "{}", content.error().message());
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    wipe(*content);
    return fail(Code::kBadKey, "the passphrase command failed (status {})", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  }
  return passphrase_of(std::move(*content), "what the passphrase command prints");
}

Result<Bytes> given_passphrase(const Origin& origin) {
  return origin.passphrase_file.empty() ? run_passphrase_command(origin.passphrase_command)
                                        : read_passphrase_file(origin.passphrase_file);
}

tl::unexpected<Error> no_key(const std::string& volume) {
  return fail(Code::kBadKey, "no key for {}: give --key-file, --passphrase-file or --passphrase-command", volume);
}

}  // namespace

Result<volume::KeySource> key_source(const Arguments& arguments, const std::string& volume) {
  const Origin origin = TRY(find_origin(arguments));
  volume::KeySource source;
  if (!origin.key_file.empty()) source.key_file = TRY(read_key_file(origin.key_file));
  source.passphrase = [origin, volume]() -> Result<std::optional<Bytes>> {
    if (origin.has_passphrase()) return TRY(given_passphrase(origin));
    if (!origin.empty()) return std::nullopt;
    auto typed = TRY(ask_secret(fmt::format("Passphrase for {}: ", volume)));
    if (!typed) return no_key(volume);
    return typed;
  };
  return source;
}

Result<std::optional<volume::KeySource>> offered_keys(const Arguments& arguments) {
  const Origin origin = TRY(find_origin(arguments));
  if (origin.empty()) return std::nullopt;
  struct Kept {
    ~Kept() {
      if (text) crypto::wipe(*text);
    }
    std::optional<Bytes> text;
  };
  volume::KeySource source;
  if (!origin.key_file.empty()) source.key_file = TRY(read_key_file(origin.key_file));
  source.passphrase = [origin, kept = std::make_shared<Kept>()]() -> Result<std::optional<Bytes>> {
    if (!kept->text && origin.has_passphrase()) kept->text = TRY(given_passphrase(origin));
    return kept->text;
  };
  return source;
}

namespace {

Result<std::vector<volume::SlotRequest>> slots_of(const Origin& origin, const std::string& volume) {
  std::vector<volume::SlotRequest> slots;
  if (!origin.key_file.empty()) {
    slots.emplace_back();
    slots.back().key_file = TRY(read_key_file(origin.key_file));
  }
  if (origin.has_passphrase()) {
    slots.emplace_back();
    slots.back().passphrase = TRY(given_passphrase(origin));
  }
  if (!slots.empty()) return slots;
  auto first = TRY(ask_secret(fmt::format("New passphrase for {}: ", volume)));
  if (!first) return no_key(volume);
  if (first->empty()) return fail(Code::kBadKey, "an empty passphrase protects nothing");
  auto second = TRY(ask_secret("The same again: "));
  const bool same = second && equal(*first, *second);
  if (second) crypto::wipe(*second);
  if (!same) {
    crypto::wipe(*first);
    return fail(Code::kBadKey, "the two passphrases differ; nothing was made");
  }
  slots.emplace_back();
  slots.back().passphrase = std::move(*first);
  return slots;
}

}  // namespace

Result<std::vector<volume::SlotRequest>> new_slots(const Arguments& arguments, const std::string& volume) {
  return slots_of(TRY(find_origin(arguments)), volume);
}

Result<std::vector<volume::SlotRequest>> fork_slots(const Arguments& arguments, const std::string& volume) {
  Origin origin;
  if (arguments.has("new-key-file")) origin.key_file = arguments.text("new-key-file");
  if (arguments.has("new-passphrase-file")) origin.passphrase_file = arguments.text("new-passphrase-file");
  if (!origin.empty()) return slots_of(origin, volume);
  origin = TRY(find_origin(arguments));
  if (origin.passphrase_file == "-")
    return fail(Code::kBadArgument, "standard input has been read: name the key of the fork with --new-key-file or --new-passphrase-file");
  return slots_of(origin, volume);
}

Result<> check_key_options(const Arguments& arguments) {
  const Origin origin = TRY(find_origin(arguments));
  for (const auto& path : {origin.key_file, origin.passphrase_file}) {
    if (!path.empty() && path != "-" && ::access(path.c_str(), R_OK) != 0) {
      return fail(Code::kBadKey, "{}", system_error(errno, "read", path).message());
    }
  }
  return {};
}

}  // namespace s3crate::cli
