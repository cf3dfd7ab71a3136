#pragma once

#include <cutlass/float8.h>
#include <cutlass/numeric_conversion.h>
#include <cute/arch/mma_sm120.hpp>
#include <cute/atom/mma_traits_sm120.hpp>

/// The multiply of the collectives: D[16, 8] += A[16, 32] B[8, 32]^T, FP8 operands, f32 sums, as CuTe MMA atoms.
namespace moesaic::sm120 {

/// The instructions that compute it.
enum class Multiply {
  unit_scale,  ///< kind::mxf8f6f4.block_scale with every scale 1.0: at full rate on GeForce, where `plain` is at half
  plain,       ///< kind::f8f6f4
  widened,     ///< codes widened to f16, two m16n8k16: for timing the collective on compute capability 9.0
};

/// One m16n8k32 step. Register layouts are those of PTX's mma.m16n8k32 with 8-bit operands.
template <Multiply kMultiply, class ElementA, class ElementB>
struct Fp8Mma;

template <class ElementA, class ElementB>
struct Fp8Mma<Multiply::plain, ElementA, ElementB> : cute::SM120_16x8x32_TN<ElementA, ElementB, float> {};

template <class ElementA, class ElementB>
struct Fp8Mma<Multiply::unit_scale, ElementA, ElementB> {
  using Scaled = cute::SM120::BLOCKSCALED::SM120_16x8x32_TN_VS<ElementA, ElementB, float, cutlass::float_ue8m0_t, 32>;
  using DRegisters = typename Scaled::DRegisters;
  using ARegisters = typename Scaled::ARegisters;
  using BRegisters = typename Scaled::BRegisters;
  using CRegisters = typename Scaled::CRegisters;

  CUTE_HOST_DEVICE static void fma(float& d0, float& d1, float& d2, float& d3, const uint32_t& a0, const uint32_t& a1,
                                   const uint32_t& a2, const uint32_t& a3, const uint32_t& b0, const uint32_t& b1,
                                   const float& c0, const float& c1, const float& c2, const float& c3) {
    const uint8_t one = 0x7f;  // ue8m0
    Scaled::fma(d0, d1, d2, d3, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3, one, one);
  }
};

/// Of the four codes in a register the first two take the f16 multiply's k 0-7 and the last two its k 8-15. A and B
/// alike, so the products are those of the FP8 multiply; the order of their sum is not.
template <class ElementA, class ElementB>
struct Fp8Mma<Multiply::widened, ElementA, ElementB> {
  using Half = cute::SM80_16x8x16_F32F16F16F32_TN;
  using DRegisters = float[4];
  using ARegisters = uint32_t[4];
  using BRegisters = uint32_t[2];
  using CRegisters = float[4];

  /// Codes 0 and 1 (kPair 0) or 2 and 3 (kPair 1) of a register as two f16, exactly.
  template <class Element, int kPair>
  CUTE_HOST_DEVICE static uint32_t widen(uint32_t codes) {
    cutlass::Array<Element, 2> pair;
    reinterpret_cast<uint16_t&>(pair) = static_cast<uint16_t>(codes >> (16 * kPair));
    const auto halves = cutlass::NumericArrayConverter<cutlass::half_t, Element, 2>{}(pair);
    return reinterpret_cast<const uint32_t&>(halves);
  }

  CUTE_HOST_DEVICE static void fma(float& d0, float& d1, float& d2, float& d3, const uint32_t& a0, const uint32_t& a1,
                                   const uint32_t& a2, const uint32_t& a3, const uint32_t& b0, const uint32_t& b1,
                                   const float& c0, const float& c1, const float& c2, const float& c3) {
    Half::fma(d0, d1, d2, d3, widen<ElementA, 0>(a0), widen<ElementA, 0>(a1), widen<ElementA, 1>(a0),
              widen<ElementA, 1>(a1), widen<ElementB, 0>(b0), widen<ElementB, 1>(b0), c0, c1, c2, c3);
    Half::fma(d0, d1, d2, d3, widen<ElementA, 0>(a2), widen<ElementA, 0>(a3), widen<ElementA, 1>(a2),
              widen<ElementA, 1>(a3), widen<ElementB, 0>(b1), widen<ElementB, 1>(b1), d0, d1, d2, d3);
  }
};

}  // namespace moesaic::sm120

template <moesaic::sm120::Multiply kMultiply, class ElementA, class ElementB>
struct cute::MMA_Traits<moesaic::sm120::Fp8Mma<kMultiply, ElementA, ElementB>>
    : cute::MMA_Traits<cute::SM120_16x8x32_TN<ElementA, ElementB, float>> {};
