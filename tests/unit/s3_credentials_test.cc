// SPDX-License-Identifier: GPL-3.0-or-later
// The AWS tools' files and variables: how they are read, which of them counts, and what is said when they make no
// sense. No message ever repeats a value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "s3/credential_chain.h"
#include "s3/settings.h"
#include "tests/support/temp_dir.h"

namespace s3crate::s3 {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// ---- The files ------------------------------------------------------------------------------------

Result<IniFile> parse(std::string_view text) {
  const ByteView bytes = as_bytes(text);
  return IniFile::parse(Bytes(bytes.begin(), bytes.end()), "/f");
}

TEST(IniFile, ReadsWhatTheAwsToolsRead) {
  const auto file = parse(
      "\xef\xbb\xbf# comment\n; comment\n\n[profile a]\r\nName = v1\r\nname2=v=2\n \t\n[default] # comment\n"
      "  indented = x # comment ; more\n  also = y;z#w\nempty =\nonly = # comment\n"
      "[profile\t \"with space\" ]; comment\n\tlast\t=\tvalue\t \n[profile a]\nNAME = v3");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_THAT(file->sections(), ElementsAre("profile a", "default", "profile with space"));
  EXPECT_EQ(file->find("profile a", "name"), "v3");
  EXPECT_EQ(file->find("profile a", "name2"), "v=2");
  EXPECT_EQ(file->find("default", "indented"), "x");
  EXPECT_EQ(file->find("default", "also"), "y;z#w");
  EXPECT_EQ(file->find("default", "empty"), std::nullopt);
  EXPECT_EQ(file->find("default", "only"), std::nullopt);
  EXPECT_EQ(file->find("profile with space", "last"), "value");
  EXPECT_EQ(file->find("profile b", "name"), std::nullopt);
  EXPECT_FALSE(file->has("profile b"));
  EXPECT_TRUE(parse("")->sections().empty());
}

TEST(IniFile, ReadsNestedParts) {
  const auto file = parse(
      "[default]\ns3 =\n  addressing_style = path\n\n  # comment\n\tendpoint_url = u\nregion = r\n"
      "cli = one\n  two\nlast = x\n[services s]\ns3 =\n endpoint_url = v\nsqs =\n endpoint_url = w\n");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->find("default", "addressing_style", "s3"), "path");
  EXPECT_EQ(file->find("default", "endpoint_url", "s3"), "u");
  EXPECT_EQ(file->find("default", "endpoint_url"), std::nullopt);
  EXPECT_EQ(file->find("default", "region"), "r");
  EXPECT_EQ(file->find("default", "cli"), "one\n  two");
  EXPECT_EQ(file->find("default", "last"), "x");
  EXPECT_EQ(file->find("services s", "endpoint_url", "s3"), "v");
  EXPECT_EQ(file->find("services s", "endpoint_url", "sqs"), "w");
}

TEST(IniFile, RefusesTheRestWithoutRepeatingIt) {
  const std::pair<const char*, const char*> bad[] = {
      {"hush = 1\n", "/f:1: something stands before"}, {"\n[default\nhush", "/f:2: the line begins with ["},
      {"[default] hush\n", "/f:1: something stands behind"}, {"[]\n", "/f:1: the section has no name"},
      {"[default]\nhush\n", "/f:2: a line has the form"}, {"[default]\n= hush\n", "/f:2: a line has the form"},
      {"[default]\ns3 =\n hush\n", "/f:3: a line has the form"}, {"[default]\ns3 =\n = hush\n", "/f:3: a line has the form"},
      {"[default]\nhush : 1\n", "/f:2: a line has the form"}, {" hush\n", "/f:1: something stands before"},
  };
  for (const auto& [text, message] : bad) {
    const auto file = parse(text);
    ASSERT_TRUE(is(file, Code::kBadArgument)) << text;
    EXPECT_THAT(file.error().message(), AllOf(HasSubstr(message), Not(HasSubstr("hush")))) << text;
  }
}

