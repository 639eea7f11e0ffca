// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/shared_files.h"

#include "crypto/crypto.h"

namespace s3crate::s3 {
namespace {

constexpr std::uint64_t kFileMax = 256 * 1024;

// Nothing if there is no such file.
Result<std::optional<IniFile>> read_ini(io::FileIo& files, const std::string& path) {
  auto opened = files.open(path, io::OpenMode::read_only);
  if (is(opened, Code::kNotFound)) return std::nullopt;
  if (!opened) return fail(opened.error().within(fmt::format("{} cannot be read", path)));
  const auto size = (*opened)->size();
  if (!size) return fail(size.error().within(fmt::format("{} cannot be read", path)));
  if (*size > kFileMax) return fail(Code::kBadArgument, "{} has {} bytes, more than the {} such a file may have", path, *size, kFileMax);
  Bytes text(*size);
  if (*size > 0) {
    auto read = (*opened)->read_at(0, text);
    if (!read) {
      crypto::wipe(text);
      return fail(read.error().within(fmt::format("{} cannot be read", path)));
    }
  }
  return TRY(IniFile::parse(std::move(text), path));
}

// The names of profiles, for a message.
void collect_profiles(const std::optional<IniFile>& file, std::string_view kind, std::string& list) {
  if (!file) return;
  for (const std::string& section : file->sections()) {
    if (section != "default" && !section.starts_with(kind)) continue;
    const auto name = section == "default" ? section : section.substr(kind.size());
    if (fmt::format(", {},", list).find(fmt::format(", {},", name)) != std::string::npos) continue;
    list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
  }
}

}  // namespace

std::optional<std::string_view> variable(const Environment& environment, const char* name) {
  const char* value = environment(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::string expand_home(std::string_view path, const Environment& environment) {
  const auto home = variable(environment, "HOME");
  if (!path.starts_with("~/") || !home) return std::string(path);
  return fmt::format("{}{}", *home, path.substr(1));
}

std::optional<std::string_view> SharedFiles::File::find(std::string_view name, std::string_view part) const {
  if (!content) return std::nullopt;
  return content->find(section, name, part);
}

std::string SharedFiles::File::describe(const std::string& profile) const {
  const char* state = "";
  if (path.starts_with("~/")) state = " (HOME is not set)";
  else if (!content) state = " (there is no such file)";
  else if (!content->has(section)) state = " (which has none of that name)";
  return fmt::format("the profile \"{}\" of {}{}", profile, path, state);
}

Result<SharedFiles> SharedFiles::load(io::FileIo& files, const Environment& environment,
                                      const std::string& profile_option) {
  SharedFiles out;
  const auto named = variable(environment, "AWS_PROFILE");
  out.profile_by_option = !profile_option.empty();
  out.profile = out.profile_by_option ? profile_option : std::string(named.value_or("default"));
  const auto place = [&](const char* name, std::string_view fallback) {
    return expand_home(variable(environment, name).value_or(fallback), environment);
  };
  out.credentials.path = place("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
  out.config.path = place("AWS_CONFIG_FILE", "~/.aws/config");
  for (File* file : {&out.credentials, &out.config}) {
    if (!file->path.starts_with("~/")) file->content = TRY(read_ini(files, file->path));
  }
  out.credentials.section = out.profile;
  out.config.section = fmt::format("profile {}", out.profile);
  const auto& config = out.config.content;
  if (out.profile == "default" && config && !config->has(out.config.section)) out.config.section = "default";

  const auto has = [](const File& file) { return file.content && file.content->has(file.section); };
  if ((out.profile_by_option || named) && !has(out.credentials) && !has(out.config)) {
    std::string known;
    collect_profiles(out.credentials.content, "", known);
    collect_profiles(out.config.content, "profile ", known);
    return fail(Code::kBadArgument, "{} names a profile \"{}\" that is neither in {} nor in {}; {}",
                out.profile_by_option ? "--profile" : "AWS_PROFILE", out.profile, out.credentials.path, out.config.path,
                known.empty() ? "there are none in them" : fmt::format("those have: {}", known));
  }
  return out;
}

}  // namespace s3crate::s3
