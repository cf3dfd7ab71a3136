#pragma once

#include <cuda.h>

#include <cstdint>

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

/// cp.async.bulk.tensor.2d: one box of a tensor map to shared memory, its bytes counted on `barrier`.
__device__ inline void tensor_copy_2d(void* destination, const CUtensorMap* map, std::int32_t c0, std::int32_t c1,
                                      std::uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cta.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          smem_address(destination)),
      "l"(map), "r"(c0), "r"(c1), "r"(smem_address(barrier))
      : "memory");
}

/// cp.async.bulk.tensor.3d, as above.
__device__ inline void tensor_copy_3d(void* destination, const CUtensorMap* map, std::int32_t c0, std::int32_t c1,
                                      std::int32_t c2, std::uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cta.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::
          "r"(smem_address(destination)),
      "l"(map), "r"(c0), "r"(c1), "r"(c2), "r"(smem_address(barrier))
      : "memory");
}

/// prefetch.tensormap: brings the descriptor near the copy engine before the first copy needs it.
__device__ inline void prefetch_tensormap(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// ldmatrix.x4: four 8x8 matrices of 16-bit elements, here 8 rows of 16 bytes each. Lane l gives the address of row
/// l % 8 of matrix l / 8 and receives bytes 4 * (l % 4) .. + 3 of row l / 4 of each.
__device__ inline void ldmatrix_x4(std::uint32_t (&fragment)[4], std::uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(row_address)
               : "memory");
}

/// ldmatrix.x2: two such matrices; lanes 0-15 give the addresses.
__device__ inline void ldmatrix_x2(std::uint32_t (&fragment)[2], std::uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(fragment[0]), "=r"(fragment[1])
               : "r"(row_address)
               : "memory");
}

/// D += A B for e4m3 operands, m16n8k32, f32 sums. On 12.x the block-scaled form with every scale 1.0 (ue8m0 0x7f),
/// which runs at full rate on GeForce where the plain one runs at half; elsewhere the plain form.
__device__ inline void mma_e4m3(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
#if __CUDA_ARCH__ >= 1200
  constexpr std::uint32_t kUnit = 0x7f7f7f7f;
  asm("mma.sync.aligned.kind::mxf8f6f4.block_scale.scale_vec::1X.m16n8k32.row.col.f32.e4m3.e4m3.f32.ue8m0 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3}, %10, {0, 0}, %10, {0, 0};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(kUnit));
#else
  asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/// griddepcontrol.wait: returns when the grids that this one was allowed to overlap have ended and what they wrote is
/// visible; at once when it overlaps none.
__device__ inline void griddepcontrol_wait() {
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

/// griddepcontrol.launch_dependents: the next grid may start once every block has said so or has ended.
__device__ inline void griddepcontrol_launch_dependents() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

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

/// cvt.rn.bf16x2: two floats to two bf16, `low` in the low half.
__device__ inline std::uint32_t cvt_bf16x2(float low, float high) {
  std::uint32_t halves;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(halves) : "f"(high), "f"(low));
  return halves;
}

}  // namespace moesaic::ptx
