// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/stack.h"

#include "cli/files.h"
#include "cli/keys.h"
#include "cli/process.h"
#include "io/file_io.h"
#include "store/dir_store.h"

namespace s3crate::cli {

Result<std::unique_ptr<Stack>> Stack::make(Env env, const Url& url, Outage outage, Duration outage_timeout) {
  if (url.kind == Url::Kind::s3) {
    return fail(Code::kUnsupported, "{}: this version knows no S3 yet, only file:///DIRECTORY", url.text());
  }
  std::unique_ptr<Stack> stack(new Stack);
  const auto directory = canonical_path(url.directory);
  stack->base_ = std::make_unique<store::DirStore>(io::uring_file_io(), env.random, directory);
  store::ObjectStore* top = stack->base_.get();
  if (outage == Outage::kWait) {
    stack->retry_ = std::make_unique<store::RetryStore>(env, *top, store::RetryOptions{.outage_timeout = outage_timeout});
    top = stack->retry_.get();
  }
  stack->metered_ = std::make_unique<store::MeteredStore>(env.clock, *top);
  stack->home_ = {host_name(), directory};
  return stack;
}

void Stack::cancel() {
  if (retry_) retry_->cancel();
}

Result<Url> url_argument(const Arguments& arguments) {
  auto url = TRY(parse_url(arguments.positionals().at(0)));
  if (!url.point.empty()) {
    return fail(Code::kUnsupported, "{}@{}: this version opens the newest generation only", url.text(), url.point);
  }
  return url;
}

Result<std::unique_ptr<volume::Volume>> open_volume(Env env, Stack& stack, const Url& url, const Arguments& arguments,
                                                    std::uint64_t page_cache_bytes) {
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
  const auto vid = to_hex(volume->vid());
  for (const auto& fingerprint : expected) {
    if (!vid.starts_with(fingerprint)) {
      return fail(Code::kCorrupt, "{} holds the volume {}, not {}: nothing was done with it", url.text(),
                  vid.substr(0, fingerprint.size()), fingerprint);
    }
  }
  return volume;
}

}  // namespace s3crate::cli
