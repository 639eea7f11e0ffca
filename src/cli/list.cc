// SPDX-License-Identifier: GPL-3.0-or-later
// list: the volumes below a place, and of those that a key opens what is in them. No volume hides
// another: one that cannot be opened is listed, and says why in a word.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/command.h"
#include "cli/keys.h"
#include "cli/stack.h"
#include "cli/volume_state.h"
#include "segment/object_names.h"
#include "volume/find.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 1 << 20;
// What other programs left among the commits must not hide them.
constexpr std::size_t kNewestMax = 16;

using Keys = std::optional<volume::KeySource>;

// A line, and the same for JSON.
struct Row {
  std::string url, fingerprint = "-", size = "-", generation = "-", time = "-", state = {};
  nlohmann::json json = {};
};

std::string word_for(Code code) {
  switch (code) {
    case Code::kBadKey:
      return "other key";
    case Code::kCorrupt:
      return "damaged";
    case Code::kUnsupported:
      return "newer format";
    case Code::kDenied:
      return "denied";
    case Code::kTransient:
      return "away";
    case Code::kNotFound:
      return "gone";
    default:
      return "failed";
  }
}

void take_problem(Row& row, const Error& error) {
  row.state = word_for(error.code());
  row.json["problem"] = {{"code", code_name(error.code())}, {"message", error.message()}};
}

Result<Url> place_below(const Url& url, const std::string& below) {
  Url place = url;
  if (below.empty()) return place;
  if (url.kind == Url::Kind::directory)
    place.directory += "/" + below;
  else
    place.prefix += (url.prefix.empty() ? "" : "/") + below;
  // What would not be taken as a URL is not shown as one.
  return parse_url(place.text());
}

// What needs no key. Nothing but the vid is proved by it: a volume's own signature says who made
// it, not that it is the one.
Result<> look_outside(store::ObjectStore& store, Row& row) {
  const auto bytes = TRY(store.get(std::string(segment::kVolumeName), volume::kVolumeObjectMax));
  const auto vid = crypto::blake2b(bytes);
  row.fingerprint = volume::fingerprint(vid);
  row.json["fingerprint"] = row.fingerprint;
  row.json["vid"] = to_hex(vid);
  const auto object = TRY(volume::decode_volume(bytes));
  row.json["uuid"] = to_hex(object.uuid);
  row.json["created"] = format_time(object.created);
  row.json["block_size"] = object.block_size();
  row.json["format"] = object.format;
  row.json["single_writer"] = object.single_writer;
  const auto newest = TRY(store.list(std::string(segment::kCommitsPrefix), "", kNewestMax));
  for (const auto& commit : newest.objects) {
    const auto generation = segment::parse_commit_name(commit.name);
    if (!generation) continue;
    row.generation = fmt::format("{}", *generation);
    row.json["generation"] = generation->value;
    break;
  }
  return {};
}

Result<> look_inside(Env env, store::ObjectStore& store, const volume::KeySource& keys, Row& row) {
  const auto volume =
      TRY(volume::Volume::open(env, store, keys, {.expected = {}, .page_cache_bytes = kPageCache}));
  const auto head = TRY(volume->load_head());
  const auto term = TRY(term_of(*volume, head));
  row.size = format_bytes(head.body.disk_bytes);
  row.generation = fmt::format("{}", head.header.generation);
  row.time = format_time(head.body.time);
  row.state = state_text(term);
  row.json["disk_bytes"] = head.body.disk_bytes;
  row.json["generation"] = head.header.generation.value;
  row.json["generation_time"] = row.time;
  add_state(term, row.json);
  return {};
}

Result<Row> look(Context& context, const Url& url, const Keys& keys) {
  auto stack = TRY(Stack::make(context.env, url, context.arguments, Outage::kFail));
  Row row{.url = url.text()};
  row.json["url"] = row.url;
  row.json["opened"] = false;
  auto seen = look_outside(stack->store(), row);
  if (seen && !keys) {
    row.state = "no key";
    return row;
  }
  if (seen) seen = look_inside(context.env, stack->store(), *keys, row);
  if (!seen)
    take_problem(row, seen.error());
  else
    row.json["opened"] = true;
  return row;
}

void print_rows(const Output& out, const std::vector<Row>& rows) {
  std::size_t width = 3;
  for (const Row& row : rows) width = std::max(width, row.url.size());
  const auto line = [&](const auto&... columns) {
    out.print(fmt::format("{:<{}}  {:<16}  {:>10}  {:>10}  {:<20}  {}", columns...));
  };
  line("url", width, "fingerprint", "size", "generation", "time", "state");
  for (const Row& row : rows)
    line(row.url, width, row.fingerprint, row.size, row.generation, row.time, row.state);
}

}  // namespace

CommandResult run_list(Context& context) {
  const Url url = TRY(url_argument(context.arguments));
  if (!url.fingerprint.empty()) {
    return fail(Code::kBadArgument, "list finds volumes of any fingerprint: write {}", url.text());
  }
  if (std::error_code ignored;
      url.kind == Url::Kind::directory && !std::filesystem::is_directory(url.directory, ignored)) {
    return fail(Code::kNotFound, "there is no directory {}", url.directory);
  }
  TRY(crypto::initialise());
  const Keys keys = TRY(offered_keys(context.arguments));
  auto stack = TRY(Stack::make(context.env, url, context.arguments, Outage::kFail));
  const auto found = TRY(volume::find_volumes(stack->store()));

  std::vector<Row> rows;
  for (const auto& below : found.places) {
    const auto place = place_below(url, below);
    if (place) rows.push_back(TRY(look(context, *place, keys)));
  }
  auto list = nlohmann::json::array();
  for (Row& row : rows) list.push_back(std::move(row.json));
  context.out.print_json(
      {{"url", url.text()}, {"volumes", std::move(list)}, {"complete", found.complete}});
  if (rows.empty())
    context.out.print(fmt::format("no volume at {} or below it", url.text()));
  else
    print_rows(context.out, rows);
  if (found.complete) return kDone;
  if (!context.out.json()) {
    std::fprintf(stderr,
                 "s3crate-blk: %s holds too much to look at all of it: name a prefix of it\n",
                 url.text().c_str());
  }
  return kFailed;
}

}  // namespace s3crate::cli
