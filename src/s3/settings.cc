// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/settings.h"

#include <initializer_list>

namespace s3crate::s3 {
namespace {

struct Setting {
  std::string value;
  std::string from;
};

std::optional<Setting> from_environment(const Environment& environment, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const auto value = variable(environment, name)) return Setting{std::string(*value), name};
  }
  return std::nullopt;
}

std::optional<Setting> from_profile(const SharedFiles& files, std::string_view name) {
  for (const SharedFiles::File* file : {&files.credentials, &files.config}) {
    if (const auto value = file->find(name)) return Setting{std::string(*value), fmt::format("{} in {}", name, file->path)};
  }
  return std::nullopt;
}

std::optional<Setting> from_services(const SharedFiles& files) {
  const auto services = files.config.find("services");
  if (!services) return std::nullopt;
  const auto section = fmt::format("services {}", *services);
  const auto url = files.config.content->find(section, "endpoint_url", "s3");
  if (!url) return std::nullopt;
  return Setting{std::string(*url), fmt::format("endpoint_url in [{}] of {}", section, files.config.path)};
}

bool is_true(std::string_view text) { return text == "true" || text == "True" || text == "TRUE"; }

std::optional<Setting> find_endpoint(const GivenSettings& given, const Environment& environment, const SharedFiles& files) {
  if (!given.endpoint.empty()) return Setting{given.endpoint, "--endpoint"};
  const auto ignore = variable(environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
  if (is_true(ignore ? *ignore : files.config.find("ignore_configured_endpoint_urls").value_or(""))) return std::nullopt;
  if (auto found = from_environment(environment, {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"})) return found;
  if (auto found = from_services(files)) return found;
  return from_profile(files, "endpoint_url");
}

Result<Style> find_style(const GivenSettings& given, const SharedFiles& files) {
  if (given.path_style && given.virtual_host) {
    return fail(Code::kBadArgument, "--path-style and --virtual-host exclude each other");
  }
  if (given.path_style) return Style::path;
  if (given.virtual_host) return Style::virtual_host;
  const auto style = files.config.find("addressing_style", "s3").value_or("auto");
  if (style == "path") return Style::path;
  if (style == "virtual") return Style::virtual_host;
  if (style == "auto") return Style::guess;
  return fail(Code::kBadArgument, "addressing_style in {} is neither auto nor path nor virtual", files.config.path);
}

}  // namespace

Result<Settings> resolve_settings(const GivenSettings& given, const Environment& environment, const SharedFiles& files) {
  Settings out;
  if (auto endpoint = find_endpoint(given, environment, files)) {
    // Endpoint::make() looks at the rest, but names what it refuses.
    if (endpoint->value.find('@') != std::string::npos) {
      return fail(Code::kBadArgument, "{}: keys do not belong into the URL of a server", endpoint->from);
    }
    out.url = std::move(endpoint->value);
    out.url_from = std::move(endpoint->from);
  }

  auto region = from_environment(environment, {"AWS_REGION", "AWS_DEFAULT_REGION"});
  if (!given.region.empty()) region = Setting{given.region, "--region"};
  if (!region) region = from_profile(files, "region");
  if (region) out.region = std::move(region->value);
  auto ca_file = from_environment(environment, {"AWS_CA_BUNDLE"});
  if (!given.ca_file.empty()) ca_file = Setting{given.ca_file, "--ca-file"};
  if (!ca_file) ca_file = from_profile(files, "ca_bundle");
  if (ca_file) out.ca_file = expand_home(ca_file->value, environment);
  out.style = TRY(find_style(given, files));
  return out;
}

}  // namespace s3crate::s3