TEST(IniFile, MovesWithItsValues) {
  auto one = parse("[a]\nx = first value of all\n");
  auto two = parse("[b]\nx = second\n");
  IniFile moved = std::move(*one);
  EXPECT_EQ(moved.find("a", "x"), "first value of all");
  moved = std::move(*two);
  EXPECT_EQ(moved.find("b", "x"), "second");
  EXPECT_FALSE(moved.has("a"));
}

// ---- Which of them counts --------------------------------------------------------------------------

constexpr const char* kHush = "hushhush";  // every secret here; no message has it

class AwsPlaces : public testing::Test {
 protected:
  AwsPlaces() {
    EXPECT_EQ(::mkdir((home_.path() + "/.aws").c_str(), 0700), 0);
    set("HOME", home_.path());
  }
  void set(const std::string& name, const std::string& value) { variables_[name] = value; }
  std::string file(const std::string& name, const std::string& content) {
    const auto path = home_.path() + "/" + name;
    std::ofstream(path) << content;
    return path;
  }
  void credentials(const std::string& content) { file(".aws/credentials", content); }
  void config(const std::string& content) { file(".aws/config", content); }

  Environment environment() {
    return [this](const char* name) -> const char* {
      const auto found = variables_.find(name);
      return found == variables_.end() ? nullptr : found->second.c_str();
    };
  }
  Result<SharedFiles> load(const std::string& profile = "") {
    return SharedFiles::load(io::posix_file_io(), environment(), profile);
  }
  // "KEY SECRET TOKEN", or the error's code and message.
  std::string credentials_found(const std::string& profile = "") {
    const auto files = load(profile);
    if (!files) return said(files.error());
    const auto chain = make_credential_chain(environment(), *files);
    const auto found = chain->get();
    if (!found) return said(found.error());
    const auto again = chain->get();
    EXPECT_TRUE(again && *again == *found) << "the first that has some is the one from then on";
    return fmt::format("{} {} {}", (*found)->access_key, as_chars((*found)->secret), (*found)->session_token);
  }
  Result<Settings> endpoint(const GivenSettings& options = {}, const std::string& profile = "") {
    const auto files = TRY(load(profile));
    return resolve_settings(options, environment(), files);
  }
  static std::string said(const Error& error) {
    EXPECT_THAT(error.message(), Not(HasSubstr(kHush)));
    EXPECT_THAT(error.message(), Not(HasSubstr("\n")));
    return fmt::format("{}: {}", code_name(error.code()), error.message());
  }
  const std::string& home() const { return home_.path(); }

 private:
  test::TempDir home_;
  std::map<std::string, std::string> variables_;
};

TEST_F(AwsPlaces, TheEnvironmentComesFirstThenTheCredentialsFileThenTheConfigFile) {
  config("[default]\naws_access_key_id = C\naws_secret_access_key = config\n");
  EXPECT_EQ(credentials_found(), "C config ");
  credentials("[default]\naws_access_key_id = F\naws_secret_access_key = file\naws_session_token = t\n");
  EXPECT_EQ(credentials_found(), "F file t");
  set("AWS_ACCESS_KEY_ID", "E");
  set("AWS_SECRET_ACCESS_KEY", "environment");
  EXPECT_EQ(credentials_found(), "E environment ");
  set("AWS_SESSION_TOKEN", "token/+=");
  EXPECT_EQ(credentials_found(), "E environment token/+=");
}

TEST_F(AwsPlaces, AProfileByOptionCountsMoreThanTheEnvironmentOneByVariableDoesNot) {
  credentials("[default]\naws_access_key_id = D\naws_secret_access_key = d\n[other]\naws_access_key_id = O\naws_secret_access_key = o\n");
  config("[profile third]\naws_access_key_id = T\naws_secret_access_key = t\n");
  EXPECT_EQ(credentials_found(), "D d ");
  set("AWS_PROFILE", "other");
  EXPECT_EQ(credentials_found(), "O o ");
  EXPECT_EQ(credentials_found("third"), "T t ");
  set("AWS_ACCESS_KEY_ID", "E");
  set("AWS_SECRET_ACCESS_KEY", "e");
  EXPECT_EQ(credentials_found(), "E e ");
  EXPECT_EQ(credentials_found("third"), "T t ");
  EXPECT_EQ(credentials_found("default"), "D d ");
}

