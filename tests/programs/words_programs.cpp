// The programs that work on plain integers: scan, histogram, divergent, overlap, pointer_array.

#include <algorithm>
#include <numeric>

#include "programs/programs.hpp"
#include "programs/sizes.hpp"
#include "spec/split_mix.hpp"

namespace moesaic::programs {
namespace {

Words random_words(std::size_t count, std::uint64_t seed, std::uint32_t below) {
  SplitMix64 random(seed);
  Words words(count);
  for (std::uint32_t& word : words) word = static_cast<std::uint32_t>((random.next() >> 32) * below >> 32);
  return words;
}

Words scan_input() {
  return random_words(std::size_t{kScanBlocks} * kScanThreads * kScanItems, 11, 1U << 30);
}

constexpr std::uint32_t kHistogramCount = 3001;

Words histogram_input() {
  return random_words(kHistogramCount, 12, 0xffffff00U);
}

constexpr std::uint32_t kDivergentCount = 500;

Words divergent_input() {
  return random_words(kDivergentCount, 13, 100'000);
}

std::uint32_t divergent_value(std::uint32_t value) {
  if (value % 13 == 0) return 1'000'000 + value;
  std::uint32_t result = 0;
  for (std::uint32_t at = value; at != 1; at = at % 2 == 0 ? at / 2 : 3 * at + 1) {
    if (++result > 60) {
      result = 0;
      break;
    }
  }
  for (std::uint32_t round = 0; round < value % 5; ++round) {
    if (result % 7 == 3) continue;
    if (result > 5000) break;
    result = result * 3 + std::gcd(value, result + 1 + round);
  }
  if (result % 2 != 0) return result + std::gcd(result, value);
  switch (value % 4) {
    case 0:
      return result + 7;
    case 1:
      return (result ^ 0x55U) * 5;
    case 2:
      return result * 5;
    default:
      return result / 2;
  }
}

constexpr unsigned kOverlapBlocks = 12;
constexpr unsigned kOverlapKernels = 5;
constexpr unsigned kOverlapCount = kOverlapBlocks * kOverlapThreads;

std::uint32_t overlap_mix(std::uint32_t value) {
  value = (value ^ value >> 16) * 0x45d9f3bU;
  return value ^ value >> 15;
}

struct Matrix {
  std::uint32_t rows;
  std::uint32_t columns;
};
constexpr std::array kMatrices{Matrix{8, 32},  Matrix{1, 4},    Matrix{17, 36}, Matrix{40, 64},
                               Matrix{64, 12}, Matrix{33, 100}, Matrix{7, 68}};
constexpr unsigned kWidest = 100;

Words matrix_words(std::size_t index) {
  return random_words(std::size_t{kMatrices[index].rows} * kMatrices[index].columns, 100 + index, 1U << 31);
}

}  // namespace

Words run_scan(const Card& card) {
  const Words in = scan_input();
  const CUdeviceptr from = card.upload(in);
  const CUdeviceptr to = card.allocate(in.size());
  const CUdeviceptr states = card.zeros(2 * kScanBlocks);
  const CUdeviceptr ticket = card.zeros(1);
  card.launch("scan", {.grid_x = kScanBlocks, .threads = kScanThreads}, from, to, states, ticket);
  card.synchronize();
  return card.download(to, in.size());
}

Words expected_scan() {
  const Words in = scan_input();
  Words out(in.size());
  std::exclusive_scan(in.begin(), in.end(), out.begin(), 0U);
  return out;
}

Words run_histogram(const Card& card) {
  const CUdeviceptr from = card.upload(histogram_input());
  const CUdeviceptr bins = card.zeros(kHistogramBins);
  const CUdeviceptr extremes = card.upload(Words{~0U, 0, 0, 0, 0, 0});
  card.launch("histogram", {.grid_x = kHistogramBlocks, .threads = kHistogramThreads}, from, kHistogramCount, bins,
              extremes);
  card.synchronize();
  Words words = card.download(bins, kHistogramBins);
  const Words more = card.download(extremes, 6);
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Words expected_histogram() {
  Words words(kHistogramBins);
  std::uint32_t least = ~0U;
  std::uint32_t greatest = 0;
  std::uint32_t all_bits = 0;
  std::uint32_t odd_bits = 0;
  std::uint64_t sum = 0;
  for (const std::uint32_t value : histogram_input()) {
    ++words[value % kHistogramBins];
    least = std::min(least, value);
    greatest = std::max(greatest, value);
    all_bits |= value;
    odd_bits ^= value;
    sum += std::uint64_t{value} * value;
  }
  words.insert(words.end(), {least, greatest, all_bits, odd_bits, static_cast<std::uint32_t>(sum),
                             static_cast<std::uint32_t>(sum >> 32)});
  return words;
}

Words run_divergent(const Card& card) {
  const CUdeviceptr from = card.upload(divergent_input());
  const CUdeviceptr to = card.allocate(kDivergentCount);
  const unsigned blocks = (kDivergentCount + kDivergentThreads - 1) / kDivergentThreads;
  card.launch("divergent", {.grid_x = blocks, .threads = kDivergentThreads}, from, to, kDivergentCount);
  card.synchronize();
  return card.download(to, kDivergentCount);
}

Words expected_divergent() {
  Words words = divergent_input();
  std::ranges::transform(words, words.begin(), divergent_value);
  return words;
}

Words run_overlap(const Card& card) {
  const CUdeviceptr weights = card.upload(random_words(kOverlapCount, 14, ~0U));
  const std::array buffers{card.upload(random_words(kOverlapCount, 15, ~0U)), card.allocate(kOverlapCount),
                           card.allocate(kOverlapCount)};
  for (unsigned i = 0; i < kOverlapKernels; ++i) {
    card.launch("overlap", {.grid_x = kOverlapBlocks, .threads = kOverlapThreads, .programmatic = true}, weights,
                buffers[i % 3], buffers[(i + 1) % 3], 37 + i);
  }
  card.synchronize();
  return card.download(buffers[kOverlapKernels % 3], kOverlapCount);
}

Words expected_overlap() {
  const Words weights = random_words(kOverlapCount, 14, ~0U);
  Words now = random_words(kOverlapCount, 15, ~0U);
  for (unsigned kernel = 0; kernel < kOverlapKernels; ++kernel) {
    const Words before = now;
    for (unsigned i = 0; i < kOverlapCount; ++i) {
      const unsigned block = i / kOverlapThreads;
      std::uint32_t weight = weights[block * kOverlapThreads + kOverlapThreads - 1 - i % kOverlapThreads];
      for (unsigned round = 0; round < 4 + block; ++round) weight = overlap_mix(weight);
      now[i] = before[(i + 37 + kernel) % kOverlapCount] * 3 + weight;
    }
  }
  return now;
}

Words run_pointer_array(const Card& card) {
  std::vector<PointerArrayItem> items;
  for (std::size_t i = 0; i < kMatrices.size(); ++i) {
    const CUdeviceptr data = card.upload(matrix_words(i));
    items.push_back({reinterpret_cast<const std::uint32_t*>(data),  // NOLINT(performance-no-int-to-ptr)
                     kMatrices[i].rows, kMatrices[i].columns});
  }
  const CUdeviceptr device_items = card.upload(items);
  const CUdeviceptr maps = card.allocate(kMatrices.size() * sizeof(CUtensorMap) / 4);
  const std::size_t count = kMatrices.size() * kWidest;
  const CUdeviceptr sums = card.zeros(count);
  // A template: the kernel puts in address and extents.
  const CUtensorMap pattern = card.tensor_map(CU_TENSOR_MAP_DATA_TYPE_UINT32, card.zeros(32), 32, 1, 32,
                                              kPointerArrayBox, CU_TENSOR_MAP_SWIZZLE_NONE);
  card.launch("pointer_array", {.grid_x = static_cast<unsigned>(kMatrices.size()), .threads = kPointerArrayThreads},
              pattern, device_items, maps, sums, kWidest);
  card.synchronize();
  return card.download(sums, count);
}

Words expected_pointer_array() {
  Words sums(kMatrices.size() * kWidest);
  for (std::size_t i = 0; i < kMatrices.size(); ++i) {
    const Words words = matrix_words(i);
    for (std::size_t at = 0; at < words.size(); ++at) sums[i * kWidest + at % kMatrices[i].columns] += words[at];
  }
  return sums;
}

}  // namespace moesaic::programs
