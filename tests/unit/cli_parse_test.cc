// SPDX-License-Identifier: GPL-3.0-or-later
// What users type: tables of good and bad.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>

#include "cli/command_line.h"
#include "cli/config_file.h"
#include "cli/exit_status.h"
#include "cli/nearest.h"
#include "cli/parse.h"
#include "cli/url.h"
#include "tests/support/temp_dir.h"

namespace s3crate::cli {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

constexpr std::uint64_t kKi = 1024;

TEST(ParseSize, TakesNumbersWithPowersOf1024) {
  const std::pair<const char*, std::uint64_t> good[] = {
      {"0", 0}, {"1", 1}, {"4096", 4096}, {"512K", 512 * kKi}, {"8M", 8 * kKi * kKi}, {"10g", 10 * kKi * kKi * kKi},
      {"1T", kKi * kKi * kKi * kKi}, {"18446744073709551615", ~std::uint64_t{0}}, {"15E", std::uint64_t{15} << 60},
  };
  for (const auto& [text, bytes] : good) {
    const auto parsed = parse_size(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, bytes) << text;
  }
}

TEST(ParseSize, RefusesEverythingElse) {
  for (const char* text : {"", "K", "-1", "+1", " 1", "1 ", "1.5G", "1KB", "1KiB", "0x10", "1e3", "10X", "18446744073709551616",
                           "16E", "99999999999T", "1,000", "1\n"}) {
    EXPECT_TRUE(is(parse_size(text), Code::kBadArgument)) << text;
  }
}

TEST(ParseSize, ReadsBackWhatShortSizeWrites) {
  for (std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1}, kKi, kKi + 1, 3 * kKi * kKi, std::uint64_t{1} << 60, ~std::uint64_t{0}}) {
    EXPECT_EQ(*parse_size(short_size(bytes)), bytes);
  }
  EXPECT_EQ(short_size(64 * kKi * kKi), "64M");
}

TEST(ParseDuration, WantsAUnit) {
  using namespace std::chrono_literals;
  const std::pair<const char*, Duration> good[] = {{"0", 0ns}, {"0s", 0ns}, {"250ms", 250ms}, {"30s", 30s}, {"10m", 10min}, {"2h", 2h}, {"7d", 168h}};
  for (const auto& [text, duration] : good) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, duration) << text;
  }
  for (const char* text : {"", "30", "s", "-1s", "1.5h", "1 s", "1S", "1min", "1w", "99999999999999d", "18446744073709551615ms"}) {
    EXPECT_TRUE(is(parse_duration(text), Code::kBadArgument)) << text;
  }
}

TEST(ParseOthers, AreAsStrict) {
  EXPECT_EQ(*parse_count("12"), 12u);
  for (const char* text : {"", "-1", "1K", "1 ", "0x1", "18446744073709551616"}) EXPECT_FALSE(parse_count(text)) << text;
  EXPECT_EQ(*parse_percent("100%"), 100u);
  EXPECT_EQ(*parse_percent("1"), 1u);
  for (const char* text : {"", "0", "101", "5%%", "-5", "1.5"}) EXPECT_FALSE(parse_percent(text)) << text;
  EXPECT_TRUE(*parse_flag("yes"));
  EXPECT_FALSE(*parse_flag("off"));
  for (const char* text : {"", "YES", "2", "maybe"}) EXPECT_FALSE(parse_flag(text)) << text;
}

TEST(ParseMoment, TakesDatesTimesAndSpansAgo) {
  const WallTime now(std::chrono::hours(24 * 20000));
  EXPECT_EQ(*parse_moment("1970-01-02", now), WallTime(std::chrono::hours(24)));
  EXPECT_EQ(*parse_moment("1970-01-02T03:04:05Z", now), WallTime(std::chrono::seconds(86400 + 3 * 3600 + 4 * 60 + 5)));
  EXPECT_EQ(*parse_moment("2h", now), now - std::chrono::hours(2));
  EXPECT_EQ(*parse_moment("3d ago", now), now - std::chrono::hours(72));
  for (const char* text : {"", "0", "00", "2", "yesterday", "2026-13-01", "2026-02-30", "1969-12-31", "2026-1-1", "2026-11-20T24:00:00Z",
                           "2026-11-20T12:00:60Z", "2026-11-20T12:00:00", "2026-11-20 12:00:00Z", "9999-01-01", " ago"}) {
    EXPECT_TRUE(is(parse_moment(text, now), Code::kBadArgument)) << text;
  }
}

