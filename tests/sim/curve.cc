// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/curve.h"

#include <cstring>
#include <map>
#include <memory>
#include <vector>

namespace s3crate::sim {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t kLimb = (std::uint64_t{1} << 51) - 1;

// A number modulo p = 2^255 - 19, in limbs of 51 bits; products have little more, sums and differences of them are below 2^55.
struct Field {
  std::array<std::uint64_t, 5> v{};
};

constexpr Field small(std::uint64_t n) { return {{n, 0, 0, 0, 0}}; }

Field operator+(const Field& a, const Field& b) {
  Field out;
  for (std::size_t i = 0; i < 5; ++i) out.v[i] = a.v[i] + b.v[i];
  return out;
}

Field operator-(const Field& a, const Field& b) {
  Field out;  // 8 p more, so that no limb falls below zero
  for (std::size_t i = 0; i < 5; ++i) out.v[i] = a.v[i] + (i == 0 ? (kLimb - 18) * 8 : kLimb * 8) - b.v[i];
  return out;
}

Field operator*(const Field& a, const Field& b) {
  const auto& f = a.v;
  const auto& g = b.v;
  const std::uint64_t g1 = g[1] * 19, g2 = g[2] * 19, g3 = g[3] * 19, g4 = g[4] * 19;
  const auto wide = [](std::uint64_t x, std::uint64_t y) { return static_cast<Wide>(x) * y; };
  Wide r0 = wide(f[0], g[0]) + wide(f[1], g4) + wide(f[2], g3) + wide(f[3], g2) + wide(f[4], g1);
  Wide r1 = wide(f[0], g[1]) + wide(f[1], g[0]) + wide(f[2], g4) + wide(f[3], g3) + wide(f[4], g2);
  Wide r2 = wide(f[0], g[2]) + wide(f[1], g[1]) + wide(f[2], g[0]) + wide(f[3], g4) + wide(f[4], g3);
  Wide r3 = wide(f[0], g[3]) + wide(f[1], g[2]) + wide(f[2], g[1]) + wide(f[3], g[0]) + wide(f[4], g4);
  Wide r4 = wide(f[0], g[4]) + wide(f[1], g[3]) + wide(f[2], g[2]) + wide(f[3], g[1]) + wide(f[4], g[0]);
  r1 += static_cast<std::uint64_t>(r0 >> 51);
  r2 += static_cast<std::uint64_t>(r1 >> 51);
  r3 += static_cast<std::uint64_t>(r2 >> 51);
  r4 += static_cast<std::uint64_t>(r3 >> 51);
  const auto low = [](Wide x) { return static_cast<std::uint64_t>(x) & kLimb; };
  const Wide first = static_cast<Wide>(low(r0)) + static_cast<Wide>(static_cast<std::uint64_t>(r4 >> 51)) * 19;
  return {{low(first), low(r1) + static_cast<std::uint64_t>(first >> 51), low(r2), low(r3), low(r4)}};
}

Field squared(Field a, int times) {
  while (times-- > 0) a = a * a;
  return a;
}

Field from_bytes(const CurveBytes& bytes) {
  std::array<std::uint64_t, 4> w;
  std::memcpy(w.data(), bytes.data(), sizeof w);
  return {{w[0] & kLimb, (w[0] >> 51 | w[1] << 13) & kLimb, (w[1] >> 38 | w[2] << 26) & kLimb, (w[2] >> 25 | w[3] << 39) & kLimb,
           w[3] >> 12 & kLimb}};
}

CurveBytes to_bytes(const Field& a) {
  auto v = (a * small(1)).v;
  const auto carry = [&v](std::uint64_t top) {
    for (std::size_t i = 0; i < 4; ++i) v[i + 1] += v[i] >> 51, v[i] &= kLimb;
    v[0] += (v[4] >> 51) * top, v[4] &= kLimb;
  };
  carry(19), carry(19);
  // Now below 2 p: 19 more carries out of the top if it is p or above.
  std::uint64_t q = v[0] + 19;
  for (std::size_t i = 1; i < 5; ++i) q = v[i] + (q >> 51);
  v[0] += (q >> 51) * 19;
  carry(0);
  const std::array<std::uint64_t, 4> w = {v[0] | v[1] << 51, v[1] >> 13 | v[2] << 38, v[2] >> 26 | v[3] << 25, v[3] >> 39 | v[4] << 12};
  CurveBytes out;
  std::memcpy(out.data(), w.data(), sizeof w);
  return out;
}

bool operator==(const Field& a, const Field& b) { return to_bytes(a) == to_bytes(b); }

// a^(2^250 - 1) and a^11.
std::pair<Field, Field> chain(const Field& a) {
  const Field a2 = a * a, a9 = a * squared(a2, 2), a11 = a9 * a2, b5 = a9 * squared(a11, 1);
  const Field b10 = squared(b5, 5) * b5, b20 = squared(b10, 10) * b10, b40 = squared(b20, 20) * b20;
  const Field b50 = squared(b40, 10) * b10, b100 = squared(b50, 50) * b50, b200 = squared(b100, 100) * b100;
  return {squared(b200, 50) * b50, a11};
}
Field inverse(const Field& a) {
  const auto [most, a11] = chain(a);
  return squared(most, 5) * a11;
}
Field to_the_252(const Field& a) { return squared(chain(a).first, 2) * a; }  // a^(2^252 - 3)

// -x^2 + y^2 = 1 + d x^2 y^2, with x = X / Z, y = Y / Z, x y = T / Z.
struct Point {
  Field x, y, z, t;
};
// What an addition needs of its second point.
struct Addend {
  Field sum, difference, z, t;
};

struct Constants {
  Field d = (Field{} - small(121665)) * inverse(small(121666));
  Field d2 = d * small(2);
  Field root = squared(to_the_252(small(2)), 1) * small(2);  // of -1
};
const Constants& constants() {
  static const Constants all;
  return all;
}

Addend addend(const Point& p) { return {(p.y + p.x) * small(1), (p.y - p.x) * small(1), p.z, p.t * constants().d2}; }

// Complete: for any two points, equal ones too.
Point operator+(const Point& p, const Addend& q) {
  const Field a = (p.y - p.x) * q.difference, b = (p.y + p.x) * q.sum, c = p.t * q.t, zz = p.z * q.z, d = zz + zz;
  const Field e = b - a, f = d - c, g = d + c, h = b + a;
  return {e * f, g * h, f * g, e * h};
}

// One of the two points with that y; none has it.
std::optional<Point> point_at(const Field& y) {
  const Field one = small(1), yy = y * y, u = (yy - one) * one, v = constants().d * yy + one, v3 = v * v * v, v7 = v3 * v3 * v;
  Field x = u * v3 * to_the_252(u * v7);
  const Field square = v * x * x;
  if (!(square == u)) {
    if (!(square == (Field{} - u) * one)) return std::nullopt;
    x = x * constants().root;
  }
  return Point{x, y, one, x * y};
}

// Each digit of that many bits, but zero, times each of its places.
template <std::size_t kBits>
class Multiples {
 public:
  explicit Multiples(const Point& base) {
    Point power = base;
    for (auto& row : rows_) {
      const Addend once = addend(power);
      for (Addend& entry : row) {
        entry = addend(power);
        power = power + once;
      }
    }
  }
  [[nodiscard]] Point times(const CurveBytes& number) const {
    Point out{{}, small(1), small(1), {}};
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const std::size_t digit = number[i * kBits / 8] >> i * kBits % 8 & kDigits;
      if (digit != 0) out = out + rows_[i][digit - 1];
    }
    return out;
  }

