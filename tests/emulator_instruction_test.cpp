#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <type_traits>

#include "emulator_bench.hpp"
#include "spec/formats.hpp"

// Instructions of one lane against computations of the host that share nothing with the emulator's own.
namespace moesaic::emulator {
namespace {

using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 s128;

template <typename T>
T value(u64 bits) {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(static_cast<u32>(bits));
  if constexpr (std::is_same_v<T, double>) return std::bit_cast<double>(bits);
  if constexpr (std::is_integral_v<T>) return static_cast<T>(bits);
}
template <typename T>
u64 bits_of(T v) {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<u32>(v);
  if constexpr (std::is_same_v<T, double>) return std::bit_cast<u64>(v);
  if constexpr (std::is_integral_v<T>) return static_cast<u64>(static_cast<std::make_unsigned_t<T>>(v));
}

/// Operands that are edges of some type, and random ones.
std::vector<u64> operands_of(bool floating, std::size_t bytes) {
  std::vector<u64> edges{0,
                         1,
                         2,
                         3,
                         7,
                         8,
                         15,
                         16,
                         31,
                         32,
                         33,
                         63,
                         64,
                         65,
                         127,
                         128,
                         255,
                         256,
                         0x7fff,
                         0x8000,
                         0xffff,
                         0x7fffffff,
                         0x80000000,
                         0xffffffff,
                         0x7fffffffffffffff,
                         0x8000000000000000,
                         ~u64{0}};
  if (floating && bytes == 4) {
    for (const float f : {1.0F,
                          -1.0F,
                          0.5F,
                          1.5F,
                          2.5F,
                          -2.5F,
                          448.0F,
                          464.0F,
                          465.0F,
                          65504.0F,
                          65520.0F,
                          3.4e38F,
                          1e-38F,
                          2147483648.0F,
                          4294967040.0F,
                          -2147483648.0F,
                          9.3e18F,
                          0.99999994F,
                          -0.0F,
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::denorm_min()}) {
      edges.push_back(bits_of(f));
    }
  }
  if (floating && bytes == 8) {
    for (const double d : {1.0, -1.0, 0.5, 2.5, -3.5, 1e300, 1e-310, 16777217.0, 3.4028235677973366e38,
                           9223372036854775808.0, 1.8446744073709552e19, -0.0, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
      edges.push_back(bits_of(d));
    }
  }
  return edges;
}

struct Operands {
  std::vector<u64> a, b, c;
};

template <typename A, typename B, typename C>
Operands make_operands() {
  const auto a = operands_of(std::is_floating_point_v<A>, sizeof(A));
  const auto b = operands_of(std::is_floating_point_v<B>, sizeof(B));
  const auto c = operands_of(std::is_floating_point_v<C>, sizeof(C));
  Operands all;
  Numbers random(7);
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < b.size(); ++j) {
      all.a.push_back(a[i]);
      all.b.push_back(b[j]);
      all.c.push_back(c[random.below(c.size())]);
    }
  }
  for (int i = 0; i < 1500; ++i) {
    all.a.push_back(random.next());
    all.b.push_back(i % 3 == 0 ? random.below(70) : random.next());
    all.c.push_back(i % 5 == 0 ? random.below(70) : random.next());
  }
  while (all.a.size() % 128 != 0) {
    all.a.push_back(1);
    all.b.push_back(1);
    all.c.push_back(1);
  }
  return all;
}

template <typename T>
std::string reg(const char* name) {
  return fmt::format(".reg .b{} {};\n", 8 * sizeof(T), name);
}
template <typename T>
std::string load(const char* name, const char* from) {
  return fmt::format("ld.global.b{} {}, [{}];\n", 8 * sizeof(T), name, from);
}

/// Executes `instruction`, which makes %d from %a, %b and %c (of the types given), and compares with `expected`.
template <typename D, typename A, typename B, typename C, typename Expected>
void check(const std::string& instruction, Expected&& expected) {
  const std::string body =
      ".visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pc, .param .u64 pd) {\n"
      ".reg .pred %p, %q; .reg .b32 %t, %n; .reg .b64 %i, %xa, %xb, %xc, %xd;\n" +
      reg<A>("%a") + reg<B>("%b") + reg<C>("%c") + reg<D>("%d") +
      "mov.u32 %t, %ctaid.x;\nshl.b32 %t, %t, 7;\nmov.u32 %n, %tid.x;\nadd.u32 %t, %t, %n;\n"
      "mul.wide.u32 %i, %t, 8;\n"
      "ld.param.u64 %xa, [pa];\nadd.s64 %xa, %xa, %i;\n"
      "ld.param.u64 %xb, [pb];\nadd.s64 %xb, %xb, %i;\n"
      "ld.param.u64 %xc, [pc];\nadd.s64 %xc, %xc, %i;\n"
      "ld.param.u64 %xd, [pd];\nadd.s64 %xd, %xd, %i;\n" +
      load<A>("%a", "%xa") + load<B>("%b", "%xb") + load<C>("%c", "%xc") + instruction + "\n" +
      fmt::format("st.global.b{} [%xd], %d;\nret;\n}}\n", 8 * sizeof(D));
  Bench bench(body);
  const Operands in = make_operands<A, B, C>();
  const std::size_t count = in.a.size();
  const std::uint64_t pa = bench.upload(in.a);
  const std::uint64_t pb = bench.upload(in.b);
  const std::uint64_t pc = bench.upload(in.c);
  const std::uint64_t pd = bench.upload(std::vector<u64>(count, 0));
  bench.launch("k", {static_cast<u32>(count / 128)}, {128}, {pa, pb, pc, pd});
  const std::vector<u64> out = bench.download<u64>(pd, count);
  int shown = 0;
  for (std::size_t i = 0; i < count && shown < 5; ++i) {
    const u64 want = bits_of<D>(expected(value<A>(in.a[i]), value<B>(in.b[i]), value<C>(in.c[i])));
    if (out[i] == want) continue;
    ++shown;
    ADD_FAILURE() << fmt::format("{}: a {:#x} b {:#x} c {:#x}: {:#x}, not {:#x}", instruction, in.a[i], in.b[i],
                                 in.c[i], out[i], want);
  }
}

template <typename T, typename F>
void same(const std::string& instruction, F&& f) {
  check<T, T, T, T>(instruction, std::forward<F>(f));
}

/// The NaN of f32 arithmetic.
float nan32() {
  return std::bit_cast<float>(0x7fffffffU);
}
float arithmetic(float v) {
  return std::isnan(v) ? nan32() : v;
}

template <typename U, typename S, typename W>
void integer_arithmetic(const std::string& u, const std::string& s) {
  constexpr int kBits = 8 * sizeof(U);
  same<U>("add." + s + " %d, %a, %b;", [](U a, U b, U) { return static_cast<U>(a + b); });
  same<U>("sub." + u + " %d, %a, %b;", [](U a, U b, U) { return static_cast<U>(a - b); });
  same<U>("mul.lo." + s + " %d, %a, %b;", [](U a, U b, U) { return static_cast<U>(u128{a} * b); });
  same<U>("mul.hi." + u + " %d, %a, %b;", [](U a, U b, U) { return static_cast<U>(u128{a} * b >> kBits); });
  same<U>("mad.lo." + u + " %d, %a, %b, %c;", [](U a, U b, U c) { return static_cast<U>(u128{a} * b + c); });
  same<S>("mul.hi." + s + " %d, %a, %b;", [](S a, S b, S) { return static_cast<S>(s128{a} * b >> kBits); });
  same<U>("div." + u + " %d, %a, %b;",
          [](U a, U b, U) { return b == 0 ? static_cast<U>(~U{0}) : static_cast<U>(a / b); });
  same<U>("rem." + u + " %d, %a, %b;",
          [](U a, U b, U) { return b == 0 ? static_cast<U>(~U{0}) : static_cast<U>(a % b); });
  same<S>("div." + s + " %d, %a, %b;",
          [](S a, S b, S) { return b == 0 ? static_cast<S>(-1) : static_cast<S>(s128{a} / b); });
  same<S>("rem." + s + " %d, %a, %b;",
          [](S a, S b, S) { return b == 0 ? static_cast<S>(-1) : static_cast<S>(s128{a} % b); });
  same<S>("min." + s + " %d, %a, %b;", [](S a, S b, S) { return a < b ? a : b; });
  same<U>("max." + u + " %d, %a, %b;", [](U a, U b, U) { return a < b ? b : a; });
  same<S>("max." + s + " %d, %a, %b;", [](S a, S b, S) { return a < b ? b : a; });
  same<S>("neg." + s + " %d, %a;", [](S a, S, S) { return static_cast<S>(-s128{a}); });
  same<S>("abs." + s + " %d, %a;", [](S a, S, S) { return static_cast<S>(a < 0 ? -s128{a} : s128{a}); });
}

TEST(Instructions, IntegerArithmetic) {
  integer_arithmetic<u16, std::int16_t, u32>("u16", "s16");
  integer_arithmetic<u32, s32, u64>("u32", "s32");
  integer_arithmetic<u64, s64, u128>("u64", "s64");
  check<u64, u32, u32, u64>("mul.wide.u32 %d, %a, %b;", [](u32 a, u32 b, u64) { return u64{a} * b; });
  check<s64, s32, s32, s64>("mul.wide.s32 %d, %a, %b;", [](s32 a, s32 b, s64) { return s64{a} * b; });
  check<u64, s32, s32, u64>("mad.wide.s32 %d, %a, %b, %c;",
                            [](s32 a, s32 b, u64 c) { return static_cast<u64>(s64{a} * b) + c; });
  same<s32>("add.sat.s32 %d, %a, %b;",
            [](s32 a, s32 b, s32) { return static_cast<s32>(std::clamp<s64>(s64{a} + b, INT32_MIN, INT32_MAX)); });
  same<u32>("sad.u32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) { return c + (a > b ? a - b : b - a); });
  same<u32>("dp4a.s32.s32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    for (int i = 0; i < 32; i += 8) {
      c += static_cast<u32>(static_cast<std::int8_t>(a >> i) * static_cast<std::int8_t>(b >> i));
    }
    return c;
  });
}

