// SPDX-License-Identifier: GPL-3.0-or-later
// What one extent costs on its way: seal, open, digest, compress, decompress, at 4 KiB and 64 KiB.
// libsodium's own XChaCha20-Poly1305 and memcpy are there for comparison.
#include <benchmark/benchmark.h>
#include <sodium.h>

#include <random>

#include "base/check.h"
#include "compress/compress.h"
#include "compress/probe.h"
#include "crypto/crypto.h"

namespace s3crate {
namespace {

enum class Content { text, noise };

Bytes make(Content content, std::size_t size) {
  static constexpr std::string_view kWords[] = {
      "the ",  "volume ", "of ",      "segment ", "extent", ", ",     "and ",   "reads ",
      "block", " is ",    "journal ", "never ",   "a ",     "lost. ", "Commit", "\n"};
  std::mt19937_64 engine(1);
  Bytes out;
  while (out.size() < size) {
    if (content == Content::text) {
      append(out, as_bytes(kWords[engine() % std::size(kWords)]));
    } else {
      out.push_back(static_cast<std::uint8_t>(engine()));
    }
  }
  out.resize(size);
  return out;
}

std::size_t size_of(const benchmark::State& state) {
  return static_cast<std::size_t>(state.range(0));
}

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

const crypto::SealingKey& key() {
  static const crypto::SealingKey& key = [&]() -> const crypto::SealingKey& {
    CHECK(crypto::initialise());
    return *new crypto::SealingKey(crypto::Secret(system_random()));
  }();
  return key;
}

void copy(benchmark::State& state) {
  const Bytes raw = make(Content::noise, size_of(state));
  Bytes out;
  out.reserve(raw.size());
  for (auto _ : state) {
    out.clear();
    append(out, raw);
    benchmark::DoNotOptimize(out.data());
  }
  count_bytes(state);
}
BENCHMARK(copy)->Arg(4096)->Arg(65536);

void seal(benchmark::State& state) {
  const Bytes raw = make(Content::noise, size_of(state));
  const crypto::SealingKey& k = key();
  Bytes out;
  out.reserve(raw.size() + crypto::kSealOverhead);
  for (auto _ : state) {
    out.clear();
    k.seal(system_random(), raw, as_bytes("extent 7"), out);
  }
  count_bytes(state);
}
BENCHMARK(seal)->Arg(4096)->Arg(65536);

void open(benchmark::State& state) {
  const Bytes raw = make(Content::noise, size_of(state));
  const crypto::OpeningKey opening = key().opening_key();
  Bytes sealed;
  key().seal(system_random(), raw, as_bytes("extent 7"), sealed);
  Bytes out;
  out.reserve(raw.size());
  for (auto _ : state) {
    out.clear();
    CHECK(opening.open(sealed, as_bytes("extent 7"), out));
  }
  count_bytes(state);
}
BENCHMARK(open)->Arg(4096)->Arg(65536);

void libsodium_seal(benchmark::State& state) {
  const Bytes raw = make(Content::noise, size_of(state));
  (void)key();
  const Bytes k = make(Content::noise, 32);
  Bytes out(raw.size() + crypto::kSealOverhead);
  for (auto _ : state) {
    system_random().fill(MutableByteView(out).first(crypto::kNonceSize));
    crypto_aead_xchacha20poly1305_ietf_encrypt(out.data() + crypto::kNonceSize, nullptr, raw.data(),
                                               raw.size(), raw.data(), 8, nullptr, out.data(),
                                               k.data());
  }
  count_bytes(state);
}
BENCHMARK(libsodium_seal)->Arg(4096)->Arg(65536);

void digest(benchmark::State& state) {
  const Bytes raw = make(Content::noise, size_of(state));
  for (auto _ : state) benchmark::DoNotOptimize(crypto::digest(raw));
  count_bytes(state);
}
BENCHMARK(digest)->Arg(4096)->Arg(65536);

void digests_of_two(benchmark::State& state) {
  const Bytes raw = make(Content::noise, size_of(state));
  const std::array<ByteView, 2> both = {raw, raw};
  std::array<crypto::Digest, 2> out;
  for (auto _ : state) {
    crypto::digests(both, out);
    benchmark::DoNotOptimize(out);
  }
  state.SetBytesProcessed(2 * static_cast<std::int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(digests_of_two)->Arg(4096)->Arg(65536);

void blake2b(benchmark::State& state) {
  const Bytes raw = make(Content::noise, size_of(state));
  for (auto _ : state) benchmark::DoNotOptimize(crypto::blake2b(raw));
  count_bytes(state);
}
BENCHMARK(blake2b)->Arg(4096)->Arg(65536);

template <Content content>
void compress(benchmark::State& state) {
  const Bytes raw = make(content, size_of(state));
  Bytes out;
  out.reserve(raw.size());
  for (auto _ : state) {
    out.clear();
    benchmark::DoNotOptimize(compress::compress(raw, static_cast<int>(state.range(1)), out));
  }
  count_bytes(state);
  state.counters["ratio"] =
      out.empty() ? 1.0 : static_cast<double>(raw.size()) / static_cast<double>(out.size());
}
BENCHMARK_TEMPLATE(compress, Content::text)->ArgsProduct({{4096, 65536}, {1, 3}});
BENCHMARK_TEMPLATE(compress, Content::noise)->ArgsProduct({{4096, 65536}, {3}});

// What the quick look alone costs, on data that it has to count to the end.
void quick_look(benchmark::State& state) {
  const Bytes raw = make(Content::noise, size_of(state));
  for (auto _ : state) benchmark::DoNotOptimize(compress::looks_random(raw));
  count_bytes(state);
}
BENCHMARK(quick_look)->Arg(4096)->Arg(65536);

void decompress(benchmark::State& state) {
  const Bytes raw = make(Content::text, size_of(state));
  Bytes packed;
  CHECK(compress::compress(raw, 3, packed) == compress::Codec::zstd);
  Bytes out(raw.size());
  for (auto _ : state) CHECK(compress::decompress(packed, out));
  count_bytes(state);
}
BENCHMARK(decompress)->Arg(4096)->Arg(65536);

void secret_take_and_give_back(benchmark::State& state) {
  (void)key();
  for (auto _ : state) benchmark::DoNotOptimize(crypto::Secret::uninitialised());
}
BENCHMARK(secret_take_and_give_back);

void sign(benchmark::State& state) {
  (void)key();
  const crypto::Signer signer{crypto::Secret(system_random())};
  const Bytes raw = make(Content::noise, size_of(state));
  const ByteView parts[] = {raw};
  for (auto _ : state) benchmark::DoNotOptimize(signer.sign("commit", parts));
}
BENCHMARK(sign)->Arg(4096);

void box_seal_and_open(benchmark::State& state) {
  (void)key();
  const crypto::BoxKeyPair pair = crypto::box_key_pair(system_random());
  const Bytes raw = make(Content::noise, 32);
  for (auto _ : state) {
    const Bytes sealed = crypto::box_seal(system_random(), pair.public_key, raw);
    Bytes out;
    CHECK(crypto::box_open(pair.secret, sealed, out));
  }
}
BENCHMARK(box_seal_and_open);

}  // namespace
}  // namespace s3crate
