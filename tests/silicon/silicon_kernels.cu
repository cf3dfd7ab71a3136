// One instruction per kernel, for comparison of an emulated card with a real one. A block is one warp, and one case.

#include <cuda.h>

#include <cstdint>

namespace {

__device__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// A lane's share of the operands of mma.m16n8k16 with 16-bit and of mma.m16n8k32 with 8-bit elements: a row of A and a
/// column of B have 8 words in both (PTX ISA, "Matrix Fragments for mma.m16n8k16" and "for mma.m16n8k32").
struct Fragments {
  std::uint32_t a[4];
  std::uint32_t b[2];
};

__device__ Fragments load_fragments(const std::uint32_t* a, const std::uint32_t* b) {
  const unsigned group = threadIdx.x / 4;
  const unsigned member = threadIdx.x % 4;
  a += blockIdx.x * 128;
  b += blockIdx.x * 64;
  return {
      {a[group * 8 + member], a[(group + 8) * 8 + member], a[group * 8 + member + 4], a[(group + 8) * 8 + member + 4]},
      {b[group * 8 + member], b[group * 8 + member + 4]}};
}

/// Defines a kernel for one mma with f32 sums: A [cases, 16, 8 words], B [cases, 8, 8 words], C and D [cases, 16, 8].
#define MMA_KERNEL_F32(name, instruction)                                                                     \
  extern "C" __global__ void name(const std::uint32_t* a, const std::uint32_t* b, const float* c, float* d) { \
    const Fragments f = load_fragments(a, b);                                                                 \
    const unsigned at = blockIdx.x * 128 + threadIdx.x / 4 * 8 + threadIdx.x % 4 * 2;                         \
    float d0, d1, d2, d3;                                                                                     \
    asm volatile(instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"           \
                 : "=f"(d0), "=f"(d1), "=f"(d2), "=f"(d3)                                                     \
                 : "r"(f.a[0]), "r"(f.a[1]), "r"(f.a[2]), "r"(f.a[3]), "r"(f.b[0]), "r"(f.b[1]), "f"(c[at]),  \
                   "f"(c[at + 1]), "f"(c[at + 64]), "f"(c[at + 65]));                                         \
    d[at] = d0;                                                                                               \
    d[at + 1] = d1;                                                                                           \
    d[at + 64] = d2;                                                                                          \
    d[at + 65] = d3;                                                                                          \
  }

}  // namespace

MMA_KERNEL_F32(mma_e4m3, "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32")
MMA_KERNEL_F32(mma_f16, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32")
MMA_KERNEL_F32(mma_bf16, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")

/// The same with f16 sums: C and D [cases, 16, 4 words].
extern "C" __global__ void mma_f16_f16(const std::uint32_t* a, const std::uint32_t* b, const std::uint32_t* c,
                                       std::uint32_t* d) {
  const Fragments f = load_fragments(a, b);
  const unsigned at = blockIdx.x * 64 + threadIdx.x / 4 * 4 + threadIdx.x % 4;
  std::uint32_t d0, d1;
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0, %1}, {%2, %3, %4, %5}, {%6, %7}, {%8, %9};"
               : "=r"(d0), "=r"(d1)
               : "r"(f.a[0]), "r"(f.a[1]), "r"(f.a[2]), "r"(f.a[3]), "r"(f.b[0]), "r"(f.b[1]), "r"(c[at]),
                 "r"(c[at + 32]));
  d[at] = d0;
  d[at + 32] = d1;
}

/// Two floats to two e4m3 codes: the first one becomes the lower byte.
extern "C" __global__ void encode_e4m3(const float* values, std::uint16_t* codes) {
  const unsigned i = blockIdx.x * 32 + threadIdx.x;
  asm volatile("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes[i]) : "f"(values[2 * i + 1]), "f"(values[2 * i]));
}

/// Two e4m3 codes to two halves.
extern "C" __global__ void decode_e4m3(const std::uint16_t* codes, std::uint32_t* halves) {
  const unsigned i = blockIdx.x * 32 + threadIdx.x;
  asm volatile("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves[i]) : "h"(codes[i]));
}

/// All six forms of ldmatrix over 1 KB of shared memory: x1, x2, x4, then the same with .trans. `rows` [cases, 32] are
/// the rows of 16 bytes that the lanes point at; `out` [cases, 32, 14].
extern "C" __global__ void load_matrices(const uint4* contents, const std::uint32_t* rows, std::uint32_t* out) {
  __shared__ uint4 shared[64];
  for (unsigned i = threadIdx.x; i < 64; i += 32) shared[i] = contents[blockIdx.x * 64 + i];
  __syncwarp();
  const std::uint32_t address = shared_address(&shared[rows[blockIdx.x * 32 + threadIdx.x]]);
  out += (blockIdx.x * 32 + threadIdx.x) * 14;
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(out[0]) : "r"(address));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(out[1]), "=r"(out[2]) : "r"(address));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[3]), "=r"(out[4]), "=r"(out[5]), "=r"(out[6])
               : "r"(address));
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(out[7]) : "r"(address));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(out[8]), "=r"(out[9])
               : "r"(address));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[10]), "=r"(out[11]), "=r"(out[12]), "=r"(out[13])
               : "r"(address));
}