TEST(Instructions, Bits) {
  check<u32, u64, u32, u32>("popc.b64 %d, %a;",
                            [](u64 a, u32, u32) { return static_cast<u32>(__builtin_popcountll(a)); });
  same<u32>("clz.b32 %d, %a;", [](u32 a, u32, u32) { return a == 0 ? 32U : static_cast<u32>(__builtin_clz(a)); });
  same<u32>("brev.b32 %d, %a;", [](u32 a, u32, u32) {
    u32 r = 0;
    for (int i = 0; i < 32; ++i) r |= ((a >> i) & 1U) << (31 - i);
    return r;
  });
  same<u32>("bfind.u32 %d, %a;",
            [](u32 a, u32, u32) { return a == 0 ? ~0U : 31U - static_cast<u32>(__builtin_clz(a)); });
  same<u32>("bfind.shiftamt.u32 %d, %a;",
            [](u32 a, u32, u32) { return a == 0 ? ~0U : static_cast<u32>(__builtin_clz(a)); });
  same<u32>("bfind.s32 %d, %a;", [](u32 a, u32, u32) {
    const u32 m = (a >> 31) != 0 ? ~a : a;
    return m == 0 ? ~0U : static_cast<u32>(std::floor(std::log2(static_cast<double>(m))));
  });
  // bfe by the ISA's own pseudocode, bit by bit.
  same<u32>("bfe.u32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    const u32 pos = b & 0xff, len = c & 0xff;
    const u64 shifted = pos > 31 ? 0 : u64{a} >> pos;
    return static_cast<u32>(len > 31 ? shifted : shifted & ((u64{1} << len) - 1));
  });
  same<u32>("bfe.s32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    const u32 pos = b & 0xff, len = c & 0xff;
    if (len == 0) return 0U;
    const u32 last = std::min(pos + len - 1, 31U);
    const bool sign = ((a >> last) & 1U) != 0;
    u32 d = 0;
    for (u32 i = 0; i < 32; ++i) d |= u32{i < len && pos + i <= 31 ? ((a >> (pos + i)) & 1U) != 0 : sign} << i;
    return d;
  });
  same<u32>("bfi.b32 %d, %a, %b, %c, 7;", [](u32 a, u32 b, u32 c) {
    const u32 pos = c & 0xff;
    if (pos > 31) return b;
    const u32 mask = static_cast<u32>(u64{0x7f} << pos);
    return (b & ~mask) | (static_cast<u32>(u64{a} << pos) & mask);
  });
  same<u32>("prmt.b32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    std::uint8_t bytes[8];
    std::memcpy(bytes, &a, 4);
    std::memcpy(bytes + 4, &b, 4);
    u32 d = 0;
    for (int i = 0; i < 4; ++i) {
      const u32 s = (c >> (4 * i)) & 15U;
      u32 byte = bytes[s & 7U];
      if ((s & 8U) != 0) byte = byte >= 128 ? 255 : 0;
      d |= byte << (8 * i);
    }
    return d;
  });
  for (const u32 table : {0xe8U, 0x96U, 0xcaU, 0x1U}) {
    same<u32>(fmt::format("lop3.b32 %d, %a, %b, %c, {:#x};", table), [&](u32 a, u32 b, u32 c) {
      u32 d = 0;
      for (int i = 0; i < 32; ++i) {
        const u32 row = ((a >> i) & 1U) << 2 | ((b >> i) & 1U) << 1 | ((c >> i) & 1U);
        d |= ((table >> row) & 1U) << i;
      }
      return d;
    });
  }
  same<u32>("shf.l.wrap.b32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    const u32 n = c & 31;
    return n == 0 ? b : b << n | a >> (32 - n);
  });
  same<u32>("shf.r.clamp.b32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    const u32 n = c > 32 ? 32 : c;
    return n == 0 ? a : n == 32 ? b : b << (32 - n) | a >> n;
  });
  check<u64, u64, u32, u32>("shl.b64 %d, %a, %b;", [](u64 a, u32 b, u32) { return b > 63 ? 0 : a << b; });
  check<s32, s32, u32, u32>("shr.s32 %d, %a, %b;", [](s32 a, u32 b, u32) { return a >> (b > 31 ? 31 : b); });
  check<u16, u16, u32, u32>("shr.u16 %d, %a, %b;",
                            [](u16 a, u32 b, u32) { return static_cast<u16>(b > 15 ? 0 : a >> b); });
  same<u64>("xor.b64 %d, %a, %b;", [](u64 a, u64 b, u64) { return a ^ b; });
  same<u16>("not.b16 %d, %a;", [](u16 a, u16, u16) { return static_cast<u16>(~a); });
}

