// The programs that multiply matrices of bf16: gemm, store. Their operands are small integers and their sums are exact.

#include <bit>

#include "programs/programs.hpp"
#include "programs/sizes.hpp"

namespace moesaic::programs {
namespace {

constexpr int kM = 128;
constexpr int kN = 192;
constexpr int kK = 328;  // not a multiple of kGemmTileK: the last box of a row is partly outside

constexpr int kStoreTiles = 3;
constexpr int kStoredRows = 150;  // of 3 * 64

/// Integers of that size are bf16 values.
std::uint16_t bf16(int value) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> 16);
}

int gemm_a(int row, int k) {
  return (row * 7 + k * 13 + row * k) % 17 - 8;
}
int gemm_b(int row, int k) {
  return (row * 3 + k * 5 + row * k % 11) % 13 - 6;
}
int store_a(int row, int k) {
  return (row * 5 + k * 3) % 7 - 3;
}
int store_b(int column, int k) {
  return (column * 2 + k * 11) % 5 - 2;
}

template <typename Element>
std::vector<std::uint16_t> matrix(int rows, int columns, Element element) {
  std::vector<std::uint16_t> values;
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) values.push_back(bf16(element(row, column)));
  }
  return values;
}

}  // namespace

Words run_gemm(const Card& card) {
  const auto map = [&](const std::vector<std::uint16_t>& values, int rows) {
    return card.tensor_map(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, card.upload(values), kK, static_cast<std::uint64_t>(rows),
                           kGemmTileK, kGemmTile, CU_TENSOR_MAP_SWIZZLE_128B);
  };
  const CUtensorMap a = map(matrix(kM, kK, gemm_a), kM);
  const CUtensorMap b = map(matrix(kN, kK, gemm_b), kN);
  const CUdeviceptr c = card.allocate(kM * kN);
  card.launch("gemm",
              {.grid_x = kN / kGemmTile,
               .grid_y = kM / kGemmTile,
               .threads = kGemmThreads,
               .shared_bytes = kGemmStages * 2 * kGemmTile * kGemmTileK * sizeof(std::uint16_t)},
              a, b, c, kN, kK);
  card.synchronize();
  return card.download(c, kM * kN);
}

Words expected_gemm() {
  Words words;
  for (int row = 0; row < kM; ++row) {
    for (int column = 0; column < kN; ++column) {
      int sum = 0;
      for (int k = 0; k < kK; ++k) sum += gemm_a(row, k) * gemm_b(column, k);
      words.push_back(std::bit_cast<std::uint32_t>(static_cast<float>(sum)));
    }
  }
  return words;
}

Words run_store(const Card& card) {
  constexpr std::size_t kOutWords = kStoredRows * kStoreColumns / 2;
  const CUdeviceptr out = card.allocate(kOutWords);
  const CUdeviceptr tiles = card.zeros(kStoreColumns);
  const CUtensorMap map = card.tensor_map(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, out, kStoreColumns, kStoredRows,
                                          kStoreColumns, kStoreRows, CU_TENSOR_MAP_SWIZZLE_128B);
  card.launch("store", {.grid_x = kStoreTiles, .threads = kStoreThreads}, map, tiles);
  card.synchronize();
  Words words = card.download(out, kOutWords);
  const Words counts = card.download(tiles, kStoreColumns);
  words.insert(words.end(), counts.begin(), counts.end());
  return words;
}

Words expected_store() {
  const auto element = [](int row, int column) {
    int sum = 0;
    for (int k = 0; k < 16; ++k) sum += store_a(row, k) * store_b(column, k);
    return sum;
  };
  Words words;
  for (int row = 0; row < kStoredRows; ++row) {
    for (int column = 0; column < kStoreColumns; column += 2) {
      words.push_back(std::uint32_t{bf16(element(row, column))} | std::uint32_t{bf16(element(row, column + 1))} << 16);
    }
  }
  words.insert(words.end(), kStoreColumns, kStoreTiles);
  return words;
}

}  // namespace moesaic::programs
