#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>

#include "reference/tensor_core.hpp"

/// The multiplies whose arithmetic is the host's own: f64, integers and bits.
namespace moesaic::reference {
namespace {

constexpr std::size_t kColumns = 8;

/// d[i] = finish(the sum over k of product(a[m, k], b[n, k]), c[i]).
template <typename Code, typename Product, typename Finish>
void sum_products(int m, int k, const Code* a, const Code* b, const std::int32_t* c, std::int32_t* d, Product&& product,
                  Finish&& finish) {
  const auto length = static_cast<std::size_t>(k);
  for (std::size_t i = 0; i < static_cast<std::size_t>(m) * kColumns; ++i) {
    std::int32_t sum = 0;
    for (std::size_t at = 0; at < length; ++at) {
      sum += product(a[i / kColumns * length + at], b[i % kColumns * length + at]);
    }
    d[i] = finish(std::int64_t{sum} + c[i]);
  }
}

std::int32_t integer_of(std::uint8_t code, int bits, bool is_signed) {
  const std::int32_t value = code & ((1 << bits) - 1);
  return is_signed && value >> (bits - 1) != 0 ? value - (1 << bits) : value;
}

}  // namespace

void mma_f64(int m, int k, const double* a, const double* b, const double* c, double* d) {
  const auto length = static_cast<std::size_t>(k);
  for (std::size_t i = 0; i < static_cast<std::size_t>(m) * kColumns; ++i) {
    double sum = c[i];
    for (std::size_t at = 0; at < length; ++at) {
      sum = std::fma(a[i / kColumns * length + at], b[i % kColumns * length + at], sum);
    }
    d[i] = std::isnan(sum) ? std::bit_cast<double>(0x7fffffffffffffffULL) : sum;
  }
}

void mma_integer(const Integers& how, int m, int k, const std::uint8_t* a, const std::uint8_t* b, const std::int32_t* c,
                 std::int32_t* d) {
  using Limits = std::numeric_limits<std::int32_t>;
  sum_products(
      m, k, a, b, c, d,
      [&](std::uint8_t x, std::uint8_t y) {
        return integer_of(x, how.bits, how.a_signed) * integer_of(y, how.bits, how.b_signed);
      },
      [&](std::int64_t exact) {
        return static_cast<std::int32_t>(how.saturate ? std::clamp<std::int64_t>(exact, Limits::min(), Limits::max())
                                                      : exact);
      });
}

void mma_bits(bool exclusive, int m, int words, const std::uint32_t* a, const std::uint32_t* b, const std::int32_t* c,
              std::int32_t* d) {
  sum_products(
      m, words, a, b, c, d, [&](std::uint32_t x, std::uint32_t y) { return std::popcount(exclusive ? x ^ y : x & y); },
      [](std::int64_t exact) { return static_cast<std::int32_t>(exact); });
}

}  // namespace moesaic::reference