TEST(ParseUrl, TakesDirectoriesFingerprintsAndPoints) {
  const std::string hex64(64, 'a');
  const std::pair<std::string, Url> good[] = {
      {"file:///srv/disk", {.directory = "/srv/disk"}},
      {"file:///srv//./disk/", {.directory = "/srv/disk"}},
      {"file:///srv/a%40b%23c%25d%zz", {.directory = "/srv/a@b#c%d%zz"}},
      {"file:///srv/a b:c?d", {.directory = "/srv/a b:c?d"}},
      {"file:///d#0123456789ABCDEF", {.directory = "/d", .fingerprint = "0123456789abcdef"}},
      {"file:///d#" + hex64 + "@42", {.directory = "/d", .fingerprint = hex64, .point = "42"}},
      {"file:///d@2026-11-20T12:00:00Z", {.directory = "/d", .point = "2026-11-20T12:00:00Z"}},
      {"file:///d@2h ago", {.directory = "/d", .point = "2h ago"}},
  };
  for (const auto& [text, url] : good) {
    const auto parsed = parse_url(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message();
    EXPECT_EQ(*parsed, url) << text;
    EXPECT_EQ(*parse_url(parsed->text()), Url{.directory = url.directory}) << "its own text means the same place";
  }
}

TEST(ParseUrl, TakesBucketsAndPrefixes) {
  const std::string bucket63(63, 'b'), hex16(16, 'a');
  const auto s3 = [](std::string bucket, std::string prefix = "", std::string fingerprint = "", std::string point = "") {
    return Url{.kind = Url::Kind::s3, .bucket = std::move(bucket), .prefix = std::move(prefix),
               .fingerprint = std::move(fingerprint), .point = std::move(point)};
  };
  const std::pair<std::string, Url> good[] = {
      {"s3://bucket", s3("bucket")},
      {"s3://bucket/", s3("bucket")},
      {"s3://bucket/disk", s3("bucket", "disk")},
      {"s3://bucket/a/b.c/..d/", s3("bucket", "a/b.c/..d")},
      {"s3://my-bucket.2/a%40b%23c%25d%zz +?", s3("my-bucket.2", "a@b#c%d%zz +?")},
      {"s3://1.2.3", s3("1.2.3")},
      {"s3://" + bucket63, s3(bucket63)},
      {"s3://bucket#" + hex16, s3("bucket", "", hex16)},
      {"s3://bucket@2026-11-20T12:00:00Z", s3("bucket", "", "", "2026-11-20T12:00:00Z")},
      {"s3://bucket/p#" + hex16 + "@nightly", s3("bucket", "p", hex16, "nightly")},
      {"s3://bucket/" + std::string(500, 'p'), s3("bucket", std::string(500, 'p'))},
  };
  for (const auto& [text, url] : good) {
    const auto parsed = parse_url(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message();
    EXPECT_EQ(*parsed, url) << text;
    EXPECT_EQ(*parse_url(parsed->text()), s3(url.bucket, url.prefix)) << "its own text means the same place";
  }
  EXPECT_EQ(parse_url("s3://bucket/")->text(), "s3://bucket");
  EXPECT_EQ(parse_url("s3://bucket/a%40%2540/")->text(), "s3://bucket/a%40%2540");
}

TEST(ParseUrl, RefusesEverythingElse) {
  for (const char* text : {"", "/srv/disk", "srv", "file:", "file://", "file:///", "file:///.", "file://srv/disk", "FILE:///d",
                           "file:///a/../b", "file:///d#", "file:///d#123", "file:///d#0123456789abcdeg", "file:///d@",
                           "file:///user@host/d", "file:///d@1@2", "file:///d\n", "http://x/y", "S3://bucket", "s3:/bucket"}) {
    EXPECT_TRUE(is(parse_url(text), Code::kBadArgument)) << text;
  }
  EXPECT_TRUE(is(parse_url("file:///" + std::string(5000, 'a')), Code::kBadArgument));
  EXPECT_THAT(parse_url("/srv/disk").error().message(), HasSubstr("file:///srv/disk"));
}

TEST(ParseUrl, SaysWhatIsWrongWithABucketOrPrefix) {
  const std::pair<std::string, const char*> bad[] = {
      {"s3://", "missing"}, {"s3:///prefix", "missing"}, {"s3://ab", "3 to 63"}, {"s3://" + std::string(64, 'b'), "3 to 63"},
      {"s3://Bucket", "lower-case"}, {"s3://my_bucket", "lower-case"}, {"s3://b\xc3\xbc" "cher", "lower-case"},
      {"s3://bucket%40x", "lower-case"}, {"s3://-bucket", "begins and ends"}, {"s3://bucket-/p", "begins and ends"},
      {"s3://bucket.", "begins and ends"}, {"s3://my..bucket", "two dots"}, {"s3://192.168.5.4/p", "--endpoint"},
      {"s3://tenant:bucket/p", "tenant"}, {"s3://bucket//", "doubled"}, {"s3://bucket//p", "doubled"}, {"s3://bucket/a//b", "doubled"},
      {"s3://bucket/a//", "doubled"}, {"s3://bucket/.", "doubled"}, {"s3://bucket/a/./b", "doubled"}, {"s3://bucket/..", "doubled"},
      {"s3://bucket/../b", "doubled"}, {"s3://bucket/a/../", "doubled"}, {"s3://bucket/" + std::string(501, 'p'), "longer than"},
      {"s3://bucket/p#12", "fingerprint"}, {"s3://bucket/p@", "behind @"}, {"s3://bucket@point/p", "behind @"},
      {"https://host/bucket", "--endpoint"}, {"bucket/p", "s3://BUCKET"},
  };
  for (const auto& [text, message] : bad) {
    const auto parsed = parse_url(text);
    ASSERT_TRUE(is(parsed, Code::kBadArgument)) << text;
    EXPECT_THAT(parsed.error().message(), HasSubstr(message)) << text;
  }
}

TEST(ParseUrl, DoesNotRepeatKeysThatSomebodyTyped) {
  for (const char* text : {"s3://AKIAKEY:hush@bucket/p", "s3://AKIAKEY:hush@bucket"}) {
    const auto parsed = parse_url(text);
    ASSERT_TRUE(is(parsed, Code::kBadArgument)) << text;
    EXPECT_THAT(parsed.error().message(), testing::Not(HasSubstr("hush"))) << text;
    EXPECT_THAT(parsed.error().message(), HasSubstr("CREDENTIALS"));
  }
}

TEST(Nearest, FindsTyposAndNothingFarther) {
  const std::string_view words[] = {"mount", "umount", "status", "history"};
  EXPECT_EQ(nearest("moutn", words), "mount");
  EXPECT_EQ(nearest("unmount", words), "umount");
  EXPECT_EQ(nearest("hist", words), "");
  EXPECT_EQ(nearest("", words), "");
  EXPECT_EQ(nearest(std::string(1000, 'm'), words), "");
}

TEST(ExitStatus, IsTheDocumentedOne) {
  EXPECT_EQ(exit_status(Code::kBadArgument), 2);
  EXPECT_EQ(exit_status(Code::kFenced), 3);
  EXPECT_EQ(exit_status(Code::kCorrupt), 4);
  EXPECT_EQ(exit_status(Code::kBadKey), 5);
  EXPECT_EQ(exit_status(Code::kTransient), 6);
  EXPECT_EQ(exit_status(Code::kNotFound), 1);
}

TEST(OptionTable, EveryDefaultIsValid) {
  for (const OptionSpec& option : options()) {
    EXPECT_NE(option.commands, 0u) << option.name;
    EXPECT_EQ(find_option(option.name), &option) << "two options are called " << option.name;
    if (option.fallback.empty()) continue;
    Arguments arguments(Command::kMount, {});
    const auto set = arguments.set(option, option.fallback, Source::kCommandLine, option.name);
    EXPECT_TRUE(set) << set.error().message();
  }
}

Result<Arguments> parse(const Words& words, const Words& config = {}) {
  auto parsed = TRY(parse_command_line(words, config));
  if (!parsed.arguments) return fail(Code::kNotFound, "{}", parsed.text);
  return std::move(*parsed.arguments);
}

TEST(CommandLine, TakesOptionsAnywhereAndFallsBackToDefaults) {
  const auto a = parse({"mount", "--dirty-max", "2M", "file:///d", "-f", "/m", "--upload-delay=5s", "--durability", "store"});
  ASSERT_TRUE(a) << a.error().message();
  EXPECT_EQ(a->positionals(), (Words{"file:///d", "/m"}));
  EXPECT_EQ(a->size("dirty-max"), 2 * kKi * kKi);
  EXPECT_EQ(a->time("upload-delay"), std::chrono::seconds(5));
  EXPECT_EQ(a->text("durability"), "store");
  EXPECT_TRUE(a->flag("foreground"));
  EXPECT_FALSE(a->flag("read-only"));
  EXPECT_EQ(a->count("read-ahead-threads"), 32u);
  EXPECT_FALSE(a->has("upload-threads"));
  EXPECT_FALSE(a->has("journal-size"));
}

TEST(CommandLine, TakesMountOptionsAsFstabHasThem) {
  const auto a = parse({"mount", "u", "m", "-o", "ro,allow_other,_netdev,x-systemd.automount,log-to=/a\\,b", "-o", "dirty-max=2M"});
  ASSERT_TRUE(a) << a.error().message();
  EXPECT_TRUE(a->flag("read-only"));
  EXPECT_TRUE(a->flag("allow-other"));
  EXPECT_EQ(a->text("log-to"), "/a,b");
  EXPECT_EQ(a->size("dirty-max"), 2 * kKi * kKi);
}

TEST(CommandLine, KnowsStandardInputAndTheEndOfOptions) {
  const auto a = parse({"info", "--passphrase-file", "-", "--", "--url"});
  ASSERT_TRUE(a) << a.error().message();
  EXPECT_EQ(a->text("passphrase-file"), "-");
  EXPECT_EQ(a->positionals(), Words{"--url"});
}

TEST(CommandLine, RefusesWhatItDoesNotKnowAndSuggests) {
  const std::pair<Words, const char*> bad[] = {
      {{}, "Usage"},
      {{"moutn"}, "\"mount\""},
      {{"--jsno"}, "no option"},
      {{"journal"}, "list, save or discard"},
      {{"journal", "lst"}, "list, save or discard"},
      {{"help", "moutn"}, "\"mount\""},
      {{"mount", "u", "m", "--dirtymax", "1M"}, "\"--dirty-max\""},
      {{"mount", "u", "m", "--dirty-ma=1M"}, "\"--dirty-max\""},
      {{"mount", "u", "m", "-o", "dirtymax=1M"}, "\"dirty-max\""},
      {{"mount", "u", "m", "-o", "dirty-max"}, "dirty-max=SIZE"},
      {{"mount", "u", "m", "-o", "foreground"}, "no option"},
      {{"mount", "u", "m", "-z"}, "\"-z\""},
      {{"mount", "u"}, "missing"},
      {{"mount", "u", "m", "x"}, "too much"},
      {{"mount", "u", "m", "--dirty-max"}, "--dirty-max"},
      {{"mount", "u", "m", "--dirty-max", "1K"}, "between 1M and 1T"},
      {{"mount", "u", "m", "--dirty-max", "lots"}, "not a size"},
      {{"mount", "u", "m", "--dirty-max", "1M", "--dirty-max", "2M"}, "more than once"},
      {{"mount", "u", "m", "--durability", "none"}, "local or store"},
      {{"mount", "u", "m", "--upload-delay", "1"}, "not a time"},
      {{"mount", "u", "m", "--state-dir", ""}, "missing"},
      {{"umount", "m", "--read-only"}, "no option"},
  };
  for (const auto& [words, message] : bad) {
    const auto a = parse(words);
    ASSERT_FALSE(a) << testing::PrintToString(words);
    EXPECT_EQ(a.error().code(), Code::kBadArgument) << testing::PrintToString(words);
    EXPECT_THAT(a.error().message(), HasSubstr(message));
  }
}

TEST(CommandLine, HelpOfEveryCommandShowsItsOptionsAndAnExample) {
  for (const CommandSpec& command : commands()) {
    const auto text = help(command.command);
    EXPECT_THAT(text, HasSubstr(fmt::format("s3crate-blk {}", command.example)));
    for (const OptionSpec& option : options()) {
      const bool listed = text.find(fmt::format("--{} ", option.name)) != std::string::npos;
      EXPECT_EQ(listed, (option.commands & bit(command.command)) != 0) << command.name << " --" << option.name;
    }
  }
}

class ConfigFile : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& content) {
    std::ofstream(directory_ / name) << content;
    return directory_ / name;
  }
  const test::TempDir directory_;
};