TEST_F(AwsPlaces, FilesMayStandElsewhere) {
  set("AWS_SHARED_CREDENTIALS_FILE", file("mine", "[default]\naws_access_key_id = M\naws_secret_access_key = m\n"));
  EXPECT_EQ(credentials_found(), "M m ");
  set("AWS_SHARED_CREDENTIALS_FILE", "~/mine");
  EXPECT_EQ(credentials_found(), "M m ");
  set("AWS_SHARED_CREDENTIALS_FILE", "~/none");
  set("AWS_CONFIG_FILE", file("config", "[profile default]\naws_access_key_id = P\naws_secret_access_key = p\n[default]\n"));
  EXPECT_EQ(credentials_found(), "P p ") << "[profile default] counts more than [default]";
}

TEST_F(AwsPlaces, TheConfigFileKnowsProfilesByTheirPrefixOnly) {
  config("[other]\naws_access_key_id = X\naws_secret_access_key = x\n");
  EXPECT_THAT(credentials_found("other"), HasSubstr("bad_argument: --profile names a profile \"other\""));
  credentials("[profile other]\naws_access_key_id = X\naws_secret_access_key = x\n");
  EXPECT_THAT(credentials_found("other"), HasSubstr("bad_argument"));
}

TEST_F(AwsPlaces, NothingAnywhereSaysWhereItLookedAndWhatToDo) {
  const auto none = credentials_found();
  EXPECT_THAT(none, HasSubstr("denied: no credentials for S3"));
  EXPECT_THAT(none, HasSubstr("the environment"));
  EXPECT_THAT(none, HasSubstr(fmt::format("\"default\" of {}/.aws/credentials (there is no such file)", home())));
  EXPECT_THAT(none, HasSubstr(fmt::format("{}/.aws/config (there is no such file)", home())));
  EXPECT_THAT(none, HasSubstr("--anonymous"));
  credentials("[other]\naws_access_key_id = X\n");
  EXPECT_THAT(credentials_found(), HasSubstr("which has none of that name"));
  set("HOME", "");
  EXPECT_THAT(credentials_found(), HasSubstr("~/.aws/credentials (HOME is not set)"));
  EXPECT_THAT(credentials_found(), HasSubstr("denied"));
}

TEST_F(AwsPlaces, AMissingProfileNamesThoseThatExist) {
  credentials("[default]\n[work]\n");
  config("[default]\n[profile home]\n[services s]\n[profile work]\n");
  set("AWS_PROFILE", "wrok");
  const auto message = credentials_found();
  EXPECT_THAT(message, HasSubstr("bad_argument: AWS_PROFILE names a profile \"wrok\""));
  EXPECT_THAT(message, HasSubstr("those have: default, work, home"));
  EXPECT_THAT(message, HasSubstr(home() + "/.aws/credentials"));
  EXPECT_THAT(credentials_found("none"), HasSubstr("--profile names a profile \"none\""));
  set("AWS_PROFILE", "");
  EXPECT_THAT(credentials_found(), HasSubstr("denied"));
}

TEST_F(AwsPlaces, HalfAPairIsNoReasonToGoOn) {
  credentials("[default]\naws_access_key_id = D\naws_secret_access_key = d\n[half]\naws_secret_access_key = hushhush\n");
  set("AWS_ACCESS_KEY_ID", "E");
  EXPECT_THAT(credentials_found(), HasSubstr("denied: the environment has AWS_ACCESS_KEY_ID but no AWS_SECRET_ACCESS_KEY"));
  set("AWS_ACCESS_KEY_ID", "");
  set("AWS_SECRET_ACCESS_KEY", kHush);
  EXPECT_THAT(credentials_found(), HasSubstr("has AWS_SECRET_ACCESS_KEY but no AWS_ACCESS_KEY_ID"));
  set("AWS_SECRET_ACCESS_KEY", "");
  EXPECT_EQ(credentials_found(), "D d ");
  EXPECT_THAT(credentials_found("half"), HasSubstr("has aws_secret_access_key but no aws_access_key_id"));
}

