// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/exit_status.h"

namespace s3crate::cli {

ExitStatus exit_status(Code code) {
  switch (code) {
    case Code::kNotFound: return kFailed;
    case Code::kExists: return kFailed;
    case Code::kTransient: return kStoreAway;
    case Code::kDenied: return kStoreAway;
    case Code::kCorrupt:
    case Code::kLost: return kDamaged;
    case Code::kBadArgument: return kWrongUsage;
    case Code::kNoSpace: return kFailed;
    case Code::kFenced: return kInUse;
    case Code::kCancelled: return kFailed;
    case Code::kBadKey: return kWrongKey;
    case Code::kUnsupported: return kFailed;
    case Code::kIo: return kFailed;
  }
  return kFailed;
}

}  // namespace s3crate::cli
