#pragma once

#include <cstdint>
#include <vector>

#include "reference/bounds.hpp"
#include "spec/scheme.hpp"

/// How inputs are quantized (layer.hpp, step 2), for values that are known and for values that are known as ranges.
namespace moesaic::reference {

/// The rule of one scheme: a group of values has a scale, and each value a code that means code * scale (* input_scale
/// for NVFP4). The scale never falls as the largest magnitude grows; a code's magnitude never falls as the value's
/// grows, nor as the scale shrinks (to a scale of 0 belong codes of 0).
class QuantizationRule {
 public:
  /// `input_scale`: of the row's expert, where the scheme has one.
  QuantizationRule(InputScheme scheme, double input_scale) : scheme_(scheme), input_scale_(input_scale) {}

  /// Values in a group of a row of `cols`.
  int group_length(int cols) const;
  /// The scale of a group with this largest magnitude.
  double scale(double largest) const;
  /// The value of the code of `value`, the sign of zero included.
  double quantize(double value, double scale) const;
  /// What a code of 1 means besides the group's scale.
  double factor() const { return scheme_ == InputScheme::nvfp4 ? input_scale_ : 1; }
  /// The smallest scale that is not 0.
  double smallest_scale() const;

 private:
  InputScheme scheme_;
  double input_scale_;
};

/// What a row may be quantized to, as values: code * scale * factor.
struct QuantizedRanges {
  std::vector<Range> values;
  double scale = 1;  ///< the largest f32 scale of the row, or a larger one
};

/// Quantizes a row of values that are known as ranges. The scale follows from the largest magnitude; a larger scale
/// makes each code smaller or leaves it, and so does a value nearer to zero.
QuantizedRanges quantize_ranges(InputScheme scheme, double input_scale, const std::vector<Range>& row);

}  // namespace moesaic::reference
