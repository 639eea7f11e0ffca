// SPDX-License-Identifier: GPL-3.0-or-later
// What commits have named since the newest checkpoint and no map refers to: what an import that did not come to its end has left.
#pragma once

#include "volume/volume.h"

namespace s3crate::device {

// Where it would stand on the disk. A segment whose index cannot be had is left out.
[[nodiscard]] Result<volume::RunMap> find_staged(volume::Volume& volume, const volume::View& view);

}  // namespace s3crate::device