TEST(Instructions, ComparisonAndSelection) {
  const auto compare = [](const char* op, auto type, auto f) {
    using T = decltype(type);
    const char* name = std::is_same_v<T, float> ? "f32" : std::is_same_v<T, s32> ? "s32" : "u64";
    check<u32, T, T, u32>(fmt::format("setp.{}.{} %p, %a, %b; selp.b32 %d, 3, 5, %p;", op, name),
                          [&](T a, T b, u32) { return f(a, b) ? 3U : 5U; });
  };
  compare("lt", s32{}, [](s32 a, s32 b) { return a < b; });
  compare("hs", u64{}, [](u64 a, u64 b) { return a >= b; });
  compare("ne", u64{}, [](u64 a, u64 b) { return a != b; });
  compare("ne", float{}, [](float a, float b) { return !std::isunordered(a, b) && a != b; });
  compare("neu", float{}, [](float a, float b) { return a != b; });
  compare("gtu", float{}, [](float a, float b) { return std::isunordered(a, b) || a > b; });
  compare("nan", float{}, [](float a, float b) { return std::isunordered(a, b); });
  compare("le", float{}, [](float a, float b) { return a <= b; });
  check<u32, u32, u32, u32>(
      "setp.gt.u32 %p, %c, 9; setp.lt.and.u32 %p|%q, %a, %b, !%p; selp.b32 %d, 1, 0, %p; @%q add.u32 %d, %d, 2;",
      [](u32 a, u32 b, u32 c) { return (a < b && c <= 9 ? 1U : 0U) + (!(a < b) && c <= 9 ? 2U : 0U); });
  check<u32, float, float, u32>("set.gt.u32.f32 %d, %a, %b;", [](float a, float b, u32) { return a > b ? ~0U : 0U; });
}

