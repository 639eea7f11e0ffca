// SPDX-License-Identifier: GPL-3.0-or-later
#include <sys/random.h>

#include <cerrno>

#include "base/check.h"
#include "base/random.h"

namespace s3crate {
namespace {

// Asks the kernel every time: a buffer of our own would repeat itself in a cloned virtual machine.
class SystemRandom final : public Random {
 public:
  void fill(MutableByteView out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      ssize_t n = getrandom(out.data() + done, out.size() - done, 0);
      CHECK(n > 0 || errno == EINTR);
      if (n > 0) done += static_cast<std::size_t>(n);
    }
  }
};

}  // namespace

Random& system_random() {
  static SystemRandom random;
  return random;
}

}  // namespace s3crate