TEST_F(AwsPlaces, WhatCannotStandInAHeaderIsNoKey) {
  set("AWS_ACCESS_KEY_ID", "E");
  for (const std::string& secret : {std::string("hushhush\r\nx: y"), std::string("hushhush x"), std::string("hushhush\x7f"),
                                    std::string("hushhush\xc3\xbc"), std::string(20000, 'h') + kHush}) {
    set("AWS_SECRET_ACCESS_KEY", secret);
    EXPECT_THAT(credentials_found(), HasSubstr("denied: the environment: AWS_SECRET_ACCESS_KEY is too long, or has"));
  }
  set("AWS_SECRET_ACCESS_KEY", "s");
  set("AWS_SESSION_TOKEN", "hushhush\n");
  EXPECT_THAT(credentials_found(), HasSubstr("AWS_SESSION_TOKEN"));
  credentials("[p]\naws_access_key_id = A\naws_secret_access_key = hushhush\n  and more\n");
  EXPECT_THAT(credentials_found("p"), HasSubstr("aws_secret_access_key"));
}

TEST_F(AwsPlaces, FilesThatCannotBeReadAreNamed) {
  credentials("[default]\nhushhush\n");
  EXPECT_THAT(credentials_found(), HasSubstr(fmt::format("bad_argument: {}/.aws/credentials:2: ", home())));
  credentials("[default]\n#" + std::string(256 * 1024, kHush[0]));
  EXPECT_THAT(credentials_found(), HasSubstr("more than the 262144"));
  set("AWS_SHARED_CREDENTIALS_FILE", home());
  EXPECT_THAT(credentials_found(), AllOf(HasSubstr(home()), HasSubstr("cannot be read")));
  // A pipe, as of <(command), has no size, and is not empty.
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  set("AWS_SHARED_CREDENTIALS_FILE", fmt::format("/proc/self/fd/{}", ends[0]));
  EXPECT_THAT(credentials_found(), HasSubstr("is not a regular file"));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(AwsPlaces, AnonymousIsNobody) {
  const auto nobody = make_anonymous();
  const auto found = nobody->get();
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, nullptr);
}

TEST(CredentialChain, AsksInOrderAndStopsAtAnError) {
  struct Source final : CredentialSource {
    explicit Source(Code code) : code(code) {}
    Result<std::shared_ptr<const Credentials>> get() override {
      ++calls;
      return fail(code, "no");
    }
    Code code;
    int calls = 0;
  };
  auto first = std::make_unique<Source>(Code::kNotFound), second = std::make_unique<Source>(Code::kTransient),
       third = std::make_unique<Source>(Code::kNotFound);
  auto *one = first.get(), *two = second.get(), *three = third.get();
  std::vector<CredentialChain::Link> links;
  links.push_back({"one", std::move(first)});
  links.push_back({"two", std::move(second)});
  links.push_back({"three", std::move(third)});
  CredentialChain chain(std::move(links));
  EXPECT_TRUE(is(chain.get(), Code::kTransient));
  two->code = Code::kNotFound;
  const auto none = chain.get();
  ASSERT_TRUE(is(none, Code::kDenied));
  EXPECT_THAT(none.error().message(), HasSubstr("one, nor in two, nor in three;"));
  EXPECT_EQ(one->calls, 2);
  EXPECT_EQ(two->calls, 2);
  EXPECT_EQ(three->calls, 1);
}

// ---- The server ------------------------------------------------------------------------------------

TEST_F(AwsPlaces, NothingSaidIsNothing) {
  const auto found = endpoint();
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->url, "");
  EXPECT_EQ(found->region, "");
  EXPECT_EQ(found->ca_file, "");
  EXPECT_EQ(found->style, Style::guess);
}

