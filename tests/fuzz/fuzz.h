// SPDX-License-Identifier: GPL-3.0-or-later
// What the fuzz targets share. Each is one file that defines seeds() and run() and a Target of them. All are in two
// programs, which tests/support/run-fuzzers calls:
//
//   fuzz        libFuzzer (configure CXX=clang++-14 --enable-fuzzers --enable-sanitizers=address,undefined):
//               tests/fuzz/fuzz --target=page -max_total_time=60 NEW-INPUTS tests/fuzz/corpus/page
//   run_corpus  every input that is kept, once, with any compiler: make check
//
// tests/fuzz/corpus/TARGET holds what reaches most of its code with fewest bytes, and each input that ever failed, under
// a name that says what it did.
//
// Encodings are canonical, so every decoder owes the same: to refuse, or to accept what encodes to
// the very same bytes. What is sealed, signed or hashed is sealed, signed and hashed here, so that
// the bytes inside are looked at.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "crypto/crypto.h"
#include "tests/support/seeded_random.h"

namespace s3crate::fuzz {

// Of how many runs, beyond the corpus, a change is worth: about as many as are done in a second.
enum class Pace { fast = 20'000, slow = 1'500, whole_files = 300 };

class Target {
 public:
  // `seeds` makes valid inputs, which mutation starts from.
  Target(std::string_view name, std::vector<Bytes> (*seeds)(), void (*run)(ByteView), Pace pace = Pace::fast)
      : name(name), seeds(seeds), run(run), pace(pace) {
    all().push_back(this);
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  // In no particular order.
  static std::vector<const Target*>& all() {
    static std::vector<const Target*> targets;
    return targets;
  }

  const std::string_view name;
  std::vector<Bytes> (*const seeds)();
  void (*const run)(ByteView);
  const Pace pace;
};

inline test::SeededRandom& random() {
  static test::SeededRandom random(1);
  return random;
}

inline bool is_refusal(const Error& error) {
  return error.code() == Code::kCorrupt || error.code() == Code::kUnsupported;
}

// `encode` gives what `decode` accepted its bytes back.
template <typename Decode, typename Encode>
void check_decoder(ByteView input, Decode decode, Encode encode) {
  const auto decoded = decode(input);
  if (decoded) CHECK(equal(encode(*decoded), input));
  else CHECK(is_refusal(decoded.error()));
}

inline Bytes to_bytes(ByteView view) { return {view.begin(), view.end()}; }
inline Bytes joined(ByteView a, ByteView b) {
  Bytes out = to_bytes(a);
  append(out, b);
  return out;
}

// A seed or an input of a fuzzer of several decoders: which one, and its bytes.
inline Bytes choice(std::uint8_t which, ByteView bytes) { return joined({&which, 1}, bytes); }

inline const crypto::SealingKey& sealing_key() {
  static const crypto::SealingKey key{crypto::Secret(random())};
  return key;
}
inline Bytes sealed(ByteView plain, ByteView additional) {
  Bytes out;
  sealing_key().seal(random(), plain, additional, out);
  return out;
}
inline const crypto::Signer& signer() {
  static const crypto::Signer signer{crypto::Secret(random())};
  return signer;
}

}  // namespace s3crate::fuzz
