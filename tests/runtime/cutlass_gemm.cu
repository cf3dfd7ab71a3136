// A dense FP8 GEMM as users of CUTLASS write it: D = alpha A B + beta C through GemmUniversalAdapter, A and B e4m3 with
// k contiguous, C and D f32 row-major. `cutlass_gemm M N K`; each tile of 128x128x128 may be cut at its end. Every
// element is compared with a sum in double, within a bound computed from |A| |B|.

#include <cmath>
#include <cstdint>
#include <cute/tensor.hpp>
#include <vector>

#include "cutlass/epilogue/collective/collective_builder.hpp"
#include "cutlass/gemm/collective/collective_builder.hpp"
#include "cutlass/gemm/device/gemm_universal_adapter.h"
#include "cutlass/gemm/kernel/gemm_universal.hpp"
#include "cutlass/util/packed_stride.hpp"
#include "runtime/check.hpp"

namespace {

using Tile = cute::Shape<cute::_128, cute::_128, cute::_128>;
using Cluster = cute::Shape<cute::_1, cute::_1, cute::_1>;
using RowMajor = cutlass::layout::RowMajor;
using ColumnMajor = cutlass::layout::ColumnMajor;
using Epilogue =
    cutlass::epilogue::collective::CollectiveBuilder<cutlass::arch::Sm120, cutlass::arch::OpClassTensorOp, Tile,
                                                     Cluster, cutlass::epilogue::collective::EpilogueTileAuto, float,
                                                     float, float, RowMajor, 4, float, RowMajor, 4,
                                                     cutlass::epilogue::collective::EpilogueScheduleAuto>::CollectiveOp;
using Mainloop = cutlass::gemm::collective::CollectiveBuilder<
    cutlass::arch::Sm120, cutlass::arch::OpClassTensorOp, cutlass::float_e4m3_t, RowMajor, 16, cutlass::float_e4m3_t,
    ColumnMajor, 16, float, Tile, Cluster,
    cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(sizeof(Epilogue::SharedStorage))>,
    cutlass::gemm::collective::KernelScheduleAuto>::CollectiveOp;
using Kernel = cutlass::gemm::kernel::GemmUniversal<cute::Shape<int, int, int, int>, Mainloop, Epilogue>;
using Gemm = cutlass::gemm::device::GemmUniversalAdapter<Kernel>;

constexpr float kAlpha = 0.5F, kBeta = 2.0F;
constexpr int kGuard = 64;  // elements behind D that nobody may touch
constexpr float kUntouched = -12345.0F;

struct Problem {
  int m, n, k;
  std::vector<std::uint8_t> a, b;  // codes of e4m3, [m, k] and [n, k]
  std::vector<float> c;            // [m, n]
};

double decode_e4m3(std::uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return (code & 0x80) != 0 ? -magnitude : magnitude;
}

Problem make_problem(int m, int n, int k) {
  Problem problem{m, n, k, {}, {}, {}};
  std::uint32_t state = 1;
  const auto next = [&] { return (state = state * 1664525U + 1013904223U) >> 8; };
  // Any sign and mantissa, exponents around that of 1.
  const auto code = [&] { return static_cast<std::uint8_t>((next() & 0x87) | (4 + next() % 6) << 3); };
  for (int i = 0; i < m * k; ++i) problem.a.push_back(code());
  for (int i = 0; i < n * k; ++i) problem.b.push_back(code());
  for (int i = 0; i < m * n; ++i) problem.c.push_back(static_cast<float>(next() % 2001) / 1000 - 1);
  return problem;
}

#define CUTLASS_SUCCEEDS(call)                                                     \
  do {                                                                             \
    const cutlass::Status status = (call);                                         \
    if (status != cutlass::Status::kSuccess) {                                     \
      std::printf("%s gave %s\n", #call, cutlass::cutlassGetStatusString(status)); \
      std::exit(1);                                                                \
    }                                                                              \
  } while (false)

/// D and the guard behind it.
std::vector<float> multiply(const Problem& p) {
  const auto* a = reinterpret_cast<cutlass::float_e4m3_t*>(upload(p.a));
  const auto* b = reinterpret_cast<cutlass::float_e4m3_t*>(upload(p.b));
  const float* c = upload(p.c);
  std::vector<float> result(p.c.size() + kGuard, kUntouched);
  float* d = upload(result);
  const auto stride = [](auto kind, int rows, int columns) {
    return cutlass::make_cute_packed_stride(kind, cute::make_shape(rows, columns, 1));
  };
  const Gemm::Arguments arguments{
      cutlass::gemm::GemmUniversalMode::kGemm,
      {p.m, p.n, p.k, 1},
      {a, stride(Kernel::StrideA{}, p.m, p.k), b, stride(Kernel::StrideB{}, p.n, p.k)},
      {{kAlpha, kBeta}, c, stride(Kernel::StrideC{}, p.m, p.n), d, stride(Kernel::StrideD{}, p.m, p.n)}};
  Gemm gemm;
  CUTLASS_SUCCEEDS(Gemm::can_implement(arguments));
  std::uint8_t* workspace = nullptr;
  SUCCEEDS(cudaMalloc(&workspace, Gemm::get_workspace_size(arguments)));
  CUTLASS_SUCCEEDS(gemm.initialize(arguments, workspace));
  CUTLASS_SUCCEEDS(gemm.run());
  SUCCEEDS(cudaMemcpy(result.data(), d, result.size() * sizeof(float), cudaMemcpyDeviceToHost));
  return result;
}

/// How many elements are not within their bound. The products are exact. A step of the tensor core sums 32 of them and
/// what it has: each of the 33 loses less than 2^-25 of the largest, and the sum less than 2^-23 of itself. `skipped`
/// of the last k are left out of the truth, to see that the bound would tell.
int count_wrong(const Problem& p, const std::vector<float>& d, int skipped) {
  const double step = 33 * std::ldexp(1, -25) + std::ldexp(1, -23);
  const int steps = (p.k + 127) / 128 * 4;
  std::vector<double> a(p.a.size()), b(p.b.size());
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = decode_e4m3(p.a[i]);
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = decode_e4m3(p.b[i]);
  int wrong = 0;
  for (int m = 0; m < p.m; ++m) {
    for (int n = 0; n < p.n; ++n) {
      double sum = 0, absolute = 0;
      for (int k = 0; k < p.k - skipped; ++k) {
        const double product = a[m * p.k + k] * b[n * p.k + k];
        sum += product;
        absolute += std::abs(product);
      }
      const std::size_t at = static_cast<std::size_t>(m) * p.n + n;
      const double truth = kAlpha * sum + static_cast<double>(kBeta) * p.c[at];
      // The epilogue rounds each product and the sum of both, to 24 bits.
      const double bound =
          kAlpha * absolute * steps * step + std::ldexp(kAlpha * absolute + kBeta * std::abs(p.c[at]), -22);
      if (!(std::abs(d[at] - truth) <= bound)) ++wrong;
    }
  }
  return wrong;
}

}  // namespace

int main(int count, char** arguments) {
  CHECK(count == 4);
  const Problem problem = make_problem(std::atoi(arguments[1]), std::atoi(arguments[2]), std::atoi(arguments[3]));
  const std::vector<float> d = multiply(problem);
  CHECK(count_wrong(problem, d, 0) == 0);
  for (int i = 0; i < kGuard; ++i) CHECK(d[problem.c.size() + i] == kUntouched);
  // A sum without the last 32 k would not pass: all but a few elements are outside their bounds.
  CHECK(count_wrong(problem, d, 32) > problem.m * problem.n * 9 / 10);
  std::puts("ok");
  return 0;
}
