// Compares what a tile of the collectives has computed with our own kernel, bit for bit, on the card that is there:
//
//   own_kernel FILE e4m3|e5m2 bf16|f16|f32 biased|plain
//
// FILE: what tile.cu wrote. Exit code 1 when a bit differs.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cutlass/grouped_case.hpp"
#include "device/gpu.hpp"
#include "engine/kernel_set.hpp"
#include "spec/error.hpp"

namespace {

using namespace moesaic;  // NOLINT
using engine::KernelSet;
using test::GroupedCase;

std::vector<unsigned char> compute(device::Gpu& gpu, KernelSet& kernels, const Config& config,
                                   const GroupedCase& grouped, OutFormat format) {
  std::vector<std::int32_t> starts{0};
  for (const int rows : grouped.rows) starts.push_back(starts.back() + rows);
  const device::Buffer w = gpu.upload<std::uint8_t>(grouped.b);
  const device::Buffer w_scales = gpu.upload<float>(grouped.b_scales);
  const device::Buffer x = gpu.upload<std::uint8_t>(grouped.a);
  const device::Buffer x_scales = gpu.upload<float>(grouped.a_scales);
  const device::Buffer first = gpu.upload<std::int32_t>(starts);
  const device::Buffer bias = grouped.biased ? gpu.upload<float>(grouped.bias) : device::Buffer{};
  const device::Buffer out = gpu.allocate(static_cast<std::size_t>(grouped.all_rows()) *
                                          static_cast<std::size_t>(grouped.n * out_bytes(format)));
  kernels.gemm(config,
               {.problem = {.experts = grouped.experts(), .n = grouped.n, .k = grouped.k, .x_format = grouped.a_format},
                .rows = grouped.all_rows(),
                .w = &w,
                .w_scales = &w_scales,
                .x = &x,
                .x_scales = &x_scales,
                .first = &first,
                .out = &out,
                .bias = grouped.biased ? &bias : nullptr,
                .w_scale_per = grouped.per_channel ? ScalePer::vector : ScalePer::expert,
                .x_scale_per = grouped.per_token ? ScalePer::vector : ScalePer::scalar,
                .out_format = format});
  gpu.synchronize();
  return gpu.download<unsigned char>(out, out.bytes());
}

int compare(const std::string& file, TokenFormat a_format, OutFormat format, bool biased) {
  std::ifstream stream(file, std::ios::binary);
  const std::vector<char> all{std::istreambuf_iterator<char>(stream), {}};
  device::Gpu gpu(device::parse_place("gpu:0"));
  KernelSet kernels(gpu);
  const auto variants = KernelSet::variants();
  const auto config =
      std::ranges::find_if(variants, [&](const Config& candidate) { return candidate.x_format == a_format; });
  if (config == variants.end()) throw Error("there is no variant for such tokens");
  std::size_t at = 0;
  for (const GroupedCase& grouped : test::tile_cases(biased, a_format)) {
    const std::vector<unsigned char> own = compute(gpu, kernels, *config, grouped, format);
    if (at + own.size() > all.size()) throw Error(fmt::format("{}: {} bytes are too few", file, all.size()));
    if (std::memcmp(own.data(), all.data() + at, own.size()) != 0) {
      fmt::print("{} has computed other bits\n", variant_name(*config));
      return 1;
    }
    at += own.size();
  }
  if (at != all.size()) throw Error(fmt::format("{}: {} bytes, not {}", file, all.size(), at));
  fmt::print("{} has computed the same bits\n", variant_name(*config));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  if (argc != 5) {
    fmt::print(stderr, "usage: own_kernel FILE e4m3|e5m2 bf16|f16|f32 biased|plain\n");
    return 2;
  }
  const OutFormat format = arguments[3] == "bf16"  ? OutFormat::bf16
                           : arguments[3] == "f16" ? OutFormat::f16
                                                   : OutFormat::f32;
  try {
    return compare(arguments[1], arguments[2] == "e5m2" ? TokenFormat::e5m2 : TokenFormat::e4m3, format,
                   arguments[4] == "biased");
  } catch (const std::exception& error) {
    fmt::print(stderr, "own_kernel: {}\n", error.what());
    return 2;
  }
}
