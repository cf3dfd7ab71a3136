#pragma once

#include <cuda.h>

#include <cstdint>

#include "spec/gemm.hpp"

/// Every asm statement of the kernels: one function per PTX instruction, named after it. No loops and no labels in asm.
/// Shared-memory operands are 32-bit addresses of the shared window (`smem_address`).
namespace moesaic::ptx {

__device__ inline std::uint32_t smem_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// mbarrier.init: the barrier's phase 0 completes after `arrivals` arrivals and all announced bytes.
__device__ inline void mbarrier_init(std::uint64_t* barrier, std::uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_address(barrier)), "r"(arrivals) : "memory");
}

/// fence.proxy.async: what this thread wrote to shared memory is visible to the copy engine.
__device__ inline void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// mbarrier.arrive (release, block scope).
__device__ inline void mbarrier_arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(smem_address(barrier)) : "memory");
}

/// mbarrier.arrive.expect_tx: announces `bytes` of asynchronous copies and arrives.
__device__ inline void mbarrier_arrive_expect_tx(std::uint64_t* barrier, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(smem_address(barrier)),
               "r"(bytes)
               : "memory");
}

/// mbarrier.try_wait.parity: whether the phase of that parity has completed; may suspend the thread for a while.
__device__ inline bool mbarrier_try_wait(std::uint64_t* barrier, std::uint32_t parity) {
  std::uint32_t done;
  asm volatile(
      "{\n"
      ".reg .pred complete;\n"
      "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 complete, [%1], %2;\n"
      "selp.u32 %0, 1, 0, complete;\n"
      "}\n"
      : "=r"(done)
      : "r"(smem_address(barrier)), "r"(parity)
      : "memory");
  return done != 0;
}

/// createpolicy: what is read under this policy is the first to leave the L2: weights that one tile alone reads.
__device__ inline std::uint64_t policy_evict_first() {
  std::uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0;" : "=l"(policy));
  return policy;
}

/// elect.sync: true for one lane of the warp, which is whole.
__device__ inline bool elect_one() {
  std::uint32_t elected;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(elected));
  return elected != 0;
}

/// createpolicy: what is read under this policy stays as long as other data does.
__device__ inline std::uint64_t policy_evict_normal() {
  std::uint64_t policy;
  asm("createpolicy.fractional.L2::evict_unchanged.b64 %0;" : "=l"(policy));
  return policy;
}

/// cp.async.bulk: `bytes` contiguous bytes of global memory to shared memory, counted on `barrier`; all multiples
/// of 16.
__device__ inline void bulk_copy(void* destination, const void* source, std::uint32_t bytes, std::uint64_t* barrier,
                                 std::uint64_t policy) {
  asm volatile(
      "cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(
          smem_address(destination)),
      "l"(source), "r"(bytes), "r"(smem_address(barrier)), "l"(policy)
      : "memory");
}

/// cp.async.bulk.prefetch: brings `bytes` contiguous bytes into the L2; address and size are multiples of 16.
__device__ inline void bulk_prefetch(const void* from, std::uint32_t bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}

/// cp.async.bulk.tensor.2d: one box of a tensor map to shared memory, its bytes counted on `barrier`.
__device__ inline void tensor_copy_2d(void* destination, const CUtensorMap* map, std::int32_t c0, std::int32_t c1,
                                      std::uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cta.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          smem_address(destination)),
      "l"(map), "r"(c0), "r"(c1), "r"(smem_address(barrier))
      : "memory");
}

/// cp.async.bulk.tensor.3d, as above, under a policy of the L2.
__device__ inline void tensor_copy_3d(void* destination, const CUtensorMap* map, std::int32_t c0, std::int32_t c1,
                                      std::int32_t c2, std::uint64_t* barrier, std::uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cta.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint [%0], "
      "[%1, {%2, %3, %4}], [%5], %6;" ::"r"(smem_address(destination)),
      "l"(map), "r"(c0), "r"(c1), "r"(c2), "r"(smem_address(barrier)), "l"(policy)
      : "memory");
}

/// prefetch.tensormap: brings the descriptor near the copy engine before the first copy needs it.
__device__ inline void prefetch_tensormap(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// ldmatrix.x4: four 8x8 matrices of 16-bit elements, here 8 rows of 16 bytes each. Lane l gives the address of row
/// l % 8 of matrix l / 8 and receives bytes 4 * (l % 4) .. + 3 of row l / 4 of each.
__device__ inline void ldmatrix_x4(std::uint32_t& m0, std::uint32_t& m1, std::uint32_t& m2, std::uint32_t& m3,
                                   std::uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m0), "=r"(m1), "=r"(m2), "=r"(m3)
               : "r"(row_address)
               : "memory");
}
__device__ inline void ldmatrix_x4(std::uint32_t (&fragment)[4], std::uint32_t row_address) {
  ldmatrix_x4(fragment[0], fragment[1], fragment[2], fragment[3], row_address);
}

/// ldmatrix.x2: two such matrices; lanes 0-15 give the addresses.
__device__ inline void ldmatrix_x2(std::uint32_t (&fragment)[2], std::uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(fragment[0]), "=r"(fragment[1])
               : "r"(row_address)
               : "memory");
}

/// ld.global.nc: a value that no one writes while this kernel runs, read here and not where it is used.
__device__ inline float load_early(const float* from) {
  float value;
  asm volatile("ld.global.nc.f32 %0, [%1];" : "=f"(value) : "l"(__cvta_generic_to_global(from)));
  return value;
}

/// movmatrix: an 8x8 matrix of 16-bit elements, transposed. Lane l holds elements 2 * (l % 4) and the next of row l
/// / 4.
__device__ inline std::uint32_t movmatrix(std::uint32_t pair) {
  std::uint32_t turned;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(pair));
  return turned;
}

