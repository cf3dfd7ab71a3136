#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "spec/scheme.hpp"

namespace moesaic::checkpoint {

/// What one stored scale covers.
enum class Granularity : std::uint8_t { none, tensor, channel, block };

/// How a linear layer's matrix lies in a file, as data. Names are those of its tensors, after the module's name and a
/// dot; empty: there is no such tensor.
struct Format {
  std::string_view name{};    ///< for people: "FP8 dynamic"
  std::string_view origin{};  ///< the configuration's own name for it
  Scheme scheme{};
  std::string_view weight = "weight";
  std::string_view dtype = "BF16";  ///< of the weight; U8: two e2m1 in a byte
  Granularity scales = Granularity::none;
  std::string_view scale{};         ///< a float for each of what `scales` says
  std::string_view group_scale{};   ///< a byte for each group along a row
  std::string_view group_dtype{};   ///< F8_E4M3 or U8 (ue8m0)
  std::string_view global_scale{};  ///< one float for the matrix, or its reciprocal
  std::string_view input_scale{};   ///< one float for the activations, or its reciprocal
  bool reciprocal = false;          ///< global_scale and input_scale divide
};

inline constexpr std::string_view kFloatQuantized = "compressed-tensors float-quantized";
inline constexpr std::string_view kNvfp4Pack = "compressed-tensors nvfp4-pack-quantized";
inline constexpr std::string_view kFp8Method = "quant_method fp8";
inline constexpr std::string_view kModelOpt = "ModelOpt";
inline constexpr std::string_view kMxfp4Method = "quant_method mxfp4";

namespace detail {

constexpr Format fp8(std::string_view name, std::string_view origin, Granularity scales, InputScheme inputs) {
  Format format{.name = name, .origin = origin, .scheme = {WeightScheme::fp8_channel, inputs}, .dtype = "F8_E4M3"};
  format.scales = scales;
  format.scale = "weight_scale";
  if (has_static_scale(inputs)) format.input_scale = "input_scale";
  if (scales == Granularity::block) format.scheme.weights = WeightScheme::fp8_block;
  return format;
}

constexpr Format nvfp4(std::string_view name, std::string_view origin, InputScheme inputs) {
  Format format{.name = name, .origin = origin, .scheme = {WeightScheme::nvfp4, inputs}, .dtype = "U8"};
  format.reciprocal = origin == kNvfp4Pack;
  if (format.reciprocal) format.weight = "weight_packed";
  format.group_scale = "weight_scale";
  format.group_dtype = "F8_E4M3";
  format.global_scale = format.reciprocal ? "weight_global_scale" : "weight_scale_2";
  if (has_static_scale(inputs)) format.input_scale = format.reciprocal ? "input_global_scale" : "input_scale";
  return format;
}

constexpr Format block_fp8(std::string_view origin, std::string_view scale) {
  Format format = fp8("FP8 block", origin, Granularity::block, InputScheme::fp8_group);
  format.scale = scale;
  return format;
}

constexpr Format mxfp4() {
  Format format{.name = "MXFP4",
                .origin = kMxfp4Method,
                .scheme = {WeightScheme::mxfp4, InputScheme::bf16},
                .weight = "blocks",
                .dtype = "U8"};
  format.group_scale = "scales";
  format.group_dtype = "U8";
  return format;
}

}  // namespace detail

/// Every format that is read. The first is what is not quantized.
inline constexpr std::array kFormats{
    Format{.name = "bf16", .origin = "not quantized"},
    detail::fp8("FP8 dynamic", kFloatQuantized, Granularity::channel, InputScheme::fp8_token),
    detail::fp8("FP8 dynamic", kFloatQuantized, Granularity::tensor, InputScheme::fp8_token),
    detail::fp8("FP8 static", kFloatQuantized, Granularity::channel, InputScheme::fp8_static),
    detail::fp8("FP8 static", kFloatQuantized, Granularity::tensor, InputScheme::fp8_static),
    detail::block_fp8(kFloatQuantized, "weight_scale"),
    detail::nvfp4("NVFP4", kNvfp4Pack, InputScheme::nvfp4),
    detail::nvfp4("NVFP4 A16", kNvfp4Pack, InputScheme::bf16),
    detail::fp8("FP8 static", kFp8Method, Granularity::tensor, InputScheme::fp8_static),
    detail::block_fp8(kFp8Method, "weight_scale_inv"),
    detail::fp8("FP8 static", kModelOpt, Granularity::tensor, InputScheme::fp8_static),
    detail::nvfp4("NVFP4", kModelOpt, InputScheme::nvfp4),
    detail::nvfp4("NVFP4 A16", kModelOpt, InputScheme::bf16),
    detail::mxfp4(),
};
inline constexpr const Format& kPlainFormat = kFormats[0];

/// The format of that origin with those scales and activations; null when none is.
const Format* find_format(std::string_view origin, Granularity scales, InputScheme inputs);

/// "FP8 dynamic (compressed-tensors float-quantized): weights e4m3, a scale per output channel; activations e4m3, a
/// scale per token". `inputs`: the activations' scheme, where it may be chosen.
std::string describe(const Format& format, InputScheme inputs);

/// One name for each scheme, for JSON and options: "fp8_channel".
std::string_view name_of(WeightScheme scheme);
std::string_view name_of(InputScheme scheme);

}  // namespace moesaic::checkpoint