TEST_F(AwsPlaces, OptionsCountMoreThanTheEnvironmentAndThatMoreThanTheProfile) {
  const auto expect_endpoint = [&](const char* url, const std::string& from, const GivenSettings& options = {}) {
    const auto found = endpoint(options);
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_EQ(found->url, url);
    EXPECT_EQ(found->url_from, from);
  };
  credentials("[default]\nendpoint_url = https://credentials\n");
  expect_endpoint("https://credentials", fmt::format("endpoint_url in {}/.aws/credentials", home()));
  credentials("");
  config("[default]\nendpoint_url = https://profile\n");
  expect_endpoint("https://profile", fmt::format("endpoint_url in {}/.aws/config", home()));
  config("[default]\nendpoint_url = https://profile\nservices = s\n[services s]\nsqs =\n endpoint_url = https://sqs\n");
  expect_endpoint("https://profile", fmt::format("endpoint_url in {}/.aws/config", home()));
  config("[default]\nendpoint_url = https://profile\nservices = s\n[services s]\ns3 =\n endpoint_url = https://services\n");
  expect_endpoint("https://services", fmt::format("endpoint_url in [services s] of {}/.aws/config", home()));
  set("AWS_ENDPOINT_URL", "https://all");
  expect_endpoint("https://all", "AWS_ENDPOINT_URL");
  set("AWS_ENDPOINT_URL_S3", "https://s3");
  expect_endpoint("https://s3", "AWS_ENDPOINT_URL_S3");
  expect_endpoint("http://127.0.0.1:8000", "--endpoint", {.endpoint = "http://127.0.0.1:8000"});
  set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
  expect_endpoint("", "");
  expect_endpoint("https://option", "--endpoint", {.endpoint = "https://option"});
  set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false");
  expect_endpoint("https://s3", "AWS_ENDPOINT_URL_S3");
}

TEST_F(AwsPlaces, RegionAndCertificatesLikewise) {
  config("[default]\nregion = profile\nca_bundle = ~/profile.pem\n[profile other]\nregion = other\n");
  EXPECT_EQ(endpoint()->region, "profile");
  EXPECT_EQ(endpoint()->ca_file, home() + "/profile.pem");
  EXPECT_EQ(endpoint({}, "other")->region, "other");
  EXPECT_EQ(endpoint({}, "other")->ca_file, "");
  set("AWS_DEFAULT_REGION", "default-region");
  EXPECT_EQ(endpoint()->region, "default-region");
  set("AWS_REGION", "region");
  set("AWS_CA_BUNDLE", "/environment.pem");
  EXPECT_EQ(endpoint()->region, "region");
  EXPECT_EQ(endpoint()->ca_file, "/environment.pem");
  EXPECT_EQ(endpoint({.region = "option"})->region, "option");
  EXPECT_EQ(endpoint({.ca_file = "/option.pem"})->ca_file, "/option.pem");
}

TEST_F(AwsPlaces, AddressingIsSaidByOptionsOrTheProfile) {
  config("[default]\ns3 =\n  addressing_style = virtual\n");
  EXPECT_EQ(endpoint()->style, Style::virtual_host);
  EXPECT_EQ(endpoint({.path_style = true})->style, Style::path);
  EXPECT_EQ(endpoint({.virtual_host = true})->style, Style::virtual_host);
  const auto both = endpoint({.path_style = true, .virtual_host = true});
  ASSERT_TRUE(is(both, Code::kBadArgument));
  EXPECT_THAT(both.error().message(), HasSubstr("exclude"));
  config("[default]\ns3 =\n  addressing_style = path\n");
  EXPECT_EQ(endpoint()->style, Style::path);
  config("[default]\ns3 =\n  addressing_style = auto\n");
  EXPECT_EQ(endpoint()->style, Style::guess);
  config("[default]\ns3 =\n  addressing_style = odd\n");
  EXPECT_TRUE(is(endpoint(), Code::kBadArgument));
}

TEST_F(AwsPlaces, KeysInAnEndpointAreNotRepeated) {
  set("AWS_ENDPOINT_URL", "https://key:hushhush@host");
  const auto found = endpoint();
  ASSERT_FALSE(found);
  EXPECT_THAT(said(found.error()), HasSubstr("bad_argument: AWS_ENDPOINT_URL: keys do not belong"));
}

}  // namespace
}  // namespace s3crate::s3