/// One box of a tensor map to shared memory that held 0xcd in every byte, as it lies there afterwards. `out` gets
/// whether the barrier counted exactly `expected_bytes`, then `words` words of shared memory.
template <bool kThreeDimensions>
__device__ void copy_box(const CUtensorMap* map, int x, int y, int z, std::uint32_t expected_bytes, std::uint32_t words,
                         std::uint32_t* out) {
  __shared__ __align__(1024) std::uint32_t box[1024];
  __shared__ __align__(8) std::uint64_t barrier;
  for (unsigned i = threadIdx.x; i < words; i += 32) box[i] = 0xcdcdcdcdU;
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(&barrier)) : "memory");
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)),
                 "r"(expected_bytes)
                 : "memory");
    if constexpr (kThreeDimensions) {
      asm volatile(
          "cp.async.bulk.tensor.3d.shared::cta.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], "
          "[%5];" ::"r"(shared_address(box)),
          "l"(map), "r"(x), "r"(y), "r"(z), "r"(shared_address(&barrier))
          : "memory");
    } else {
      asm volatile(
          "cp.async.bulk.tensor.2d.shared::cta.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
              "r"(shared_address(box)),
          "l"(map), "r"(x), "r"(y), "r"(shared_address(&barrier))
          : "memory");
    }
  }
  // Bounded, so that a wrong count of bytes ends in a 0 and not in a hang.
  std::uint32_t complete = 0;
  for (int tries = 0; tries < 20000 && complete == 0; ++tries) {
    asm volatile(
        "{\n"
        ".reg .pred complete;\n"
        "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 complete, [%1], 0;\n"
        "selp.u32 %0, 1, 0, complete;\n"
        "}\n"
        : "=r"(complete)
        : "r"(shared_address(&barrier))
        : "memory");
  }
  __syncthreads();
  if (threadIdx.x == 0) out[0] = complete;
  for (unsigned i = threadIdx.x; i < words; i += 32) out[1 + i] = box[i];
}

extern "C" __global__ void copy_box_2d(const __grid_constant__ CUtensorMap map, int x, int y,
                                       std::uint32_t expected_bytes, std::uint32_t words, std::uint32_t* out) {
  copy_box<false>(&map, x, y, 0, expected_bytes, words, out);
}

extern "C" __global__ void copy_box_3d(const __grid_constant__ CUtensorMap map, int x, int y, int z,
                                       std::uint32_t expected_bytes, std::uint32_t words, std::uint32_t* out) {
  copy_box<true>(&map, x, y, z, expected_bytes, words, out);
}

/// Writes where it is told: for launches that are to fail.
extern "C" __global__ void __launch_bounds__(128) store_word(std::uint32_t* to) {
  to[threadIdx.x] = threadIdx.x;
}
