// SPDX-License-Identifier: GPL-3.0-or-later
// bucket policy: the policy on standard output, so that it can go into a file; what it does and how
// it is put into force on standard error. Nothing is asked of the store.
#include "s3/bucket_policy.h"

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "cli/command.h"
#include "cli/stack.h"
#include "io/file_io.h"
#include "s3/settings.h"

namespace s3crate::cli {
namespace {

// By option, variable or profile, as for the other commands.
Result<std::string> region_of(const Arguments& arguments) {
  const s3::Environment environment = [](const char* name) -> const char* {
    return std::getenv(name);
  };
  const auto files = TRY(s3::SharedFiles::load(io::posix_file_io(), environment, ""));
  const s3::GivenSettings given = {.region = arguments.has("region") ? arguments.text("region")
                                                                     : std::string()};
  return TRY(s3::resolve_settings(given, environment, files)).region;
}

}  // namespace

CommandResult run_bucket_policy(Context& context) {
  const Arguments& arguments = context.arguments;
  const Url url = TRY(bucket_argument(arguments));
  if (!arguments.has("role"))
    return fail(Code::kBadArgument, "whose policy? Add --role reader, writer, pruner or public");
  s3::PolicyRequest request{.bucket = url.bucket, .prefix = url.prefix};
  request.region = TRY(region_of(arguments));
  const auto role = s3::parse_bucket_role(arguments.text("role"));
  CHECK(role.has_value());
  request.role = *role;
  if (arguments.has("principal")) request.principal = arguments.text("principal");
  const auto policy = TRY(s3::bucket_policy(request));
  const auto explanation = s3::explain_bucket_policy(request);
  context.out.print(policy);
  context.out.print_json({{"role", arguments.text("role")},
                          {"policy", nlohmann::json::parse(policy)},
                          {"explanation", explanation}});
  if (!context.out.json()) std::fprintf(stderr, "\n%s", explanation.c_str());
  return kDone;
}

}  // namespace s3crate::cli
