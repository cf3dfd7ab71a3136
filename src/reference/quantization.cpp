#include "reference/quantization.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "reference/rounding.hpp"

namespace moesaic::reference {

int QuantizationRule::group_length(int cols) const {
  switch (scheme_) {
    case InputScheme::fp8_group:
      return kBlockSide;
    case InputScheme::nvfp4:
      return kNvfp4Group;
    case InputScheme::mxfp8:
      return kMxGroup;
    case InputScheme::bf16:
    case InputScheme::fp8_static:
    case InputScheme::fp8_token:
      return std::max(cols, 1);
  }
  return 1;
}

double QuantizationRule::scale(double largest) const {
  switch (scheme_) {
    case InputScheme::bf16:
      return 1;
    case InputScheme::fp8_static:
      return input_scale_;
    case InputScheme::fp8_token:
      return std::max(divide_f32(largest, 448), divide_f32(1, 448.0 * 512));
    case InputScheme::fp8_group:
      return divide_f32(std::max(largest, static_cast<double>(1e-10F)), 448);
    case InputScheme::nvfp4:
      return round_to_e4m3(multiply_f32(divide_f32(1, input_scale_), multiply_f32(largest, divide_f32(1, 6))));
    case InputScheme::mxfp8:
      return round_up_to_ue8m0(multiply_f32(largest, divide_f32(1, 448)));
  }
  return 1;
}

double QuantizationRule::quantize(double value, double scale) const {
  switch (scheme_) {
    case InputScheme::bf16:
      return value;
    case InputScheme::fp8_static:
      return round_to_e4m3(multiply_f32(value, divide_f32(1, scale)));
    case InputScheme::fp8_token:
    case InputScheme::fp8_group:
      return round_to_e4m3(divide_f32(value, scale));
    case InputScheme::nvfp4: {
      if (scale == 0) return std::copysign(0.0, value);
      const double global = divide_f32(1, input_scale_);
      return round_to_e2m1(multiply_f32(value, divide_f32(1, multiply_f32(scale, divide_f32(1, global)))));
    }
    case InputScheme::mxfp8:
      return round_to_e4m3(multiply_f32(value, 1 / scale));
  }
  return value;
}

double QuantizationRule::smallest_scale() const {
  return scheme_ == InputScheme::nvfp4 ? 0x1p-9 : scale(0);
}

QuantizedRanges quantize_ranges(InputScheme scheme, double input_scale, const std::vector<Range>& row) {
  if (scheme == InputScheme::bf16) return {row, 1};
  const QuantizationRule rule(scheme, input_scale);
  const auto length = static_cast<std::size_t>(rule.group_length(static_cast<int>(row.size())));
  QuantizedRanges out{{}, rule.factor()};
  for (std::size_t k0 = 0; k0 < row.size(); k0 += length) {
    const std::size_t end = std::min(k0 + length, row.size());
    double at_least = 0;
    double at_most = 0;
    for (std::size_t k = k0; k < end; ++k) {
      at_least = std::max(at_least, row[k].smallest());
      at_most = std::max(at_most, row[k].largest());
    }
    const Range scale{rule.scale(at_least), rule.scale(at_most)};
    // The largest codes belong to the smallest scale that is not 0.
    const double fine = scale.hi == 0 ? 0 : std::max(scale.lo, rule.smallest_scale());
    out.scale = std::max(out.scale, scale.hi * rule.factor());
    for (std::size_t k = k0; k < end; ++k) {
      const double lo = rule.quantize(row[k].lo, row[k].lo < 0 ? fine : scale.hi);
      const double hi = rule.quantize(row[k].hi, row[k].hi < 0 ? scale.hi : fine);
      out.values.push_back(
          {lo * (lo < 0 ? scale.hi : scale.lo) * rule.factor(), hi * (hi < 0 ? scale.lo : scale.hi) * rule.factor()});
    }
  }
  return out;
}

}  // namespace moesaic::reference
