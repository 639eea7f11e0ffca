// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/ini_file.h"

#include <algorithm>

#include "crypto/crypto.h"

namespace s3crate::s3 {
namespace {

constexpr std::string_view kBlank = " \t\r";  // lines may end in \r\n

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

bool is_comment(std::string_view line) { return line.starts_with('#') || line.starts_with(';'); }

std::string_view without_comment(std::string_view value) {
  for (std::size_t i = 1; i < value.size(); ++i) {
    const bool after_blank = kBlank.find(value[i - 1]) != std::string_view::npos;
    if (after_blank && is_comment(value.substr(i))) return value.substr(0, i);
  }
  return value;
}

std::string_view without_quotes(std::string_view text) {
  const bool quoted = text.size() >= 2 && text.front() == text.back() && (text[0] == '"' || text[0] == '\'');
  return quoted ? text.substr(1, text.size() - 2) : text;
}

std::string section_name(std::string_view header) {
  header = trim(header);
  const auto blank = header.find_first_of(kBlank);
  if (blank == std::string_view::npos) return std::string(without_quotes(header));
  return fmt::format("{} {}", header.substr(0, blank), without_quotes(trim(header.substr(blank))));
}

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace

class IniFile::Parser {
 public:
  Parser(IniFile& file, const std::string& path) : file_(file), path_(path) {}

  Result<> parse() {
    std::string_view rest = as_chars(file_.text_);
    if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
    while (!rest.empty()) {
      const auto end = std::min(rest.find('\n'), rest.size());
      const auto line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      ++line_number_;
      TRY(take(line));
    }
    return {};
  }

 private:
  tl::unexpected<Error> bad(std::string_view why) const {
    return fail(Code::kBadArgument, "{}:{}: {}", path_, line_number_, why);
  }

  Result<> take(std::string_view line) {
    const auto text = trim(line);
    if (text.empty() || is_comment(text)) return {};
    const auto indent = line.find_first_not_of(kBlank);
    if (owner_ && indent > owner_indent_) return take_deeper(text);
    if (text[0] == '[') return take_header(text);
    if (section_ == kNone) return bad("something stands before the first [section]");
    owner_indent_ = indent;
    return take_pair(text, {});
  }

  Result<> take_header(std::string_view text) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return bad("the line begins with [ and has no ]");
    if (const auto behind = trim(text.substr(end + 1)); !behind.empty() && !is_comment(behind)) {
      return bad("something stands behind the ]");
    }
    auto name = section_name(text.substr(1, end - 1));
    if (name.empty()) return bad("the section has no name");
    auto& sections = file_.sections_;
    const auto known = std::ranges::find(sections, name);
    section_ = static_cast<std::size_t>(known - sections.begin());
    if (known == sections.end()) sections.push_back(std::move(name));
    owner_.reset();
    return {};
  }

  Result<> take_pair(std::string_view text, std::string_view part) {
    const auto equals = text.find('=');
    const auto name = trim(text.substr(0, equals));
    if (equals == std::string_view::npos || name.empty()) return bad("a line has the form name = value");
    const auto value = trim(without_comment(text.substr(equals)).substr(1));
    file_.entries_.push_back({section_, part, name, value});
    if (part.empty()) owner_ = file_.entries_.size() - 1;
    return {};
  }

  Result<> take_deeper(std::string_view text) {
    Entry& owner = file_.entries_[*owner_];
    if (owner.value.empty()) return take_pair(text, owner.name);
    const auto size = static_cast<std::size_t>(text.data() + text.size() - owner.value.data());
    owner.value = {owner.value.data(), size};
    return {};
  }

  static constexpr std::size_t kNone = SIZE_MAX;
  IniFile& file_;
  const std::string& path_;
  std::size_t line_number_ = 0;
  std::size_t section_ = kNone;
  std::optional<std::size_t> owner_;  // the entry that deeper lines belong to
  std::size_t owner_indent_ = 0;
};

Result<IniFile> IniFile::parse(Bytes text, const std::string& path) {
  IniFile file(std::move(text));
  TRY(Parser(file, path).parse());
  return file;
}

IniFile::~IniFile() { crypto::wipe(text_); }

IniFile& IniFile::operator=(IniFile&& other) noexcept {
  text_.swap(other.text_);
  sections_.swap(other.sections_);
  entries_.swap(other.entries_);
  return *this;
}

bool IniFile::has(std::string_view section) const {
  return std::ranges::find(sections_, section) != sections_.end();
}

std::optional<std::string_view> IniFile::find(std::string_view section, std::string_view name,
                                              std::string_view part) const {
  const auto known = std::ranges::find(sections_, section);
  const auto index = static_cast<std::size_t>(known - sections_.begin());
  const auto last = std::find_if(entries_.rbegin(), entries_.rend(), [&](const Entry& e) {
    return e.section == index && same_name(e.name, name) && same_name(e.part, part);
  });
  if (last == entries_.rend() || last->value.empty()) return std::nullopt;
  return last->value;
}

}  // namespace s3crate::s3
