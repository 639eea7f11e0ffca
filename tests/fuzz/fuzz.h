// SPDX-License-Identifier: GPL-3.0-or-later
// What the fuzzers share. Each is one file that defines seeds() and run(); libFuzzer does the rest:
//
//   configure CXX=clang++-14 --enable-fuzzers --enable-sanitizers=address,undefined && make
//   tests/fuzz/page_fuzz -max_total_time=60 [CORPUS-DIRECTORY]
//
// Encodings are canonical, so every decoder owes the same: to refuse, or to accept what encodes to
// the very same bytes. What is sealed, signed or hashed is sealed, signed and hashed here, so that
// the bytes inside are looked at.
#pragma once

#include <algorithm>

#include "base/check.h"
#include "crypto/crypto.h"
#include "tests/support/seeded_random.h"

namespace s3crate::fuzz {

// Valid inputs, which mutation starts from.
std::vector<Bytes> seeds();
void run(ByteView input);

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

extern "C" {

std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

int LLVMFuzzerInitialize(int* argc, char*** argv) {
  CHECK(s3crate::crypto::initialise());
  // Seeds are of full length from the beginning.
  static char len_control[] = "-len_control=0";
  static std::vector<char*> arguments(*argv, *argv + *argc);
  arguments.insert(arguments.begin() + 1, len_control);
  *argc = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  *argv = arguments.data();
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                    unsigned seed) {
  static const std::vector<s3crate::Bytes> starts = s3crate::fuzz::seeds();
  constexpr unsigned kFreshStartOneIn = 100;
  const s3crate::Bytes& start = starts[seed / kFreshStartOneIn % starts.size()];
  if ((size <= 1 || seed % kFreshStartOneIn == 0) && start.size() <= max_size) {
    std::ranges::copy(start, data);
    size = start.size();
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  s3crate::fuzz::run({data, size});
  return 0;
}

}  // extern "C"