/// setmaxnreg: gives registers of this warpgroup back to the block's pool, down to kCount a thread.
template <int kCount>
__device__ inline void release_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

/// setmaxnreg: takes registers from the block's pool, up to kCount a thread; waits until they are there.
template <int kCount>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

/// griddepcontrol.wait: the grids that this one depends on have finished and their writes are visible; returns at once
/// when it was not launched as a dependent.
__device__ inline void griddepcontrol_wait() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

/// griddepcontrol.launch_dependents: as far as this block goes, the dependent grid may start.
__device__ inline void griddepcontrol_launch_dependents() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

#if defined(MOESAIC_S8_PROXY)
/// Not FP8: the same fragments multiplied as s8, for timing alone (docs/measurements.md). Never in the shipped library.
template <Multiply, TokenFormat>
__device__ inline void mma_fp8(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  int sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = __float_as_int(d[i]);
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  for (int i = 0; i < 4; ++i) d[i] = __int_as_float(sums[i]);
}
#elif __CUDA_ARCH__ >= 1200
/// D += A B, m16n8k32: A e4m3, B e4m3 or e5m2, f32 sums. The fast form is the block-scaled one with every scale 1.0
/// (ue8m0 0x7f), which runs at full rate on GeForce where the plain one runs at half.
template <Multiply kMultiply, TokenFormat kFormat>
__device__ inline void mma_fp8(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
#define MOESAIC_MMA_SCALED(B_FORMAT)                                                                         \
  asm("mma.sync.aligned.kind::mxf8f6f4.block_scale.scale_vec::1X.m16n8k32.row.col.f32.e4m3." B_FORMAT        \
      ".f32.ue8m0 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3}, %10, {0, 0}, %10, {0, 0};" \
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                       \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(kUnit))
#define MOESAIC_MMA_PLAIN(B_FORMAT)                                          \
  asm("mma.sync.aligned.kind::f8f6f4.m16n8k32.row.col.f32.e4m3." B_FORMAT    \
      ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                       \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
  constexpr std::uint32_t kUnit = 0x7f7f7f7f;
  if constexpr (kMultiply == Multiply::fast) {
    if constexpr (kFormat == TokenFormat::e4m3) {
      MOESAIC_MMA_SCALED("e4m3");
    } else {
      MOESAIC_MMA_SCALED("e5m2");
    }
  } else {
    if constexpr (kFormat == TokenFormat::e4m3) {
      MOESAIC_MMA_PLAIN("e4m3");
    } else {
      MOESAIC_MMA_PLAIN("e5m2");
    }
  }
#undef MOESAIC_MMA_SCALED
#undef MOESAIC_MMA_PLAIN
}
#else
/// cvt.rn.f16x2: the codes in the low or the high half of a word to two f16, exactly.
template <TokenFormat kFormat>
__device__ inline std::uint32_t widen(std::uint16_t codes) {
  std::uint32_t halves;
  if constexpr (kFormat == TokenFormat::e4m3) {
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(codes));
  } else {
    asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(halves) : "h"(codes));
  }
  return halves;
}

/// D += A B, m16n8k16, f16 operands, f32 sums.
__device__ inline void mma_f16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// D += A B, m16n8k32: A e4m3, B e4m3 or e5m2, f32 sums. Hopper's own e4m3 multiply is expanded by ptxas into
/// unpacking, two f16 multiplies from zero and additions; widening the operands once for all blocks that share them,
/// and adding in the tensor core, is faster. Of the four codes in a lane's word the first two take the f16 multiply's k
/// 0-7 and the last two its k 8-15: A and B alike, so the products are the same ones, 16 to a multiply.
template <Multiply, TokenFormat kFormat>
__device__ inline void mma_fp8(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  constexpr auto kA = TokenFormat::e4m3;
  const auto low = [](std::uint32_t word) { return static_cast<std::uint16_t>(word); };
  const auto high = [](std::uint32_t word) { return static_cast<std::uint16_t>(word >> 16); };
  const std::uint32_t lower[4] = {widen<kA>(low(a[0])), widen<kA>(low(a[1])), widen<kA>(high(a[0])),
                                  widen<kA>(high(a[1]))};
  const std::uint32_t upper[4] = {widen<kA>(low(a[2])), widen<kA>(low(a[3])), widen<kA>(high(a[2])),
                                  widen<kA>(high(a[3]))};
  mma_f16(d, lower, widen<kFormat>(low(b0)), widen<kFormat>(high(b0)));
  mma_f16(d, upper, widen<kFormat>(low(b1)), widen<kFormat>(high(b1)));
}
#endif

/// atom.add (acquire and release, device scope): the old value.
__device__ inline std::uint32_t atom_add_acq_rel(std::uint32_t* counter, std::uint32_t value) {
  std::uint32_t old;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], %2;"
               : "=r"(old)
               : "l"(__cvta_generic_to_global(counter)), "r"(value)
               : "memory");
  return old;
}

/// cvt.rn.satfinite.e4m3x2: two floats to two e4m3 codes, `low` in the low byte.
__device__ inline std::uint16_t cvt_e4m3x2(float low, float high) {
  std::uint16_t codes;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(high), "f"(low));
  return codes;
}

/// cvt.rn.f16x2: two floats to two f16, `low` in the low half.
__device__ inline std::uint32_t cvt_f16x2(float low, float high) {
  std::uint32_t halves;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(halves) : "f"(high), "f"(low));
  return halves;
}

/// cvt.rn.bf16x2: two floats to two bf16, `low` in the low half.
__device__ inline std::uint32_t cvt_bf16x2(float low, float high) {
  std::uint32_t halves;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(halves) : "f"(high), "f"(low));
  return halves;
}

}  // namespace moesaic::ptx