 private:
  static constexpr std::size_t kDigits = (1 << kBits) - 1;
  std::array<std::array<Addend, kDigits>, 256 / kBits> rows_;
};
// Made once; made for each recipient.
using Base = Multiples<8>;
using Recipient = Multiples<4>;

const Base& of_base() {
  static const std::unique_ptr<Base> table = [] {
    Point base = *point_at(small(4) * inverse(small(5)));
    if (to_bytes(base.x)[0] % 2 != 0) base.x = Field{} - base.x, base.x = base.x * small(1), base.t = base.x * base.y;
    return std::make_unique<Base>(base);
  }();
  return *table;
}

CurveBytes clamped(CurveBytes secret) {
  secret[0] &= 248;
  secret[31] = static_cast<std::uint8_t>((secret[31] & 127) | 64);
  return secret;
}

CurveBytes montgomery(const Point& p) { return to_bytes((p.z + p.y) * inverse(p.z - p.y)); }

// Null: it is not on the curve. A seed seals to few others.
const Recipient* of_recipient(const CurveBytes& to) {
  constexpr std::size_t kMax = 32;
  static std::map<CurveBytes, std::unique_ptr<Recipient>> known;
  const auto found = known.find(to);
  if (found != known.end()) return found->second.get();
  if (known.size() >= kMax) known.clear();
  const Field u = from_bytes(to), above = u + small(1);
  const auto point = above == Field{} ? std::nullopt : point_at((u - small(1)) * inverse(above));
  return known.emplace(to, point ? std::make_unique<Recipient>(*point) : nullptr).first->second.get();
}

}  // namespace

CurveBytes ed25519_base(const CurveBytes& number) {
  const Point p = of_base().times(number);
  const Field z = inverse(p.z);
  CurveBytes out = to_bytes(p.y * z);
  out[31] = static_cast<std::uint8_t>(out[31] | (to_bytes(p.x * z)[0] & 1) << 7);
  return out;
}

CurveBytes x25519_base(const CurveBytes& secret) { return montgomery(of_base().times(clamped(secret))); }

std::optional<CurveBytes> x25519(const CurveBytes& secret, const CurveBytes& to) {
  const Recipient* table = of_recipient(to);
  if (table == nullptr) return std::nullopt;
  const CurveBytes shared = montgomery(table->times(clamped(secret)));
  if (shared == CurveBytes{}) return std::nullopt;
  return shared;
}

}  // namespace s3crate::sim