TEST(Instructions, FloatArithmetic) {
  same<float>("add.rn.f32 %d, %a, %b;", [](float a, float b, float) {
    return arithmetic(static_cast<float>(static_cast<double>(a) + static_cast<double>(b)));
  });
  same<float>("mul.f32 %d, %a, %b;", [](float a, float b, float) {
    return arithmetic(static_cast<float>(static_cast<double>(a) * static_cast<double>(b)));
  });
  same<float>("fma.rn.f32 %d, %a, %b, %c;",
              [](float a, float b, float c) { return arithmetic(__builtin_fmaf(a, b, c)); });
  same<float>("div.rn.f32 %d, %a, %b;", [](float a, float b, float) {
    return arithmetic(static_cast<float>(static_cast<double>(a) / static_cast<double>(b)));
  });
  same<float>("sqrt.rn.f32 %d, %a;",
              [](float a, float, float) { return arithmetic(static_cast<float>(std::sqrt(static_cast<double>(a)))); });
  same<float>("rcp.rn.f32 %d, %a;",
              [](float a, float, float) { return arithmetic(static_cast<float>(1.0 / static_cast<double>(a))); });
  same<float>("add.ftz.f32 %d, %a, %b;", [](float a, float b, float) {
    const auto ftz = [](float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x; };
    return arithmetic(ftz(ftz(a) + ftz(b)));
  });
  same<float>("add.sat.f32 %d, %a, %b;", [](float a, float b, float) {
    const float r = a + b;
    return r > 0 ? (r < 1 ? r : 1.0F) : 0.0F;
  });
  same<float>("max.f32 %d, %a, %b;", [](float a, float b, float) {
    if (std::isnan(a)) return arithmetic(b);
    if (std::isnan(b)) return a;
    if (a == 0 && b == 0) return std::signbit(a) ? b : a;
    return a > b ? a : b;
  });
  same<float>("min.NaN.f32 %d, %a, %b;", [](float a, float b, float) {
    if (std::isunordered(a, b)) return nan32();
    if (a == 0 && b == 0) return std::signbit(a) ? a : b;
    return a < b ? a : b;
  });
  const auto no_payload = [](u32 a) { return (a & 0x7fffffffU) > 0x7f800000U ? 0x7fffffffU : a; };
  same<u32>("abs.f32 %d, %a;", [&](u32 a, u32, u32) { return no_payload(a & 0x7fffffffU); });
  same<u32>("neg.f32 %d, %a;", [&](u32 a, u32, u32) { return no_payload(a ^ 0x80000000U); });
  // The first NaN of an order is given, made quiet; one that no operand had is negative, as on x86 and not on Arm.
  const auto on_card = [](double value, double first, double second, double third) {
    const double from = std::isnan(first) ? first : std::isnan(second) ? second : third;
    if (std::isnan(from)) return std::bit_cast<double>(bits_of(from) | u64{1} << 51);
    return std::isnan(value) ? std::bit_cast<double>(u64{0xfff8000000000000U}) : value;
  };
  same<double>("fma.rn.f64 %d, %a, %b, %c;",
               [&](double a, double b, double c) { return on_card(std::fma(a, b, c), b, c, a); });
  same<double>("div.rn.f64 %d, %a, %b;", [&](double a, double b, double) { return on_card(a / b, a, b, b); });
}

