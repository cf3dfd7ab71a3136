#include "checkpoint/values.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "spec/error.hpp"
#include "spec/formats.hpp"

namespace moesaic::checkpoint {
namespace {

/// "[1, 20]": where an element of a tensor stands.
std::string position(const Tensor& tensor, std::uint64_t index) {
  std::vector<std::uint64_t> at(tensor.shape.size());
  for (std::size_t d = at.size(); d > 0; --d) {
    at[d - 1] = index % tensor.shape[d - 1];
    index /= tensor.shape[d - 1];
  }
  return fmt::format("[{}]", fmt::join(at, ", "));
}

template <class T>
std::vector<T> copied(std::span<const std::byte> bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

/// The index of the first 16-bit element whose exponent bits are all ones; -1 when there is none.
std::ptrdiff_t first_infinite(std::span<const std::byte> bytes) {
  constexpr std::size_t kChunk = 4096;
  std::uint16_t chunk[kChunk];
  for (std::size_t begin = 0; begin < bytes.size(); begin += sizeof chunk) {
    const std::size_t size = std::min(sizeof chunk, bytes.size() - begin);
    std::memcpy(chunk, bytes.data() + begin, size);
    const std::span codes(chunk, size / 2);
    const auto bad = std::ranges::find_if(codes, [](std::uint16_t code) { return (code & 0x7f80U) == 0x7f80U; });
    if (bad != codes.end()) return static_cast<std::ptrdiff_t>(begin / 2) + (bad - codes.begin());
  }
  return -1;
}

std::vector<float> to_floats(std::string_view dtype, std::span<const std::byte> bytes) {
  if (dtype == "F32") return copied<float>(bytes);
  const auto codes = copied<std::uint16_t>(bytes);
  std::vector<float> values(codes.size());
  std::ranges::transform(codes, values.begin(), dtype == "F16" ? decode_f16 : decode_bf16);
  return values;
}

}  // namespace

std::uint64_t element_bytes(std::string_view dtype) {
  if (dtype == "F32") return 4;
  return dtype == "BF16" || dtype == "F16" ? 2 : 1;
}

void require_weights(const std::string& file, const Tensor& tensor, std::uint64_t first,
                     std::span<const std::byte> bytes) {
  std::ptrdiff_t bad = -1;
  if (tensor.dtype == "BF16") {
    bad = first_infinite(bytes);
  } else if (tensor.dtype == "F8_E4M3") {
    const auto nan = std::ranges::find_if(bytes, [](std::byte b) { return (b & std::byte{0x7f}) == std::byte{0x7f}; });
    if (nan != bytes.end()) bad = nan - bytes.begin();
  }
  if (bad < 0) return;
  throw Error(fmt::format("{}: {} is {} at {}; weights must be numbers", file, tensor.name,
                          tensor.dtype == "BF16" ? "NaN or infinite" : "NaN",
                          position(tensor, first + static_cast<std::uint64_t>(bad))));
}

void require_group_scales(const std::string& file, const Tensor& tensor, std::uint64_t first,
                          std::span<const std::byte> bytes) {
  const bool e4m3 = tensor.dtype == "F8_E4M3";
  const auto wrong = [&](std::byte b) {
    const auto code = static_cast<unsigned>(b);
    return e4m3 ? code == 0 || code >= 0x7f : code == 0xff;
  };
  const auto bad = std::ranges::find_if(bytes, wrong);
  if (bad == bytes.end()) return;
  const auto code = static_cast<std::uint8_t>(*bad);
  const std::string value = e4m3 ? fmt::format("{}", decode_e4m3(code)) : std::string("NaN (0xff)");
  throw Error(fmt::format("{}: {} is {} at {}; scales must be positive and finite", file, tensor.name, value,
                          position(tensor, first + static_cast<std::uint64_t>(bad - bytes.begin()))));
}

std::vector<float> finite_floats(const std::string& file, const Tensor& tensor, std::uint64_t first,
                                 std::span<const std::byte> bytes) {
  std::vector<float> values = to_floats(tensor.dtype, bytes);
  const auto bad = std::ranges::find_if(values, [](float v) { return !std::isfinite(v); });
  if (bad != values.end()) {
    throw Error(fmt::format("{}: {} is {} at {}; must be finite", file, tensor.name, *bad,
                            position(tensor, first + static_cast<std::uint64_t>(bad - values.begin()))));
  }
  return values;
}

std::vector<float> positive_floats(const std::string& file, const Tensor& tensor, std::uint64_t first,
                                   std::span<const std::byte> bytes) {
  std::vector<float> values = to_floats(tensor.dtype, bytes);
  const auto bad = std::ranges::find_if(values, [](float v) { return !(v > 0) || !std::isfinite(v); });
  if (bad != values.end()) {
    throw Error(fmt::format("{}: {} is {} at {}; scales must be positive and finite", file, tensor.name, *bad,
                            position(tensor, first + static_cast<std::uint64_t>(bad - values.begin()))));
  }
  return values;
}

}  // namespace moesaic::checkpoint
