// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

namespace s3crate::cli {

Result<> start_log(const std::string& to, const std::string& level) {
  try {
    spdlog::sink_ptr sink;
    if (to == kLogToSyslog) sink = std::make_shared<spdlog::sinks::syslog_sink_mt>("s3crate-blk", LOG_PID, LOG_DAEMON, false);
    else if (to == kLogToStderr) sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    else sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(to);
    auto logger = std::make_shared<spdlog::logger>("s3crate-blk", std::move(sink));
    logger->set_level(spdlog::level::from_str(level));
    logger->flush_on(spdlog::level::info);
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l: %v", spdlog::pattern_time_type::utc);
    spdlog::set_default_logger(std::move(logger));
  } catch (const spdlog::spdlog_ex& e) {
    return fail(Code::kBadArgument, "--log-to: {}", e.what());
  }
  return {};
}

}  // namespace s3crate::cli
