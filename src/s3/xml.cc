// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/xml.h"

#include <charconv>
#include <pugixml.hpp>

namespace s3crate::s3 {
namespace {

constexpr std::size_t kTextMax = 300;
constexpr std::size_t kTokenMax = 4096;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

Result<std::string> uri_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return fail(Code::kCorrupt, "a name in the list is badly encoded");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t size = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return fail(Code::kCorrupt, "a size in the list is no number");
  }
  return size;
}

}  // namespace

std::string plain_text(std::string_view text) {
  std::string out(text.substr(0, kTextMax));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return out;
}

Refusal parse_refusal(int status, ByteView body) {
  Refusal refusal;
  refusal.status = status;
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) return refusal;
  pugi::xml_node error = document.child("Error");
  refusal.code = plain_text(error.child_value("Code"));
  refusal.message = plain_text(error.child_value("Message"));
  refusal.region = plain_text(error.child_value("Region"));
  refusal.endpoint = plain_text(error.child_value("Endpoint"));
  return refusal;
}

Result<Listing> parse_listing(ByteView body, std::size_t keys_max) {
  if (as_chars(body).find("ListBucketResult") == std::string_view::npos) {
    return fail(Code::kUnsupported, "the answer is no list");
  }
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) {
    return fail(Code::kCorrupt, "the list is not XML");
  }
  pugi::xml_node root = document.child("ListBucketResult");
  if (!root) return fail(Code::kCorrupt, "the answer is no list");
  const std::string_view encoding = root.child_value("EncodingType");
  const std::string_view truncated = root.child_value("IsTruncated");
  if (truncated != "true" && truncated != "false") {
    return fail(Code::kCorrupt, "the list does not say whether it is complete");
  }
  Listing listing;
  listing.truncated = truncated == "true";
  listing.token = root.child_value("NextContinuationToken");
  if (listing.token.size() > kTokenMax)
    return fail(Code::kCorrupt, "the list has an endless token");
  for (pugi::xml_node entry : root.children("Contents")) {
    if (listing.keys.size() == keys_max) {
      return fail(Code::kCorrupt, "the list has more than the {} names asked for", keys_max);
    }
    std::string key = entry.child_value("Key");
    if (encoding == "url") key = TRY(uri_decode(key));
    const std::uint64_t size = TRY(parse_size(entry.child_value("Size")));
    listing.keys.push_back({std::move(key), size});
  }
  return listing;
}

}  // namespace s3crate::s3
