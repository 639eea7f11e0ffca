// SPDX-License-Identifier: GPL-3.0-or-later
// No key may be found outside of locked memory once the work with it is done: the whole process is
// searched.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <fstream>
#include <string>
#include <vector>

#include "crypto/crypto.h"
#include "tests/support/sanitized.h"

namespace s3crate::crypto {
namespace {

// What is searched for is kept in disguise, or the search would find itself.
constexpr std::uint8_t kMask = 0xa5;

class Needle {
 public:
  Needle(std::string name, ByteView bytes) : name_(std::move(name)) {
    for (std::uint8_t b : bytes.first(16)) masked_.push_back(b ^ kMask);
  }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool is_in(ByteView memory) const {
    return std::search(memory.begin(), memory.end(), masked_.begin(), masked_.end(),
                       [](std::uint8_t a, std::uint8_t b) { return (a ^ kMask) == b; }) !=
           memory.end();
  }

 private:
  std::string name_;
  Bytes masked_;
};

// Searches everything that a core dump would hold, page by page with some overlap.
class ProcessMemory {
 public:
  [[nodiscard]] std::vector<std::string> where(const Needle& needle) {
    std::vector<std::string> found;
    std::ifstream smaps("/proc/self/smaps");
    std::string name;
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;
    for (std::string line; std::getline(smaps, line);) {
      char mode[5];
      std::uintptr_t from;
      std::uintptr_t to;
      if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode) == 3) {
        name = line;
        start = mode[1] == 'w' ? from : to;
        end = to;
      } else if (line.starts_with("VmFlags:") && line.find(" dd") == std::string::npos) {
        if (holds(start, end, needle)) found.push_back(name);
      }
    }
    return found;
  }

 private:
  bool holds(std::uintptr_t start, std::uintptr_t end, const Needle& needle) {
    const int fd = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    bool found = false;
    for (std::uintptr_t at = start; at < end && !found; at += buffer_.size() - kOverlap) {
      const ssize_t n = pread(fd, buffer_.data(), std::min<std::size_t>(buffer_.size(), end - at),
                              static_cast<off_t>(at));
      found = n > 0 && needle.is_in(ByteView(buffer_).first(static_cast<std::size_t>(n)));
      wipe(buffer_);  // or the next search finds what this one read
    }
    close(fd);
    return found;
  }

  static constexpr std::size_t kOverlap = 64;
  Bytes buffer_ = Bytes(1 << 16);
};

TEST(KeyRemnantsTest, NoneOutsideLockedMemory) {
  if (test::kSanitized) GTEST_SKIP() << "a sanitizer maps too much memory to search";
  ASSERT_TRUE(initialise());
  ProcessMemory memory;
  std::vector<Needle> needles;
  Bytes out;
  Secret raw(system_random());
  needles.emplace_back("key", raw.view());
  const SealingKey key(raw.clone());
  const OpeningKey opening = key.opening_key();
  for (std::size_t size : {100, 65536}) {
    const Bytes plaintext(size);
    Bytes sealed;
    Bytes back;
    key.seal(system_random(), plaintext, {}, sealed);
    ASSERT_TRUE(opening.open(sealed, {}, back));
    std::uint8_t subkey[32];
    crypto_core_hchacha20(subkey, sealed.data(), raw.view().data(), nullptr);
    needles.emplace_back("subkey of " + std::to_string(size), subkey);
    wipe(subkey);
  }
  const Secret derived = derive(raw, "test", {});
  needles.emplace_back("derived key", derived.view());
  const Signer signer(Secret{system_random()});
  (void)signer.sign("x", {});
  needles.emplace_back("seed", signer.seed().view());
  const BoxKeyPair pair = box_key_pair(system_random());
  const Bytes box = box_seal(system_random(), pair.public_key, out);
  ASSERT_TRUE(box_open(pair.secret, box, out));
  needles.emplace_back("box secret", pair.secret.view());
  for (const Needle& needle : needles) {
    for (const std::string& place : memory.where(needle)) {
      ADD_FAILURE() << needle.name() << " in " << place;
    }
  }
  // The search finds what is there.
  const Bytes copy(raw.view().begin(), raw.view().end());
  EXPECT_FALSE(memory.where(needles[0]).empty());
}

}  // namespace
}  // namespace s3crate::crypto