TEST_F(ConfigFile, GivesWhatTheCommandLineDoesNot) {
  const auto user = write("user", "# mine\n\n dirty-max = 3M \r\nread-only=yes\n");
  const auto machine = write("machine", "dirty-max = 4M\nupload-delay = 9s\nkey-file = /etc/key = file\n");
  const auto a = parse({"mount", "u", "m", "-o", "upload-delay=1s"}, {user, machine, directory_ / "missing"});
  ASSERT_TRUE(a) << a.error().message();
  EXPECT_EQ(a->size("dirty-max"), 3 * kKi * kKi) << "the first file counts more";
  EXPECT_EQ(a->time("upload-delay"), std::chrono::seconds(1)) << "the command line counts most";
  EXPECT_TRUE(a->flag("read-only"));
  EXPECT_EQ(a->text("key-file"), "/etc/key = file");
  EXPECT_TRUE(a->has("key-file"));
  EXPECT_FALSE(a->typed("key-file"));
}

TEST_F(ConfigFile, IsCheckedForEveryCommand) {
  const std::pair<const char*, const char*> bad[] = {
      {"dirtymax = 1M\n", "\"dirty-max\""}, {"\ndirty-max = x\n", ":2"},  {"dirty-max\n", "name = value"},
      {"take-over = yes\n", "cannot be set"}, {"size = 1G\n", "cannot be set"}, {"read-only = perhaps\n", "yes nor no"},
      {"dirty-max = 1M\ndirty-max = 1M\n", "twice"}, {"state-dir =\n", "missing"},
  };
  for (const auto& [content, message] : bad) {
    const auto a = parse({"status"}, {write("conf", content)});
    ASSERT_FALSE(a) << content;
    EXPECT_EQ(a.error().code(), Code::kBadArgument);
    EXPECT_THAT(a.error().message(), HasSubstr(message)) << content;
  }
}

