// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/progress.h"

#include <unistd.h>

#include <cstdio>

#include "base/time_text.h"

namespace s3crate::cli {
namespace {

constexpr auto kInterval = std::chrono::seconds(1);

class Progress {
 public:
  Progress(Clock& clock, ProgressStyle style) : clock_(clock), style_(style) {}
  ~Progress() {
    if (drawn_) std::fputs("\r\033[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(std::uint64_t unsent) {
    const auto now = clock_.monotonic_now();
    const auto span = std::chrono::duration<double>(now - at_).count();
    // Of the last interval; while somebody goes on writing there may be more than before.
    const double rate = known_ && unsent < unsent_ && span > 0 ? static_cast<double>(unsent_ - unsent) / span : 0;
    known_ = true;
    unsent_ = unsent;
    at_ = now;
    print(unsent, static_cast<std::uint64_t>(rate));
  }

 private:
  void print(std::uint64_t unsent, std::uint64_t rate) {
    if (style_ == ProgressStyle::kOff) return;
    if (style_ == ProgressStyle::kJson) {
      const nlohmann::json line = {{"unsent_bytes", unsent}, {"bytes_per_second", rate}};
      std::fprintf(stderr, "%s\n", line.dump().c_str());
      return;
    }
    auto text = fmt::format("{} to send", format_bytes(unsent));
    if (rate > 0) {
      text += fmt::format(", {}/s, {} left", format_bytes(rate), format_duration(std::chrono::seconds(unsent / rate)));
    }
    drawn_ = style_ == ProgressStyle::kLine;
    std::fprintf(stderr, drawn_ ? "\r\033[K%s" : "%s\n", text.c_str());
    std::fflush(stderr);
  }

  Clock& clock_;
  const ProgressStyle style_;
  bool drawn_ = false, known_ = false;
  std::uint64_t unsent_ = 0;
  MonotonicTime at_{};
};

std::optional<std::uint64_t> ask_unsent(const std::string& socket) {
  auto connection = connect_control(socket);
  if (!connection || !connection->send({{"command", "status"}})) return std::nullopt;
  auto answer = connection->receive(kInterval);
  if (!answer || !*answer || !(**answer).contains("unsent")) return std::nullopt;
  return (**answer)["unsent"].value("bytes", std::uint64_t{0});
}

}  // namespace

ProgressStyle progress_style(const std::string& word) {
  if (word == "plain") return ProgressStyle::kPlain;
  if (word == "json") return ProgressStyle::kJson;
  return word == "auto" && ::isatty(STDERR_FILENO) == 1 ? ProgressStyle::kLine : ProgressStyle::kOff;
}

Result<std::optional<nlohmann::json>> wait_with_progress(Clock& clock, ControlConnection& connection,
                                                        const std::string& socket, ProgressStyle style,
                                                        std::optional<Duration> timeout) {
  const auto start = clock.monotonic_now();
  Progress progress(clock, style);
  for (;;) {
    Duration wait = kInterval;
    if (timeout) wait = std::min<Duration>(wait, *timeout - (clock.monotonic_now() - start));
    if (wait <= Duration::zero()) return std::nullopt;
    auto answer = TRY(connection.receive(wait));
    if (answer) return TRY(checked(std::move(*answer)));
    if (const auto unsent = ask_unsent(socket)) progress.show(*unsent);
  }
}

Result<nlohmann::json> checked(nlohmann::json answer) {
  if (!answer.contains("error")) return answer;
  const auto& error = answer["error"];
  const auto name = error.value("code", "");
  Code code = Code::kIo;
  for (int i = 0; i <= static_cast<int>(Code::kIo); ++i) {
    if (code_name(static_cast<Code>(i)) == name) code = static_cast<Code>(i);
  }
  return fail(code, "{}", error.value("message", "the process behind the mount gives no reason"));
}

}  // namespace s3crate::cli
