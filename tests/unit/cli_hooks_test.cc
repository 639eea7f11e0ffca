// SPDX-License-Identifier: GPL-3.0-or-later
// Hooks: what they are told, what they are not told, how long they may take, and what is not run.
#include "cli/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/support/temp_dir.h"

namespace s3crate::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

class HooksTest : public testing::Test {
 protected:
  void hook(const std::string& name, const std::string& body, mode_t mode = 0755) {
    const auto path = dir_ / name;
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    ASSERT_EQ(::chmod(std::string(path).c_str(), mode), 0);
  }
  std::string text_of(const std::string& name) {
    std::ifstream file(dir_ / name);
    std::stringstream out;
    out << file.rdbuf();
    return out.str();
  }
  Hooks make(Duration limit = std::chrono::seconds(20)) { return {system_env(), dir_ / ".", limit, {{"URL", "file:///srv/disk"}}}; }

  test::TempDir dir_;
};

TEST_F(HooksTest, AreToldWhatHappensAndNothingElse) {
  ::setenv("AWS_SECRET_ACCESS_KEY", "sesame", 1);
  ::setenv("S3CRATE_PASSPHRASE_COMMAND", "sesame", 1);
  hook("pre-snapshot", fmt::format("env > {}/told; echo said", std::string(dir_ / ".")));
  Hooks hooks = make();
  ASSERT_TRUE(hooks.check());
  ASSERT_TRUE(hooks.run("pre-snapshot", {{"TAG", "night ly"}}));
  const std::string told = text_of("told");
  EXPECT_THAT(told, HasSubstr("S3CRATE_HOOK=pre-snapshot\n"));
  EXPECT_THAT(told, HasSubstr("S3CRATE_URL=file:///srv/disk\n"));
  EXPECT_THAT(told, HasSubstr("S3CRATE_TAG=night ly\n"));
  EXPECT_THAT(told, HasSubstr("PATH="));
  EXPECT_THAT(told, Not(HasSubstr("sesame")));
  ::unsetenv("AWS_SECRET_ACCESS_KEY");
  ::unsetenv("S3CRATE_PASSPHRASE_COMMAND");
}

TEST_F(HooksTest, ThatAreNotThereAreNotRun) {
  Hooks hooks = make();
  EXPECT_TRUE(hooks.run("pre-mount", {}));
  Hooks none(system_env(), "", std::chrono::seconds(1), {});
  EXPECT_TRUE(none.check());
  EXPECT_TRUE(none.run("pre-mount", {}));
  Hooks nowhere(system_env(), dir_ / "nowhere", std::chrono::seconds(1), {});
  EXPECT_TRUE(is(nowhere.check(), Code::kBadArgument));
}

TEST_F(HooksTest, SayWhyTheyFailed) {
  hook("pre-mount", "echo first; echo the database does not answer >&2; exit 3");
  Hooks hooks = make();
  const auto failed = hooks.run("pre-mount", {});
  ASSERT_TRUE(is(failed, Code::kIo));
  EXPECT_THAT(failed.error().message(), HasSubstr("status 3: the database does not answer"));
  hook("pre-mount", "kill -9 $$");
  EXPECT_THAT(hooks.run("pre-mount", {}).error().message(), HasSubstr("signal 9"));
}

TEST_F(HooksTest, AreEndedWithAllTheyStartedWhenTheirTimeIsOver) {
  hook("pre-mount", "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $! >" + std::string(dir_ / "child") + "; wait");
  Hooks hooks = make(std::chrono::milliseconds(300));
  const auto failed = hooks.run("pre-mount", {});
  ASSERT_TRUE(is(failed, Code::kIo));
  EXPECT_THAT(failed.error().message(), HasSubstr("ended after"));
  const std::string state = fmt::format("/proc/{}", std::atoi(text_of("child").c_str()));
  for (int i = 0; i < 100 && ::access((state + "/cmdline").c_str(), F_OK) == 0; ++i) {
    std::ifstream cmdline(state + "/cmdline");
    std::string words;
    if (!std::getline(cmdline, words) || words.empty()) break;  // a zombie has none
    nap(system_clock(), system_env().executor, std::chrono::milliseconds(20));
  }
  std::ifstream cmdline(state + "/cmdline");
  std::string words;
  EXPECT_TRUE(!std::getline(cmdline, words) || words.empty()) << words;
}

TEST_F(HooksTest, ThatOthersMayWriteAreNotRun) {
  hook("pre-mount", fmt::format("touch {}/ran", std::string(dir_ / ".")), 0777);
  hook("post-mount", "true", 0644);
  Hooks hooks = make();
  EXPECT_FALSE(hooks.run("pre-mount", {}));
  EXPECT_EQ(text_of("ran"), "");
  EXPECT_NE(::access(std::string(dir_ / "ran").c_str(), F_OK), 0);
  EXPECT_THAT(hooks.run("post-mount", {}).error().message(), HasSubstr("no program"));
}

TEST_F(HooksTest, AreNotStartedOnceStoppedButTheLast) {
  hook("pre-commit", "true");
  hook("post-umount", "touch " + std::string(dir_ / "last"));
  Hooks hooks = make();
  EXPECT_TRUE(hooks.before_commit());
  hooks.stop();
  EXPECT_FALSE(hooks.before_commit());
  hooks.run_logged("post-umount", {});
  EXPECT_EQ(::access(std::string(dir_ / "last").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace s3crate::cli
