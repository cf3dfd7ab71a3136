#pragma once

#include <cstdint>

/// The tensor core's arithmetic, bit for bit. One element of D is one fused sum: products are exact; all of them and C
/// are aligned to the largest exponent among them and truncated to 25 fractional bits; the sum of what is left is exact
/// and is written to f32 toward zero, to f16 to nearest even. Source: MMA-Sim (Xie, Wang, Yang, Yang, arXiv
/// 2511.10909), whose authors validated it on silicon, and this project's fixtures of an H200.
///
/// All operands are dense: A [16, k] and B [8, k] as codes with k contiguous (B is stored by column), C and D [16, 8].
/// D may be C. An exponent is the one before normalization of a product; subnormals have their format's lowest. A NaN
/// result is 0x7fffffff (f32) or 0x7fff (f16), every zero is +0, and past the largest finite value lies infinity.
namespace moesaic::reference {

enum class Fp8 : std::uint8_t { kE4m3, kE5m2 };
enum class Half : std::uint8_t { kF16, kBf16 };

/// mma.m16n8k16 of f16 or bf16 with f32 sums, as Hopper and RTX Blackwell compute it: one sum of 16 products and C.
void mma_m16n8k16(Half type, const std::uint16_t* a, const std::uint16_t* b, const float* c, float* d);

/// mma.m16n8k16 of f16 with f16 sums, likewise; C and D are f16 codes.
void mma_m16n8k16_f16(const std::uint16_t* a, const std::uint16_t* b, const std::uint16_t* c, std::uint16_t* d);

/// mma.m16n8k32 of 8-bit operands with f32 sums as compute capability 9.0 expands it: operands unpacked to f16, one sum
/// of the 16 products with k mod 4 in {0, 1} from zero, a second of the others on top of it, then C added in f32,
/// rounded to nearest.
void mma_m16n8k32_sm90(Fp8 a_type, Fp8 b_type, const std::uint8_t* a, const std::uint8_t* b, const float* c, float* d);

/// mma.m16n8k32 of 8-bit operands with f32 sums on compute capability 12.x (with or without kind::f8f6f4): one sum of
/// 32 products and C.
void mma_m16n8k32_sm120(Fp8 a_type, Fp8 b_type, const std::uint8_t* a, const std::uint8_t* b, const float* c, float* d);

/// The block-scaled form on 12.x, kind::mxf8f6f4 with scale_vec::1X: one ue8m0 scale for each row of A (a_scales [16])
/// and each column of B (b_scales [8]), whose exponents are added to those of the products. Scale 0xff is NaN.
void mma_m16n8k32_mxf8(Fp8 a_type, Fp8 b_type, const std::uint8_t* a, const std::uint8_t* b,
                       const std::uint8_t* a_scales, const std::uint8_t* b_scales, const float* c, float* d);

}  // namespace moesaic::reference
