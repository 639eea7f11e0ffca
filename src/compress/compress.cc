// SPDX-License-Identifier: GPL-3.0-or-later
#include "compress/compress.h"

#include <zstd.h>

#include <algorithm>
#include <memory>
#include <new>

#include "base/check.h"
#include "compress/probe.h"

namespace s3crate::compress {
namespace {

struct FreeContext {
  void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
};

// A zstd block yields at most 128 KiB and takes at least 4 bytes, so nothing honest claims to grow
// by more.
constexpr std::size_t kGrowthMax = 32 * 1024;

// Exactly one frame that says it holds raw_size bytes: zstd looks at no other.
Result<> check_frame(ByteView packed, std::size_t raw_size) {
  if (raw_size / kGrowthMax > packed.size() ||
      ZSTD_getFrameContentSize(packed.data(), packed.size()) != raw_size ||
      ZSTD_findFrameCompressedSize(packed.data(), packed.size()) != packed.size()) {
    return fail(Code::kCorrupt, "compressed data is not one frame of {} bytes", raw_size);
  }
  return {};
}

}  // namespace

Codec compress(ByteView raw, int level, Bytes& out) {
  CHECK(level >= 0 && level <= 19);
  if (level == 0 || raw.empty() || looks_random(raw)) return Codec::none;
  thread_local std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  if (context == nullptr) throw std::bad_alloc();
  CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level)));
  const std::size_t start = out.size();
  // zstd gives up as soon as the result would not fit into what is worth having.
  out.resize(start + raw.size() - std::max<std::size_t>(1, (raw.size() + 31) / 32));
  const std::size_t size =
      ZSTD_compress2(context.get(), out.data() + start, out.size() - start, raw.data(), raw.size());
  if (ZSTD_isError(size)) {
    out.resize(start);
    return Codec::none;
  }
  out.resize(start + size);
  return Codec::zstd;
}

Result<> decompress(ByteView packed, MutableByteView raw) {
  TRY(check_frame(packed, raw.size()));
  thread_local std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  if (context == nullptr) throw std::bad_alloc();
  const std::size_t size =
      ZSTD_decompressDCtx(context.get(), raw.data(), raw.size(), packed.data(), packed.size());
  if (ZSTD_isError(size)) {
    return fail(Code::kCorrupt, "compressed data is damaged: {}", ZSTD_getErrorName(size));
  }
  if (size != raw.size()) {
    return fail(Code::kCorrupt, "compressed data holds {} bytes instead of {}", size, raw.size());
  }
  return {};
}

}  // namespace s3crate::compress
