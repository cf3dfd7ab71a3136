#pragma once

#include <cstdint>

/// The tensor core's arithmetic, bit for bit. One element of D is one fused sum: products are exact; all of them and C
/// are aligned to the largest exponent among them and truncated to 25 fractional bits; the sum of what is left is exact
/// and is written to f32 toward zero, to f16 to nearest even. Source: MMA-Sim (Xie, Wang, Yang, Yang, arXiv
/// 2511.10909), whose authors validated it on silicon, and this project's fixtures of an H200.
///
/// All operands are dense: A [m, k] and B [8, k] as codes with k contiguous (B is stored by column), C and D [m, 8]; m
/// is 16 where no function says otherwise. D may be C. An exponent is the one before normalization of a product;
/// subnormals have their format's lowest. A NaN result is 0x7fffffff (f32) or 0x7fff (f16), every zero is +0, and past
/// the largest finite value lies infinity.
namespace moesaic::reference {

/// Formats of at most 8 bits, each code in a byte of its own as kind::f8f6f4 wants it (PTX ISA, "mma"): e3m2 and e2m3
/// in the lower 6 bits, e2m1 in bits 2 to 5; the other bits do not matter.
enum class Narrow : std::uint8_t { kE4m3, kE5m2, kE3m2, kE2m3, kE2m1 };
enum class Half : std::uint8_t { kF16, kBf16 };

/// k is 8 or 16. f32 sums, as Hopper and RTX Blackwell compute them: one sum of k products and C.
void mma_half(Half type, int k, const std::uint16_t* a, const std::uint16_t* b, const float* c, float* d);

/// k is 8 or 16. f16 times f16 with f16 sums, likewise; C and D are f16 codes.
void mma_half_f16(int k, const std::uint16_t* a, const std::uint16_t* b, const std::uint16_t* c, std::uint16_t* d);

/// k is 4 or 8. tf32 operands are f32 codes whose 13 lowest bits do not matter; one sum of k products and C.
void mma_tf32(int k, const std::uint32_t* a, const std::uint32_t* b, const float* c, float* d);

/// k is 16 or 32; e4m3 and e5m2 only. What compute capability 9.0 makes of it: operands unpacked to f16, one sum of the
/// k / 2 products with k mod 4 in {0, 1} from zero, a second of the others on top of it, then C added in f32, rounded
/// to nearest.
void mma_narrow_sm90(Narrow a_type, Narrow b_type, int k, const std::uint8_t* a, const std::uint8_t* b, const float* c,
                     float* d);

/// Likewise with f16 sums, each step in f16; C and D are f16 codes.
void mma_narrow_sm90_f16(Narrow a_type, Narrow b_type, int k, const std::uint8_t* a, const std::uint8_t* b,
                         const std::uint16_t* c, std::uint16_t* d);

/// k is 16 or 32. Compute capability 12.x, with or without kind::f8f6f4: one sum of k products and C.
void mma_narrow_sm120(Narrow a_type, Narrow b_type, int k, const std::uint8_t* a, const std::uint8_t* b, const float* c,
                      float* d);

/// Likewise with f16 sums; C and D are f16 codes.
void mma_narrow_sm120_f16(Narrow a_type, Narrow b_type, int k, const std::uint8_t* a, const std::uint8_t* b,
                          const std::uint16_t* c, std::uint16_t* d);

/// kind::mxf8f6f4 with scale_vec::1X, m16n8k32, 12.x: one ue8m0 scale for each row of A (a_scales [16]) and each column
/// of B (b_scales [8]), whose exponents are added to those of the products. Scale 0xff is NaN.
void mma_mxf8(Narrow a_type, Narrow b_type, const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* a_scales,
              const std::uint8_t* b_scales, const float* c, float* d);

/// Scales of FP4 products: of 32 k each in ue8m0, or of 16 k each in ue4m3 (e4m3 without its sign bit).
enum class Fp4Scales : std::uint8_t { kTwoUe8m0, kFourUe4m3 };

/// kind::mxf4 and kind::mxf4nvf4, m16n8k64, 12.x. A [16, 32] and B [8, 32] are bytes of two e2m1 codes, the lower k in
/// the lower bits; a_scales [16, 4] and b_scales [8, 4], of which two formats use the first two of each four. Each 16
/// products are summed exactly and multiplied by both scales' significands; aligned to the sum of the scales' exponents
/// (C to its own), the four and C are truncated to 35 fractional bits and summed.
void mma_fp4(Fp4Scales scales, const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* a_scales,
             const std::uint8_t* b_scales, const float* c, float* d);

/// m is 8 or 16, k 4, 8 or 16: fused multiply-adds in f64, rounded to nearest, k ascending.
void mma_f64(int m, int k, const double* a, const double* b, const double* c, double* d);

/// How integers are multiplied.
struct Integers {
  int bits = 8;  ///< 8 or 4, of each code, in a byte of its own
  bool a_signed = true;
  bool b_signed = true;
  bool saturate = false;  ///< the exact sum is clamped to s32 (.satfinite), else it wraps
};

/// m is 8 or 16, k 16 to 64: exact sums with one wrap or clamp at the end.
void mma_integer(const Integers& how, int m, int k, const std::uint8_t* a, const std::uint8_t* b, const std::int32_t* c,
                 std::int32_t* d);

/// m is 8 or 16; A and B are rows of `words` 32-bit words of single bits. D is C and the number of ones in A xor B, or
/// in A and B.
void mma_bits(bool exclusive, int m, int words, const std::uint32_t* a, const std::uint32_t* b, const std::int32_t* c,
              std::int32_t* d);

}  // namespace moesaic::reference
