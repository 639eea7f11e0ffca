// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/progress.h"

#include <unistd.h>

#include <cstdio>

#include "base/time_text.h"
#include "cli/store_watch.h"

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

  void show(std::uint64_t unsent, const std::string& trouble) {
    const auto now = clock_.monotonic_now();
    const auto span = std::chrono::duration<double>(now - at_).count();
    // Of the last interval; while somebody goes on writing there may be more than before.
    const double rate = known_ && unsent < unsent_ && span > 0 ? static_cast<double>(unsent_ - unsent) / span : 0;
    known_ = true;
    unsent_ = unsent;
    at_ = now;
    print(unsent, static_cast<std::uint64_t>(rate), trouble);
    if (style_ == ProgressStyle::kOff) notice(now, trouble);
  }

 private:
  // Who sees no progress is told at least why there is none.
  void notice(MonotonicTime now, const std::string& trouble) {
    if (trouble.empty()) in_trouble_since_ = std::nullopt;
    else if (!in_trouble_since_) in_trouble_since_ = now;
    if (!in_trouble_since_) return;
    const auto text = notices_.due(now, {trouble, now - *in_trouble_since_, std::nullopt});
    if (text) std::fprintf(stderr, "s3crate-blk: %s\n", text->c_str());
  }

  void print(std::uint64_t unsent, std::uint64_t rate, const std::string& trouble) {
    if (style_ == ProgressStyle::kOff) return;
    if (style_ == ProgressStyle::kJson) {
      nlohmann::json line = {{"unsent_bytes", unsent}, {"bytes_per_second", rate}};
      if (!trouble.empty()) line["trouble"] = trouble;
      std::fprintf(stderr, "%s\n", line.dump().c_str());
      return;
    }
    auto text = fmt::format("{} to send", format_bytes(unsent));
    if (rate > 0) {
      text += fmt::format(", {}/s, {} left", format_bytes(rate), format_duration(std::chrono::seconds(unsent / rate)));
    }
    if (!trouble.empty()) text += "; " + trouble;
    drawn_ = style_ == ProgressStyle::kLine;
    std::fprintf(stderr, drawn_ ? "\r\033[K%s" : "%s\n", text.c_str());
    std::fflush(stderr);
  }

  Clock& clock_;
  const ProgressStyle style_;
  bool drawn_ = false, known_ = false;
  std::uint64_t unsent_ = 0;
  MonotonicTime at_{};
  std::optional<MonotonicTime> in_trouble_since_;
  WaitingNotices notices_{"the store", std::nullopt};
};

struct Status {
  std::uint64_t unsent = 0;
  std::string trouble;  // empty: all is well
};

std::optional<Status> ask_status(const std::string& socket) {
  auto connection = connect_control(socket);
  if (!connection || !connection->send({{"command", "status"}})) return std::nullopt;
  auto answer = connection->receive(kInterval);
  if (!answer || !*answer || !(**answer).contains("unsent")) return std::nullopt;
  Status status{.unsent = (**answer)["unsent"].value("bytes", std::uint64_t{0}), .trouble = {}};
  // Damage is none that would pass, and nothing waits for it.
  if (const auto health = (**answer).value("health", "ok"); health != "ok" && health != "damaged") status.trouble = (**answer).value("health_reason", "");
  return status;
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
    if (const auto status = ask_status(socket)) progress.show(status->unsent, status->trouble);
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
