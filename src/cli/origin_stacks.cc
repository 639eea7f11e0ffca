// SPDX-License-Identifier: GPL-3.0-or-later
// Where the origins of a fork are. They are told by their vid, from which all else follows: whatever else a store shows cannot be
// taken for them.
#include <algorithm>

#include "base/parallel.h"
#include "cli/stack.h"
#include "segment/object_names.h"

namespace s3crate::cli {
namespace {

struct Moved {
  std::string fingerprint;
  Url url;
};

Result<std::vector<Moved>> moved_origins(const Arguments& arguments) {
  std::vector<Moved> out;
  for (const std::string& text : arguments.texts("origin-url")) {
    const auto equals = text.find('=');
    if (equals == std::string::npos)
      return fail(Code::kBadArgument, "--origin-url {}: write FINGERPRINT=URL", text);
    auto fingerprint = parse_fingerprint(std::string_view(text).substr(0, equals));
    if (!fingerprint) return fail(fingerprint.error().within("--origin-url"));
    auto url = parse_url(std::string_view(text).substr(equals + 1));
    if (!url) return fail(url.error().within("--origin-url"));
    if (!url->point.empty()) return fail(Code::kBadArgument, "--origin-url {}: leave \"@{}\" out", text, url->point);
    out.push_back({std::move(*fingerprint), std::move(*url)});
  }
  return out;
}

Result<Url> place_of(const volume::Origin& origin, const std::vector<Moved>& moved) {
  const auto found = std::ranges::find_if(moved, [&](const Moved& m) { return to_hex(origin.vid).starts_with(m.fingerprint); });
  return found == moved.end() ? parse_url(origin.url) : Result<Url>(found->url);
}

// kNotFound: it is not there, for good; other errors may pass.
Result<> look_at(store::ObjectStore& store, const segment::Vid& vid) {
  const auto object = store.get(std::string(segment::kVolumeName), volume::kVolumeObjectMax);
  if (!object && !is(object, Code::kNotFound) && !is(object, Code::kCorrupt)) return fail(object.error());
  if (object && crypto::blake2b(*object) == vid) return {};
  return fail(Code::kNotFound, "{}", object ? "there is another volume" : "there is no volume");
}

}  // namespace

Result<> Stack::attach_origins(Env env, const volume::VolumeObject& fork, const Arguments& arguments) {
  if (fork.origins.empty()) return {};
  const auto moved = TRY(moved_origins(arguments));
  for (const Moved& m : moved) {
    const auto is_it = [&](const volume::Origin& origin) { return to_hex(origin.vid).starts_with(m.fingerprint); };
    if (std::ranges::none_of(fork.origins, is_it))
      return fail(Code::kBadArgument, "--origin-url: this volume does not come from {}", m.fingerprint);
  }
  struct Found {
    std::string what;
    std::unique_ptr<Stack> stack;
    Result<> looked;
  };
  std::vector<Found> found(fork.origins.size());
  parallel(env.executor, found.size(), found.size(), [&](std::size_t i) {
    const volume::Origin& origin = fork.origins[i];
    const auto url = place_of(origin, moved);
    found[i].what = fmt::format("origin {} at {}", volume::fingerprint(origin.vid), url ? url->text() : origin.url);
    auto stack = url ? Stack::make(env, *url, arguments, outage_, outage_timeout_) : fail(url.error());
    found[i].looked = stack ? look_at((*stack)->store(), origin.vid) : fail(stack.error());
    if (stack) found[i].stack = std::move(*stack);
  });
  for (Found& one : found) {
    if (!one.looked) {
      const Error& why = one.looked.error();
      origin_notes_.push_back(fmt::format("{}: {}: what it holds of the disk cannot be read. If it has moved, say where with "
                                          "--origin-url FINGERPRINT=URL", one.what, why.message()));
      if (!one.stack || one.stack->given_up() || why.code() == Code::kNotFound) {
        front_->attach_missing(why.within(one.what));
        continue;
      }
    }
    front_->attach(one.stack->store(), one.what);
    origin_stacks_.push_back(std::move(one.stack));
  }
  if (outage_ != Outage::kWait)
    for (const auto& note : origin_notes_) std::fprintf(stderr, "s3crate-blk: warning: %s\n", note.c_str());
  return {};
}

}  // namespace s3crate::cli
