#pragma once

#include "planted/planted.cuh"

/// Values that nobody has given, on their way through calls, returns, divergent shuffles and matrices.
namespace moesaic::planted {

/// A word that nobody has written: asm hides that from the compiler. `given` is what a right kernel has instead.
template <bool kBug>
__device__ u32 garbage(u32 given) {
  u32 value;
  if (kBug) {
    asm volatile("{\n.reg .b32 nothing;\nmov.b32 %0, nothing;\n}" : "=r"(value));
  } else {
    value = given;
  }
  return value;
}

struct Pair {
  u32 first;
  u32 second;
};

__device__ __noinline__ inline u32 twice(u32 value) {
  return 2 * value;
}

/// Through a parameter and a result.
template <bool kBug>
__device__ void undefined_argument(const Params& p) {
  p.out[place()] = twice(garbage<kBug>(threadIdx.x));  // caught: undefined
}

__device__ __noinline__ inline Pair swapped(Pair pair) {
  return {pair.second, pair.first};
}

/// One member of a struct that is given and returned by value; the other may be garbage.
template <bool kBug>
__device__ void undefined_member(const Params& p) {
  const Pair pair = swapped({threadIdx.x, garbage<true>(0)});
  p.out[place()] = kBug ? pair.first : pair.second;  // caught: undefined
}

__device__ __noinline__ inline u32 sum_down(u32 n, u32 last) {
  const u32 below = n == 0 ? last : sum_down(n - 1, last);
  return n + below;
}

/// Down and up again through a function that calls itself.
template <bool kBug>
__device__ void undefined_through_recursion(const Params& p) {
  p.out[place()] = sum_down(3 + threadIdx.x % 4, garbage<kBug>(1));  // caught: undefined
}

__device__ __noinline__ inline u32 plus_one(u32 value) {
  return value + 1;
}
__device__ __noinline__ inline u32 minus_one(u32 value) {
  return value - 1;
}
static __device__ u32 (*const kSteps[2])(u32) = {plus_one, minus_one};

/// By a function whose address is looked up.
template <bool kBug>
__device__ void undefined_by_pointer(const Params& p) {
  u32 (*step)(u32) = kSteps[p.in[threadIdx.x] % 2];
  p.out[place()] = step(garbage<kBug>(7));  // caught: undefined
}

template <bool kBug>
__device__ __noinline__ u32 last_of(const Params& p, u32 n) {
  u32 history[16];
#pragma unroll 1
  for (u32 i = 0; i < n - (kBug ? 1 : 0); ++i) history[i] = p.in[i];
  return history[n - 1];
}

/// A function's own array begins undefined at every call, whatever an earlier call left there.
template <bool kBug>
__device__ void undefined_in_a_frame(const Params& p) {
  const u32 first = last_of<false>(p, 16 + p.zeros[0]);
  p.out[place()] = first + last_of<kBug>(p, 16 + p.zeros[1]);  // caught: undefined
}

__device__ u32 steps_to_zero(u32 from, const u32* in);

/// The argument decides a branch in the function that is called.
template <bool kBug>
__device__ void undefined_branch_of_a_function(const Params& p) {
  p.out[place()] = steps_to_zero(garbage<kBug>(5), p.in);
}
__device__ __noinline__ u32 steps_to_zero(u32 from, const u32* in) {
  u32 steps = 0;
#pragma unroll 1
  for (u32 i = from % 8; i != 0; --i) steps += in[i] * steps + 1;  // caught: undefined
  return steps;
}

/// Lanes that meet at a shuffle from two sides of a branch.
template <bool kBug>
__device__ void undefined_over_a_divergent_shuffle(const Params& p) {
  u32 value = p.in[lane()];
  u32 got = 0;
  if (lane() < 16) {
    asm volatile("shfl.sync.bfly.b32 %0, %1, 16, 31, 0xffffffff;" : "=r"(got) : "r"(value) : "memory");
    p.out[place()] = got;  // caught: undefined
  } else {
    asm volatile("shfl.sync.bfly.b32 %0, %1, 16, 31, 0xffffffff;" : "=r"(got) : "r"(garbage<kBug>(value)) : "memory");
    p.out[place()] = got + 1;
  }
}

/// The sums that a product starts from.
template <bool kBug>
__device__ void undefined_sums(const Params& p) {
  const u32 a[4] = {0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80};
  const u32 b[2] = {0x40004000, 0x40004000};
  float d[4];
  for (float& sum : d) sum = __uint_as_float(garbage<kBug>(0));
  ptx::mma_bf16(d, a, b);
  p.out[lane()] = __float_as_uint(d[0] + d[3]);  // caught: undefined
}

/// stmatrix lays garbage into shared memory; a bulk copy carries it out.
template <bool kBug>
__device__ void undefined_over_stmatrix(const Params& p) {
  __shared__ alignas(128) u32 tile[32][4];
  const u32 fragment[4] = {lane(), garbage<kBug>(lane()), lane(), lane()};
  ptx::stmatrix_x4(ptx::smem(tile[lane()]), fragment);
  ptx::fence_proxy_async();
  __syncwarp();
  if (lane() == 0) {
    ptx::bulk_store(p.out, tile, sizeof tile);  // caught: undefined
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
  }
}

/// A vote and a compare-and-swap: garbage decides what is counted.
template <bool kBug>
__device__ void undefined_vote(const Params& p) {
  const u32 yes = __ballot_sync(0xffffffff, garbage<kBug>(lane()) > 7);
  p.out[place()] = __popc(yes);  // caught: undefined
}

}  // namespace moesaic::planted

PLANTED(undefined_argument, 1, 64)
PLANTED(undefined_member, 1, 64)
PLANTED(undefined_through_recursion, 1, 64)
PLANTED(undefined_by_pointer, 1, 64)
PLANTED(undefined_in_a_frame, 1, 64)
PLANTED(undefined_branch_of_a_function, 1, 64)
PLANTED(undefined_over_a_divergent_shuffle, 1, 32)
PLANTED(undefined_sums, 1, 32)
PLANTED(undefined_over_stmatrix, 1, 32)
PLANTED(undefined_vote, 1, 32)
