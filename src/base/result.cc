// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/result.h"

namespace s3crate {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kNotFound: return "not_found";
    case Code::kExists: return "exists";
    case Code::kTransient: return "transient";
    case Code::kDenied: return "denied";
    case Code::kCorrupt: return "corrupt";
    case Code::kBadArgument: return "bad_argument";
    case Code::kNoSpace: return "no_space";
    case Code::kFenced: return "fenced";
    case Code::kCancelled: return "cancelled";
    case Code::kBadKey: return "bad_key";
    case Code::kUnsupported: return "unsupported";
    case Code::kIo: return "io";
    case Code::kLost: return "lost";
  }
  return "unknown";
}

}  // namespace s3crate
