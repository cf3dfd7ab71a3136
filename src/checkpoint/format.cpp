#include "checkpoint/format.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace moesaic::checkpoint {
namespace {

std::string_view weights_words(const Format& format) {
  switch (format.scheme.weights) {
    case WeightScheme::bf16:
      return "bf16";
    case WeightScheme::fp8_channel:
      return format.scales == Granularity::tensor ? "e4m3, a scale per matrix" : "e4m3, a scale per output channel";
    case WeightScheme::fp8_block:
      return "e4m3, a scale per 128 x 128 block";
    case WeightScheme::nvfp4:
      return "e2m1, an e4m3 scale per 16 and one per matrix";
    case WeightScheme::mxfp4:
      return "e2m1, a power of two per 32";
  }
  return "";
}

std::string_view inputs_words(InputScheme inputs) {
  switch (inputs) {
    case InputScheme::bf16:
      return "bf16";
    case InputScheme::fp8_static:
      return "e4m3, a fixed scale";
    case InputScheme::fp8_token:
      return "e4m3, a scale per token";
    case InputScheme::fp8_group:
      return "e4m3, a scale per 128 of a token";
    case InputScheme::nvfp4:
      return "e2m1, an e4m3 scale per 16 and a fixed one";
    case InputScheme::mxfp8:
      return "e4m3, a power of two per 32";
  }
  return "";
}

}  // namespace

const Format* find_format(std::string_view origin, Granularity scales, InputScheme inputs) {
  const auto* found = std::ranges::find_if(kFormats, [&](const Format& format) {
    return format.origin == origin && format.scales == scales && format.scheme.inputs == inputs;
  });
  return found == kFormats.end() ? nullptr : found;
}

std::string describe(const Format& format, InputScheme inputs) {
  return fmt::format("{} ({}): weights {}; activations {}", format.name, format.origin, weights_words(format),
                     inputs_words(inputs));
}

std::string_view name_of(WeightScheme scheme) {
  constexpr std::array<std::string_view, 5> kNames{"bf16", "fp8_channel", "fp8_block", "nvfp4", "mxfp4"};
  return kNames.at(static_cast<std::size_t>(scheme));
}

std::string_view name_of(InputScheme scheme) {
  constexpr std::array<std::string_view, 6> kNames{"bf16", "fp8_static", "fp8_token", "fp8_group", "nvfp4", "mxfp8"};
  return kNames.at(static_cast<std::size_t>(scheme));
}

}  // namespace moesaic::checkpoint