TEST_F(ConfigFile, LeavesOtherCommandsAlone) {
  const auto a = parse({"status"}, {write("conf", "dirty-max = 2M\n")});
  ASSERT_TRUE(a) << a.error().message();
  EXPECT_FALSE(a->has("dirty-max"));
}

// As mount(8) calls it.
TEST(MountHelper, MakesTheCommandThatAnFstabLineMeans) {
  const auto words = [](const Words& given) { return mount_helper_words(given); };
  const auto mount = words({"file:///srv/disk", "/mnt/crate", "-o", "rw,_netdev,key-file=/root/disk.key"});
  ASSERT_TRUE(mount && *mount);
  EXPECT_EQ(**mount, (Words{"mount", "file:///srv/disk", "/mnt/crate", "-o", "rw,_netdev,key-file=/root/disk.key"}));
  const auto parsed = parse_command_line(**mount, {});
  ASSERT_TRUE(parsed && parsed->arguments);
  EXPECT_EQ(parsed->arguments->text("key-file"), "/root/disk.key");
  EXPECT_EQ(**words({"s3://b/p", "/mnt", "-sv", "-n", "-t", "s3crate-blk"}), (Words{"mount", "s3://b/p", "/mnt"}));
  EXPECT_FALSE(words({"s3://b/p", "/mnt", "-f", "-o", "rw"})->has_value());
  EXPECT_TRUE(is(words({"s3://b/p", "/mnt", "-o"}), Code::kBadArgument));
  EXPECT_TRUE(is(words({"s3://b/p", "/mnt", "--take-over"}), Code::kBadArgument));
  EXPECT_TRUE(is(words({"s3://b/p", "/mnt", "-N", "/proc/1/ns/mnt"}), Code::kUnsupported));
}

TEST(Arguments, ForAnotherCommandKeepWhatThatKnows) {
  const auto parsed = parse_command_line({"restore", "file:///a@3", "etc", "--to", "/b", "--key-file", "/k", "--fs-options", "subvol=x"}, {});
  ASSERT_TRUE(parsed && parsed->arguments);
  const auto attach = parsed->arguments->as(Command::kAttach, {"file:///a@3", "/c"});
  EXPECT_EQ(attach.command(), Command::kAttach);
  EXPECT_EQ(attach.positionals(), (Words{"file:///a@3", "/c"}));
  EXPECT_EQ(attach.text("key-file"), "/k");
  EXPECT_EQ(attach.text("fs-options"), "subvol=x");
  EXPECT_FALSE(attach.has("to"));
  EXPECT_EQ(attach.time("upload-delay"), std::chrono::seconds(30));
}

}  // namespace
}  // namespace s3crate::cli