/// The 16-bit float nearest to an exact value, by search over all codes.
template <typename Decode>
u16 nearest_code(long double exact, bool negative, Decode&& decode, u16 infinity, u16 nan) {
  if (std::isnan(exact)) return nan;
  u16 low = 0;
  u16 high = infinity;
  const long double size = std::fabs(exact);
  while (high - low > 1) {
    const auto middle = static_cast<u16>((low + high) / 2);
    (static_cast<long double>(decode(middle)) <= size ? low : high) = middle;
  }
  const auto below = static_cast<long double>(decode(low));
  // Past the largest finite value the next step counts as if the format went on.
  const long double above = high == infinity
                                ? below + (below - static_cast<long double>(decode(static_cast<u16>(low - 1))))
                                : static_cast<long double>(decode(high));
  const bool up = size - below > above - size || (size - below == above - size && (low & 1U) != 0);
  const auto code = static_cast<u16>(std::isinf(size) ? infinity : up ? high : low);
  return static_cast<u16>(code | (negative ? 0x8000U : 0U));
}
u16 nearest_f16(long double exact) {
  return nearest_code(
      exact, std::signbit(exact), [](u16 c) { return decode_f16(c); }, 0x7c00, 0x7fff);
}
u16 nearest_bf16(long double exact) {
  return nearest_code(
      exact, std::signbit(exact), [](u16 c) { return decode_bf16(c); }, 0x7f80, 0x7fff);
}

