#pragma once

#include <cstdint>
#include <vector>

#include "spec/split_mix.hpp"

/// Operands for the kernels, the same on every machine.
namespace moesaic::silicon {

class Random : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;

  /// In [0, bound).
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>((next() >> 32) % bound); }

  /// True once in `n`.
  bool once_in(std::uint32_t n) { return below(n) == 0; }
};

/// A small floating-point format by its fields; the sign is the highest bit. Without `ieee` only the code with all bits
/// of exponent and fraction set is NaN, and nothing is infinite.
struct Format {
  unsigned exponent_bits;
  unsigned fraction_bits;
  bool ieee;

  unsigned bits() const { return 1 + exponent_bits + fraction_bits; }
  bool is_finite(std::uint32_t code) const;
};

inline constexpr Format kE4m3{4, 3, false};
inline constexpr Format kF16{5, 10, true};
inline constexpr Format kBf16{8, 7, true};
inline constexpr Format kF32{8, 23, true};

/// Codes for one mma: `regime` 0 any finite ones, 1 with NaN and infinity among them, 2 tiny, 3 huge, 4 mostly
/// cancelling in pairs, 5 mostly zeros of both signs. Packed into words, lowest code first.
std::vector<std::uint32_t> matrix(Random& random, const Format& format, int regime, std::size_t count);
inline constexpr int kRegimes = 6;

/// Values of C for one mma: zeros, near the products, subnormal, huge; in regime 1 NaN and infinity too.
std::vector<std::uint32_t> addends(Random& random, const Format& format, int regime, std::size_t count);

/// Operands of one mma instruction, one case after another: A [16, 8 words], B [8, 8 words] by column, C [16, 8].
struct Products {
  std::size_t cases = 0;
  std::vector<std::uint32_t> a;
  std::vector<std::uint32_t> b;
  std::vector<std::uint32_t> c;
};

/// Those of the kernels mma_e4m3, mma_f16, mma_bf16 and mma_f16_f16, the regimes in turn.
Products products_e4m3();
Products products_f16();
Products products_bf16();
Products products_f16_f16();

/// Floats around every e4m3 value and every boundary between two, special values, and random bits; `count` in all.
std::vector<float> floats_near_e4m3(Random& random, std::size_t count);

}  // namespace moesaic::silicon
