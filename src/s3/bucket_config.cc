// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/bucket_config.h"

#include <cstring>
#include <pugixml.hpp>

#include "s3/xml.h"

namespace s3crate::s3 {
namespace {

constexpr std::size_t kRulesMax = 1000;
constexpr std::size_t kGrantsMax = 1000;

// The document's one element, if it has this name.
Result<pugi::xml_node> root_of(pugi::xml_document& document, ByteView xml, const char* name) {
  if (!document.load_buffer(xml.data(), xml.size()))
    return fail(Code::kCorrupt, "the answer is not XML");
  pugi::xml_node root = document.child(name);
  if (!root) return fail(Code::kCorrupt, "the answer is not about that");
  return root;
}

// A yes or no that has to be there.
Result<bool> truth(pugi::xml_node node, const char* name) {
  std::string text = node.child_value(name);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (text != "true" && text != "false")
    return fail(Code::kCorrupt, "the answer does not say {}", name);
  return text == "true";
}

std::string expiry(pugi::xml_node expiration) {
  const std::string days = plain_text(expiration.child_value("Days"));
  const std::string date = plain_text(expiration.child_value("Date"));
  if (!days.empty()) return fmt::format("after {} days", days);
  return date.empty() ? date : "on " + date;
}

// The prefix stands in one of three places, as the years went by.
std::string rule_prefix(pugi::xml_node rule) {
  const pugi::xml_node filter = rule.child("Filter");
  for (const pugi::xml_node& node : {filter.child("And"), filter, rule}) {
    if (node.child("Prefix")) return node.child_value("Prefix");
  }
  return {};
}

bool wants_tag(pugi::xml_node rule) {
  const pugi::xml_node filter = rule.child("Filter");
  return filter.child("Tag") || filter.child("And").child("Tag");
}

bool says(const char* text, const char* word) { return std::strcmp(text, word) == 0; }

}  // namespace

Result<Versioning> parse_versioning(ByteView xml) {
  pugi::xml_document document;
  const char* status = TRY(root_of(document, xml, "VersioningConfiguration")).child_value("Status");
  if (says(status, "Enabled")) return Versioning::enabled;
  return says(status, "Suspended") ? Versioning::suspended : Versioning::off;
}

bool LifecycleRule::concerns(std::string_view names) const {
  return names.starts_with(prefix) || std::string_view(prefix).starts_with(names);
}

Result<std::vector<LifecycleRule>> parse_lifecycle(ByteView xml) {
  pugi::xml_document document;
  std::vector<LifecycleRule> rules;
  for (pugi::xml_node node :
       TRY(root_of(document, xml, "LifecycleConfiguration")).children("Rule")) {
    if (!says(node.child_value("Status"), "Enabled") || wants_tag(node)) continue;
    if (rules.size() == kRulesMax)
      return fail(Code::kCorrupt, "there are more than {} rules", kRulesMax);
    LifecycleRule rule{.id = plain_text(node.child_value("ID")),
                       .prefix = rule_prefix(node),
                       .expires = expiry(node.child("Expiration")),
                       .moves_to = {}};
    for (pugi::xml_node move : node.children("Transition")) {
      if (rule.moves_to.size() == kRulesMax)
        return fail(Code::kCorrupt, "a rule has more than {} steps", kRulesMax);
      rule.moves_to.push_back(plain_text(move.child_value("StorageClass")));
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

Result<ObjectLock> parse_object_lock(ByteView xml) {
  pugi::xml_document document;
  const pugi::xml_node root = TRY(root_of(document, xml, "ObjectLockConfiguration"));
  ObjectLock lock;
  lock.enabled = says(root.child_value("ObjectLockEnabled"), "Enabled");
  const pugi::xml_node retention = root.child("Rule").child("DefaultRetention");
  if (!retention) return lock;
  const bool years = static_cast<bool>(retention.child("Years"));
  lock.retention = fmt::format("{} for {} {}", plain_text(retention.child_value("Mode")),
                               plain_text(retention.child_value(years ? "Years" : "Days")),
                               years ? "years" : "days");
  return lock;
}

Result<bool> parse_policy_status(ByteView xml) {
  pugi::xml_document document;
  return truth(TRY(root_of(document, xml, "PolicyStatus")), "IsPublic");
}

Result<bool> parse_public_access_block(ByteView xml) {
  pugi::xml_document document;
  auto found = root_of(document, xml, "PublicAccessBlockConfiguration");
  // As Ceph calls it.
  if (!found) found = root_of(document, xml, "BlockPublicAccessBlockConfiguration");
  const pugi::xml_node root = TRY(found);
  bool all = true;
  for (const char* name :
       {"BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"}) {
    all = TRY(truth(root, name)) && all;
  }
  return all;
}

Result<std::vector<PublicGrant>> parse_acl(ByteView xml) {
  pugi::xml_document document;
  std::vector<PublicGrant> grants;
  const pugi::xml_node list =
      TRY(root_of(document, xml, "AccessControlPolicy")).child("AccessControlList");
  for (pugi::xml_node grant : list.children("Grant")) {
    const std::string_view whom = grant.child("Grantee").child_value("URI");
    const bool everybody = whom.ends_with("/groups/global/AllUsers");
    if (!everybody && !whom.ends_with("/groups/global/AuthenticatedUsers")) continue;
    if (grants.size() == kGrantsMax)
      return fail(Code::kCorrupt, "there are more than {} grants", kGrantsMax);
    grants.push_back({everybody, plain_text(grant.child_value("Permission"))});
  }
  return grants;
}

Result<std::string> parse_location(ByteView xml) {
  pugi::xml_document document;
  return plain_text(TRY(root_of(document, xml, "LocationConstraint")).child_value());
}

}  // namespace s3crate::s3
