// SPDX-License-Identifier: GPL-3.0-or-later
// main() of the GoogleTest binaries. When S3CRATE_TAP names a file, the result of every case goes
// there as well, in the Test Anything Protocol, which is how make check counts single cases. The
// plan is written first, so a binary that dies half way is seen to owe results.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace {

class TapListener : public testing::EmptyTestEventListener {
 public:
  explicit TapListener(FILE* out) : out_(out) {}
  TapListener(const TapListener&) = delete;
  TapListener& operator=(const TapListener&) = delete;
  ~TapListener() override { std::fclose(out_); }

  void OnTestProgramStart(const testing::UnitTest& program) override {
    std::fprintf(out_, "1..%d\n", program.test_to_run_count());
    std::fflush(out_);
  }

  void OnTestEnd(const testing::TestInfo& info) override {
    const testing::TestResult& result = *info.result();
    std::fprintf(out_, "%s %d - %s.%s%s\n", result.Failed() ? "not ok" : "ok", ++number_,
                 info.test_suite_name(), info.name(), skip_directive(result).c_str());
    std::fflush(out_);  // now, not when a forked child of a death test happens to exit
  }

 private:
  static std::string skip_directive(const testing::TestResult& result) {
    if (!result.Skipped()) return "";
    std::string reason;
    for (int i = 0; i < result.total_part_count(); ++i) {
      if (result.GetTestPartResult(i).skipped()) reason = result.GetTestPartResult(i).message();
    }
    return " # SKIP " + reason.substr(0, reason.find('\n'));
  }

  FILE* out_;
  int number_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  if (const char* path = std::getenv("S3CRATE_TAP"); path != nullptr) {
    FILE* out = std::fopen(path, "we");
    if (out == nullptr) {
      std::perror(path);
      return 1;
    }
    unsetenv("S3CRATE_TAP");  // a death test starts this program again
    testing::UnitTest::GetInstance()->listeners().Append(
        std::make_unique<TapListener>(out).release());
  }
  return RUN_ALL_TESTS();
}
