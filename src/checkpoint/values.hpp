#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.hpp"

/// Numbers as files hold them, checked. `file` and the tensor name them in errors; `first` is the index, in the
/// tensor, of the first element given.
namespace moesaic::checkpoint {

/// Throws Error for a weight that is no finite number: e4m3's NaN, bf16's NaN and infinities. Packed e2m1 (U8) is
/// always one.
void require_weights(const std::string& file, const Tensor& tensor, std::uint64_t first,
                     std::span<const std::byte> bytes);

/// Throws Error for a scale code that is not a positive number: zero, a sign bit or NaN in F8_E4M3, NaN in U8 (ue8m0).
void require_group_scales(const std::string& file, const Tensor& tensor, std::uint64_t first,
                          std::span<const std::byte> bytes);

/// F32, BF16 or F16 as float, exactly. Throws Error for NaN and infinities.
std::vector<float> finite_floats(const std::string& file, const Tensor& tensor, std::uint64_t first,
                                 std::span<const std::byte> bytes);

/// The same for scales. Throws Error for what is not positive too.
std::vector<float> positive_floats(const std::string& file, const Tensor& tensor, std::uint64_t first,
                                   std::span<const std::byte> bytes);

/// Bytes of one element of BF16, F16, F32, F8_E4M3 or U8.
std::uint64_t element_bytes(std::string_view dtype);

}  // namespace moesaic::checkpoint
