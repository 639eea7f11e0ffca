// SPDX-License-Identifier: GPL-3.0-or-later
// Where the server is and how it is talked to: the first of these that says so.
//
//   setting   option            environment           profile                               else
//   endpoint  --endpoint        AWS_ENDPOINT_URL_S3,  endpoint_url in the s3 part of        Amazon's
//                               AWS_ENDPOINT_URL      [services X], where X is services;    of the region
//                                                     endpoint_url
//   region    --region          AWS_REGION,           region                                us-east-1
//                               AWS_DEFAULT_REGION
//   ca_file   --ca-file         AWS_CA_BUNDLE         ca_bundle                             the system's
//   style     --path-style,                           addressing_style in the s3 part       a guess
//             --virtual-host
//
// With AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true (or ignore_configured_endpoint_urls in the profile)
// only the option names an endpoint. Endpoint, region and ca_bundle may stand in either file of the
// profile, the rest in the config file.
#pragma once

#include "s3/endpoint.h"
#include "s3/shared_files.h"

namespace s3crate::s3 {

// By option; empty: not given.
struct GivenSettings {
  std::string endpoint = {};
  std::string region = {};
  std::string ca_file = {};
  bool path_style = false;
  bool virtual_host = false;
};

// Empty: nobody said any.
struct Settings {
  std::string url;       // of the server, as it was said
  std::string url_from;  // "--endpoint", "AWS_ENDPOINT_URL", "endpoint_url in /root/.aws/config"
  std::string region;
  std::string ca_file;
  Style style = Style::guess;
};

// kBadArgument, and who said what makes no sense.
[[nodiscard]] Result<Settings> resolve_settings(const GivenSettings& given, const Environment& environment,
                                                const SharedFiles& files);

}  // namespace s3crate::s3