TEST(Instructions, HalfArithmetic) {
  const auto f16 = [](u16 c) { return static_cast<long double>(decode_f16(c)); };
  const auto bf16 = [](u16 c) { return static_cast<long double>(decode_bf16(c)); };
  same<u16>("add.f16 %d, %a, %b;", [&](u16 a, u16 b, u16) { return nearest_f16(f16(a) + f16(b)); });
  same<u16>("mul.rn.bf16 %d, %a, %b;", [&](u16 a, u16 b, u16) { return nearest_bf16(bf16(a) * bf16(b)); });
  same<u32>("sub.f16x2 %d, %a, %b;", [&](u32 a, u32 b, u32) {
    const u32 high = nearest_f16(f16(static_cast<u16>(a >> 16)) - f16(static_cast<u16>(b >> 16)));
    return high << 16 | nearest_f16(f16(static_cast<u16>(a)) - f16(static_cast<u16>(b)));
  });
}

/// cvt to an integer type T from a floating one.
template <typename T>
T to_integer(double rounded, bool wide) {
  if (std::isnan(rounded)) return wide ? static_cast<T>(u64{1} << (8 * sizeof(T) - 1)) : T{0};
  const auto limit = [](long double v) { return static_cast<long double>(v); };
  if (rounded <= limit(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (rounded >= limit(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(rounded);
}

TEST(Instructions, Conversions) {
  const auto cvt = [](const std::string& what) { return "cvt." + what + " %d, %a;"; };
  check<s64, s32, u32, u32>(cvt("s64.s32"), [](s32 a, u32, u32) { return s64{a}; });
  check<u64, u32, u32, u32>(cvt("u64.u32"), [](u32 a, u32, u32) { return u64{a}; });
  check<u32, u16, u32, u32>(cvt("u32.u16"), [](u16 a, u32, u32) { return u32{a}; });
  check<u32, u32, u32, u32>(cvt("s32.s8"),
                            [](u32 a, u32, u32) { return static_cast<u32>(s32{static_cast<std::int8_t>(a)}); });
  // A signed result fills the 32-bit register with its sign.
  check<u32, u32, u32, u32>(cvt("s8.s32"),
                            [](u32 a, u32, u32) { return static_cast<u32>(s32{static_cast<std::int8_t>(a)}); });
  check<s32, s64, u32, u32>(cvt("sat.s32.s64"),
                            [](s64 a, u32, u32) { return static_cast<s32>(std::clamp<s64>(a, INT32_MIN, INT32_MAX)); });
  check<s32, float, u32, u32>(cvt("rni.s32.f32"), [](float a, u32, u32) {
    return to_integer<s32>(std::nearbyint(static_cast<double>(a)), false);
  });
  check<u32, float, u32, u32>(
      cvt("rzi.u32.f32"), [](float a, u32, u32) { return to_integer<u32>(std::trunc(static_cast<double>(a)), false); });
  check<s64, float, u32, u32>(
      cvt("rmi.s64.f32"), [](float a, u32, u32) { return to_integer<s64>(std::floor(static_cast<double>(a)), true); });
  check<s32, double, u32, u32>(cvt("rpi.s32.f64"),
                               [](double a, u32, u32) { return to_integer<s32>(std::ceil(a), true); });
  check<float, s32, u32, u32>(cvt("rn.f32.s32"), [](s32 a, u32, u32) { return static_cast<float>(a); });
  check<float, u64, u32, u32>(cvt("rn.f32.u64"), [](u64 a, u32, u32) { return static_cast<float>(a); });
  check<float, u64, u32, u32>(cvt("rz.f32.u64"), [](u64 a, u32, u32) {
    const int extra = a == 0 ? 0 : std::max(0, 64 - __builtin_clzll(a) - 24);
    return static_cast<float>(a >> extra << extra);
  });
  // A NaN keeps its sign and the upper bits of its fraction.
  check<u32, double, u32, u32>(cvt("rn.f32.f64"), [](double a, u32, u32) {
    const u64 bits = bits_of(a);
    if (!std::isnan(a)) return static_cast<u32>(bits_of(static_cast<float>(a)));
    return static_cast<u32>(bits >> 63 << 31 | 0x7fc00000U | (bits & 0xfffffffffffffU) >> 29);
  });
  check<u16, s32, u32, u32>(cvt("rn.f16.s32"),
                            [](s32 a, u32, u32) { return nearest_f16(static_cast<long double>(a)); });
  check<u16, float, u32, u32>(cvt("rn.f16.f32"),
                              [](float a, u32, u32) { return nearest_f16(static_cast<long double>(a)); });
  check<u16, float, u32, u32>(cvt("rn.bf16.f32"),
                              [](float a, u32, u32) { return nearest_bf16(static_cast<long double>(a)); });
  check<u32, u16, u32, u32>(cvt("f32.bf16"), [](u16 a, u32, u32) { return u32{a} << 16; });
  check<float, u16, u32, u32>(cvt("f32.f16"), [](u16 a, u32, u32) { return arithmetic(decode_f16(a)); });
  check<u32, float, float, u32>("cvt.rn.bf16x2.f32 %d, %a, %b;", [](float a, float b, u32) {
    return u32{nearest_bf16(static_cast<long double>(a))} << 16 | nearest_bf16(static_cast<long double>(b));
  });
}

TEST(Instructions, ConversionsFlushWhereAsked) {
  const auto ftz = [](float a) { return std::fpclassify(a) == FP_SUBNORMAL ? std::copysign(0.0F, a) : a; };
  const auto up = [](float a) { return to_integer<s32>(std::ceil(static_cast<double>(a)), false); };
  const auto down = [](float a) { return to_integer<s64>(std::floor(static_cast<double>(a)), true); };
  check<s32, float, u32, u32>("cvt.rpi.s32.f32 %d, %a;", [&](float a, u32, u32) { return up(a); });
  check<s32, float, u32, u32>("cvt.rpi.ftz.s32.f32 %d, %a;", [&](float a, u32, u32) { return up(ftz(a)); });
  check<s64, float, u32, u32>("cvt.rmi.ftz.sat.s64.f32 %d, %a;", [&](float a, u32, u32) { return down(ftz(a)); });
  check<double, float, u32, u32>("cvt.ftz.f64.f32 %d, %a;",
                                 [&](float a, u32, u32) { return static_cast<double>(arithmetic(ftz(a))); });
  check<double, float, u32, u32>("xor.b32 %a, %a, 0x80000000; cvt.ftz.f64.f32 %d, %a;",
                                 [&](float a, u32, u32) { return static_cast<double>(arithmetic(ftz(-a))); });
}

/// The e4m3 code nearest to a value, by looking at all of them.
std::uint8_t nearest_e4m3(float v) {
  if (std::isnan(v)) return 0x7f;
  int best = 0;
  for (int code = 1; code < 0x7f; ++code) {
    const double here = std::fabs(std::fabs(static_cast<double>(v)) -
                                  static_cast<double>(decode_e4m3(static_cast<std::uint8_t>(code))));
    const double there = std::fabs(std::fabs(static_cast<double>(v)) -
                                   static_cast<double>(decode_e4m3(static_cast<std::uint8_t>(best))));
    if (here < there || (here == there && code % 2 == 0)) best = code;
  }
  return static_cast<std::uint8_t>((std::isinf(v) ? 0x7e : best) | (std::signbit(v) ? 0x80 : 0));
}

TEST(Instructions, Fp8Conversions) {
  check<u16, float, float, u32>("cvt.rn.satfinite.e4m3x2.f32 %d, %a, %b;", [](float a, float b, u32) {
    return static_cast<u16>(nearest_e4m3(a) << 8 | nearest_e4m3(b));
  });
  check<u32, u16, u32, u32>("cvt.rn.f16x2.e4m3x2 %d, %a;", [](u16 a, u32, u32) {
    const auto half = [](u16 code) {
      return nearest_f16(static_cast<long double>(decode_e4m3(static_cast<std::uint8_t>(code))));
    };
    return u32{half(static_cast<u16>(a >> 8))} << 16 | half(a);
  });
}

TEST(Instructions, ModifiersStandInAnyOrder) {
  const auto sum = [](float a, float b, float) {
    const auto ftz = [](float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x; };
    const float value = ftz(ftz(a) + ftz(b));
    return value > 0 ? std::min(value, 1.0F) : 0.0F;
  };
  same<float>("add.ftz.sat.f32 %d, %a, %b;", sum);
  same<float>("add.sat.rn.ftz.f32 %d, %a, %b;", sum);
  check<s32, float, u32, u32>("cvt.sat.rzi.s32.f32 %d, %a;", [](float a, u32, u32) {
    return to_integer<s32>(std::trunc(static_cast<double>(a)), false);
  });
}

TEST(Instructions, CarriesGoFromOneToTheNext) {
  check<u64, u64, u64, u64>(
      ".reg .b32 %x, %y, %u, %v; mov.b64 {%x, %y}, %a; mov.b64 {%u, %v}, %b;\n"
      "add.cc.u32 %x, %x, %u; addc.u32 %y, %y, %v; mov.b64 %d, {%x, %y};",
      [](u64 a, u64 b, u64) { return a + b; });
  check<u64, u64, u64, u64>(
      ".reg .b32 %x, %y, %u, %v; mov.b64 {%x, %y}, %a; mov.b64 {%u, %v}, %b;\n"
      "sub.cc.u32 %x, %x, %u; subc.u32 %y, %y, %v; mov.b64 %d, {%x, %y};",
      [](u64 a, u64 b, u64) { return a - b; });
}

/// Why a kernel with this statement cannot be launched in a module for `target`; empty when it can.
std::string refusal(const std::string& target, const std::string& statement) {
  Machine machine(card_options());
  const Module& module =
      machine.load(".version 9.0\n.target " + target + "\n.address_size 64\n.entry k() { .reg .b64 %l<4>; " +
                   ".reg .b32 %r<8>; .reg .b8 %c; mov.b64 %l0, 0; mov.b64 %l1, 0; mov.b32 %r1, 0; mov.b32 %r2, 0;\n" +
                   statement + " ret; }\n");
  try {
    machine.launch(*module.find_kernel("k"), Launch{});
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST(Instructions, AreRefusedWhereTheTargetLacksThem) {
  const std::string pairs = "add.rn.f32x2 %l2, %l0, %l1;";
  EXPECT_NE(refusal("sm_90a", pairs).find("add.rn.f32x2 needs .target sm_100 or later, and this module is for sm_90a"),
            std::string::npos);
  EXPECT_EQ(refusal("sm_120", pairs), "");
  const std::string fp4 = "cvt.rn.satfinite.e2m1x2.f32 %c, %r1, %r2;";
  EXPECT_NE(refusal("sm_120", fp4).find("needs .target sm_120f"), std::string::npos);
  EXPECT_EQ(refusal("sm_120f", fp4), "");
  EXPECT_EQ(refusal("sm_121a", fp4), "");
}

TEST(Instructions, MovesBetweenVectorsAndWords) {
  same<u32>(".reg .b16 %h<3>; mov.b32 {%h1, %h2}, %a; mov.b32 %d, {%h2, %h1};",
            [](u32 a, u32, u32) { return a << 16 | a >> 16; });
  check<u64, u32, u32, u32>("mov.b64 %d, {%a, %b};", [](u32 a, u32 b, u32) { return u64{b} << 32 | a; });
  check<u32, u64, u32, u32>("mov.b64 {_, %d}, %a;", [](u64 a, u32, u32) { return static_cast<u32>(a >> 32); });
}

}  // namespace
}  // namespace moesaic::emulator
