// SPDX-License-Identifier: GPL-3.0-or-later
#include "fuse/errno.h"

#include <cerrno>

namespace s3crate::fuse {

int to_errno(Code code) {
  switch (code) {
    case Code::kNotFound: return EIO;    // an object of the disk is gone; ENOENT would speak of the file
    case Code::kExists: return EIO;
    case Code::kTransient: return EIO;
    case Code::kDenied: return EIO;      // the store refuses us; EACCES would blame the reader of the file
    case Code::kCorrupt:
    case Code::kLost: return EIO;
    case Code::kBadArgument: return EINVAL;
    case Code::kNoSpace: return ENOSPC;
    case Code::kFenced: return EROFS;    // reads go on, writes never will again
    case Code::kCancelled: return ESHUTDOWN;  // not EINTR, which callers retry
    case Code::kBadKey: return EIO;
    case Code::kUnsupported: return EOPNOTSUPP;
    case Code::kIo: return EIO;
  }
  return EIO;
}

}  // namespace s3crate::fuse
