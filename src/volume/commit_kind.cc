// SPDX-License-Identifier: GPL-3.0-or-later
// Commits by kind: names, capabilities, guests.
#include "volume/commit.h"

namespace s3crate::volume {

std::string_view kind_name(CommitKind kind) {
  switch (kind) {
    case CommitKind::keys: return "keys";
    case CommitKind::stores: return "stores";
    case CommitKind::config: return "config";
    case CommitKind::open: return "open";
    case CommitKind::data: return "data";
    case CommitKind::compact: return "compact";
    case CommitKind::checkpoint: return "checkpoint";
    case CommitKind::tag: return "tag";
    case CommitKind::untag: return "untag";
    case CommitKind::pin: return "pin";
    case CommitKind::unpin: return "unpin";
    case CommitKind::condemn: return "condemn";
    case CommitKind::freed: return "freed";
    case CommitKind::hold: return "hold";
    case CommitKind::resize: return "resize";
    case CommitKind::rollback: return "rollback";
    case CommitKind::close: return "close";
  }
  return "unknown";
}

bool may_sign(std::uint32_t capabilities, CommitKind kind) {
  switch (kind) {
    case CommitKind::open:
    case CommitKind::data:
    case CommitKind::checkpoint:
    case CommitKind::close:
    case CommitKind::tag:
    case CommitKind::pin:
    case CommitKind::unpin: return (capabilities & kAppend) != 0;
    case CommitKind::compact:
    case CommitKind::resize:
    case CommitKind::rollback:
    case CommitKind::untag: return (capabilities & kChange) != 0;
    case CommitKind::condemn:
    case CommitKind::freed:
    case CommitKind::hold: return (capabilities & kMaintain) != 0;
    case CommitKind::keys:
    case CommitKind::stores:
    case CommitKind::config: return false;  // the admin key's
  }
  return false;
}

bool is_guest(CommitKind kind) {
  switch (kind) {
    case CommitKind::tag:
    case CommitKind::untag:
    case CommitKind::pin:
    case CommitKind::unpin:
    case CommitKind::keys:
    case CommitKind::stores:
    case CommitKind::config:
    case CommitKind::condemn:
    case CommitKind::freed:
    case CommitKind::hold: return true;
    case CommitKind::open:
    case CommitKind::data:
    case CommitKind::compact:
    case CommitKind::checkpoint:
    case CommitKind::resize:
    case CommitKind::rollback:
    case CommitKind::close: return false;
  }
  return false;
}

}  // namespace s3crate::volume
