// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/s3/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "tests/s3/text.h"
#include "tests/s3/verify.h"

namespace s3crate::test::strict {
namespace {

constexpr const char* kXml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
constexpr const char* kNamespace = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

Response xml_response(const std::string& body) {
  Response out;
  out.headers["Content-Type"] = "application/xml";
  out.text = kXml + body;
  return out;
}

const std::string* parameter(const Query& query, std::string_view name) {
  for (const auto& [key, value] : query) {
    if (key == name) return &value;
  }
  return nullptr;
}

bool parse_size(std::string_view text, std::uint64_t& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

// bytes=A-B, bytes=A- or bytes=-N of an object; false if it is written otherwise. An empty range
// (length 0) cannot be satisfied.
bool parse_range(const std::string& text, std::uint64_t size, std::uint64_t& offset,
                 std::uint64_t& length) {
  if (!text.starts_with("bytes=")) return false;
  auto dash = text.find('-');
  if (dash == std::string::npos) return false;
  std::string_view first = std::string_view(text).substr(6, dash - 6);
  std::string_view last = std::string_view(text).substr(dash + 1);
  std::uint64_t a = 0, b = size == 0 ? 0 : size - 1;
  if (first.empty()) {
    if (!parse_size(last, a)) return false;
    length = std::min(a, size);
    offset = size - length;
    return true;
  }
  if (!parse_size(first, a)) return false;
  if (!last.empty() && (!parse_size(last, b) || b < a)) return false;
  offset = a;
  length = a >= size ? 0 : std::min(b, size - 1) - a + 1;
  return true;
}

// An answer about the bucket: a word for one of the usual ones, or XML as it stands.
Response configured(const std::string& value, const Response& when_off,
                    const std::map<std::string, std::string>& words) {
  if (value == "off") return when_off;
  if (value == "403") return error_response(403, "AccessDenied", "Access Denied");
  if (value == "501") return error_response(501, "NotImplemented", "Not implemented here");
  auto word = words.find(value);
  return xml_response(word == words.end() ? value : word->second);
}

Response acl_answer(const Settings& settings) {
  constexpr const char* kInstance = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";
  const std::string owner = "<ID>0123456789abcdef</ID>";
  auto grant = [&](const char* type, const std::string& whom, const char* permission) {
    return fmt::format(
        "<Grant><Grantee {} xsi:type=\"{}\">{}</Grantee><Permission>{}</Permission></Grant>",
        kInstance, type, whom, permission);
  };
  auto body = [&](const std::string& grants) {
    return fmt::format(
        "<AccessControlPolicy {}><Owner>{}</Owner><AccessControlList>{}{}</AccessControlList>"
        "</AccessControlPolicy>",
        kNamespace, owner, grant("CanonicalUser", owner, "FULL_CONTROL"), grants);
  };
  const std::string everybody = "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>";
  return configured(settings.acl, {},
                    {{"private", body("")},
                     {"public-read", body(grant("Group", everybody, "READ"))}});
}

Response bucket_answer(const Route& route, const Settings& settings) {
  if (route.operation == "GetBucketVersioning") {
    auto body = [](const std::string& status) {
      return fmt::format("<VersioningConfiguration {}>{}</VersioningConfiguration>", kNamespace,
                         status);
    };
    return configured(settings.versioning, xml_response(body("")),
                      {{"Enabled", body("<Status>Enabled</Status>")},
                       {"Suspended", body("<Status>Suspended</Status>")}});
  }
  if (route.operation == "GetBucketLocation") {
    bool classic = settings.region == "us-east-1";
    return xml_response(fmt::format("<LocationConstraint {}>{}</LocationConstraint>", kNamespace,
                                    classic ? "" : xml_escape(settings.region)));
  }
  if (route.operation == "GetBucketLifecycleConfiguration") {
    return configured(settings.lifecycle,
                      error_response(404, "NoSuchLifecycleConfiguration",
                                     "The lifecycle configuration does not exist"),
                      {});
  }
  if (route.operation == "GetBucketPolicyStatus") {
    auto body = [](const char* word) {
      return fmt::format("<PolicyStatus {}><IsPublic>{}</IsPublic></PolicyStatus>", kNamespace,
                         word);
    };
    return configured(settings.policy_status,
                      error_response(404, "NoSuchBucketPolicy", "The bucket policy does not exist"),
                      {{"public", body("true")}, {"private", body("false")}});
  }
  if (route.operation == "GetObjectLockConfiguration") {
    return configured(settings.object_lock,
                      error_response(404, "ObjectLockConfigurationNotFoundError",
                                     "Object Lock configuration does not exist for this bucket"),
                      {{"on", fmt::format("<ObjectLockConfiguration {}><ObjectLockEnabled>Enabled"
                                          "</ObjectLockEnabled></ObjectLockConfiguration>",
                                          kNamespace)}});
  }
  if (route.operation == "GetPublicAccessBlock") {
    std::string all;
    for (const char* name :
         {"BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"})
      all += fmt::format("<{0}>true</{0}>", name);
    return configured(
        settings.public_access_block,
        error_response(404, "NoSuchPublicAccessBlockConfiguration",
                       "The public access block configuration was not found"),
        {{"on", fmt::format("<PublicAccessBlockConfiguration {}>{}</PublicAccessBlockConfiguration>",
                            kNamespace, all)}});
  }
  if (route.operation == "GetBucketAcl") return acl_answer(settings);
  Response head;
  head.headers["x-amz-bucket-region"] = settings.region;
  return head;
}

// A token is good only if it is one of ours: nobody is to make them up from keys.
std::string make_token(const std::string& key) {
  return base64(as_bytes(sha256_hex("token " + key).substr(0, 16) + key));
}

std::optional<std::string> read_token(const std::string& token) {
  auto bytes = base64_decode(token);
  if (!bytes || bytes->size() < 16) return std::nullopt;
  std::string key(as_chars(*bytes).substr(16));
  if (make_token(key) != token) return std::nullopt;
  return key;
}

}  // namespace

Response error_response(int status, const std::string& code, const std::string& message,
                        const std::string& extra) {
  Response out = xml_response(fmt::format("<Error><Code>{}</Code><Message>{}</Message>{}</Error>",
                                          code, xml_escape(message), extra));
  out.status = status;
  out.error = code;
  return out;
}

Response Service::put_object(const Route& route, const Request& request, const Settings& settings,
                             std::time_t now, std::uint64_t ticket) {
  bool conditional = request.header("if-none-match") != nullptr;
  if (conditional && settings.conditions == "501")
    return error_response(501, "NotImplemented",
                          "A header you provided implies functionality that is not implemented");
  auto object = std::make_shared<Object>();
  object->content = request.body ? request.body : std::make_shared<Blob>(0);
  object->etag = settings.etag == "md5" ? request.body_md5 : fmt::format("{:032x}", ticket);
  object->modified = now;
  for (const char* name : {"content-type", "x-amz-storage-class", "x-amz-server-side-encryption",
                           "x-amz-server-side-encryption-aws-kms-key-id"}) {
    if (const std::string* value = request.header(name)) object->headers[name] = *value;
  }
  auto done = objects_.put(route.key, object, conditional && settings.conditions == "enforced",
                           settings.conflict != 0, ticket);
  if (done == ObjectTable::Put::kExists)
    return error_response(412, "PreconditionFailed",
                          "At least one of the pre-conditions you specified did not hold",
                          "<Condition>If-None-Match</Condition>");
  if (done == ObjectTable::Put::kConflict)
    return error_response(409, "ConditionalRequestConflict",
                          "The conditional request cannot succeed due to a conflicting operation "
                          "against this resource.");
  Response out;
  out.headers["ETag"] = fmt::format("\"{}\"", object->etag);
  if (repeats_crc32c(request, settings)) out.headers[kCrc32cHeader] = *request.header(kCrc32cHeader);
  return out;
}

Response Service::get_object(const Route& route, const Request& request, const Settings& settings,
                             SteadyTime as_of) const {
  ObjectPtr object = objects_.get(route.key, as_of);
  if (!object) {
    // Who may not list learns from S3 nothing about what is there.
    if (settings.forbid.find("ListObjectsV2") != std::string::npos)
      return error_response(403, "AccessDenied", "Access Denied");
    return error_response(404, "NoSuchKey", "The specified key does not exist.",
                          fmt::format("<Key>{}</Key>", xml_escape(route.key)));
  }
  std::uint64_t offset = 0, length = object->content->size;
  Response out;
  if (const std::string* range = request.header("range")) {
    if (!parse_range(*range, object->content->size, offset, length))
      return error_response(400, "InvalidArgument", "Range is not well formed");
    if (length == 0)
      return error_response(
          416, "InvalidRange", "The requested range is not satisfiable",
          fmt::format("<ActualObjectSize>{}</ActualObjectSize>", object->content->size));
    out.status = 206;
    out.headers["Content-Range"] =
        fmt::format("bytes {}-{}/{}", offset, offset + length - 1, object->content->size);
  }
  out.headers.insert(object->headers.begin(), object->headers.end());
  out.headers["Accept-Ranges"] = "bytes";
  out.headers["ETag"] = fmt::format("\"{}\"", object->etag);
  out.headers["Last-Modified"] = http_date(object->modified);
  out.blob = object->content;
  out.offset = offset;
  out.length = length;
  return out;
}

Response Service::list_objects(const Route& route, const Settings& settings,
                               SteadyTime as_of) const {
  auto text = [&](const char* name) {
    const std::string* value = parameter(route.query, name);
    return value == nullptr ? std::string() : *value;
  };
  if (text("list-type") != "2")
    return error_response(501, "NotImplemented", "Only list-type=2 is implemented");
  std::string prefix = text("prefix"), after = text("start-after"), delimiter = text("delimiter");
  std::string encoding = text("encoding-type"), token = text("continuation-token");
  if (!encoding.empty() && encoding != "url")
    return error_response(400, "InvalidArgument", "Invalid Encoding Method specified in Request");
  std::uint64_t max_keys = 1000;
  if (parameter(route.query, "max-keys") != nullptr &&
      (!parse_size(text("max-keys"), max_keys) || max_keys > 1000))
    return error_response(400, "InvalidArgument", "max-keys is not a number from 0 to 1000");
  if (parameter(route.query, "continuation-token") != nullptr) {
    auto key = read_token(token);
    if (!key) return error_response(400, "InvalidArgument", "The continuation token is incorrect");
    after = *key;
  }
  auto name = [&](const std::string& key) {
    return encoding.empty() ? xml_escape(key) : url_encode(key, "/");
  };

  std::uint64_t room = std::min(max_keys, static_cast<std::uint64_t>(settings.page_keys));
  std::uint64_t count = 0;
  bool more = false;
  std::string entries, next;
  while (max_keys > 0) {
    auto found = objects_.list(prefix, after, 1, as_of);
    if (found.empty()) break;
    if ((more = count == room)) break;
    const auto& [key, object] = found.front();
    auto cut = delimiter.empty() ? std::string::npos : key.find(delimiter, prefix.size());
    if (cut == std::string::npos) {
      after = key;
      entries += fmt::format(
          "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag>"
          "<Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
          name(key), iso_date(object->modified), object->etag, object->content->size);
    } else {
      std::string common = key.substr(0, cut + delimiter.size());
      after = common + "\xff";
      entries += fmt::format("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", name(common));
    }
    ++count;
  }
  if (more) next = make_token(after);

  std::string out = fmt::format("<ListBucketResult {}><Name>{}</Name><Prefix>{}</Prefix>",
                                kNamespace, xml_escape(route.bucket), name(prefix));
  if (!token.empty())
    out += fmt::format("<ContinuationToken>{}</ContinuationToken>", xml_escape(token));
  if (more) out += fmt::format("<NextContinuationToken>{}</NextContinuationToken>", next);
  if (!encoding.empty()) out += "<EncodingType>url</EncodingType>";
  out += fmt::format("<KeyCount>{}</KeyCount><MaxKeys>{}</MaxKeys><IsTruncated>{}</IsTruncated>",
                     count, max_keys, more);
  return xml_response(out + entries + "</ListBucketResult>");
}

Response Service::serve(const Route& route, const Request& request, const Settings& settings,
                        std::time_t now, SteadyTime as_of, std::uint64_t ticket) {
  if (route.refusal) return *route.refusal;
  if (settings.checksums == "verified") {
    if (auto bad = verify_body(request, settings)) return *bad;
  }
  if (route.operation == "PutObject") return put_object(route, request, settings, now, ticket);
  if (route.operation == "GetObject" || route.operation == "HeadObject")
    return get_object(route, request, settings, as_of);
  if (route.operation == "ListObjectsV2") return list_objects(route, settings, as_of);
  if (route.operation == "DeleteObject") {
    objects_.remove(route.key);
    Response out;
    out.status = 204;
    return out;
  }
  return bucket_answer(route, settings);
}

}  // namespace s3crate::test::strict
