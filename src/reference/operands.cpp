#include "reference/operands.hpp"

#include <array>

#include "spec/formats.hpp"

namespace moesaic::reference {
namespace {

std::size_t pieces(int cols, int length) {
  return static_cast<std::size_t>((cols + length - 1) / length);
}

/// The values of all codes of a format.
template <float (*kDecode)(std::uint8_t)>
double value_of(std::uint8_t code) {
  static const auto kValues = [] {
    std::array<double, 256> values{};
    for (std::size_t i = 0; i < 256; ++i) values[i] = static_cast<double>(kDecode(static_cast<std::uint8_t>(i)));
    return values;
  }();
  return kValues[code];
}

double e4m3(std::uint8_t code) {
  return value_of<decode_e4m3>(code);
}

/// Element k of a row of e2m1, two in a byte, the even one in the low bits.
double e2m1(const std::uint8_t* row, int k) {
  return value_of<decode_e2m1>(static_cast<std::uint8_t>(row[k / 2] >> (k % 2 * 4) & 15));
}

/// out[k] = code(k) * scales[k / length] for the columns of a row.
template <typename Code, typename Scale>
void scaled_row(int cols, int length, const std::uint8_t* scales, double* out, const Code& code, const Scale& scale) {
  for (int k = 0; k < cols; ++k) out[k] = code(k) * scale(scales[k / length]);
}

double as_double(std::uint16_t bf16) {
  return static_cast<double>(decode_bf16(bf16));
}

}  // namespace

std::vector<double> weight_row(const Experts& w, int e, int n) {
  const std::size_t channel =
      static_cast<std::size_t>(e) * static_cast<std::size_t>(w.rows) + static_cast<std::size_t>(n);
  const std::uint8_t* codes = w.codes.data() + channel * w.row_bytes();
  std::vector<double> out(static_cast<std::size_t>(w.cols));
  switch (w.scheme.weights) {
    case WeightScheme::bf16:
      for (std::size_t k = 0; k < out.size(); ++k) {
        out[k] = as_double(static_cast<std::uint16_t>(codes[2 * k] | codes[2 * k + 1] << 8));
      }
      break;
    case WeightScheme::fp8_channel:
    case WeightScheme::fp8_block:
      for (std::size_t k = 0; k < out.size(); ++k) out[k] = e4m3(codes[k]);
      break;
    case WeightScheme::nvfp4:
      scaled_row(
          w.cols, kNvfp4Group, w.group_scales.data() + channel * pieces(w.cols, kNvfp4Group), out.data(),
          [&](int k) { return e2m1(codes, k); }, value_of<decode_ue4m3>);
      break;
    case WeightScheme::mxfp4:
      scaled_row(
          w.cols, kMxGroup, w.group_scales.data() + channel * pieces(w.cols, kMxGroup), out.data(),
          [&](int k) { return e2m1(codes, k); }, value_of<decode_ue8m0>);
      break;
  }
  return out;
}

double channel_scale(const Experts& w, int e, int n) {
  if (w.scheme.weights != WeightScheme::fp8_channel && w.scheme.weights != WeightScheme::nvfp4) return 1;
  return static_cast<double>(
      w.scales[static_cast<std::size_t>(e) * static_cast<std::size_t>(w.rows) + static_cast<std::size_t>(n)]);
}

double block_scale(const Experts& w, int e, int n, int k) {
  if (w.scheme.weights != WeightScheme::fp8_block) return 1;
  return static_cast<double>(w.scales[w.block_index(e, n, k)]);
}

std::vector<double> input_rows(InputScheme scheme, const Quantized& quantized, const std::vector<std::uint16_t>& values,
                               std::size_t rows, int cols) {
  const auto columns = static_cast<std::size_t>(cols);
  std::vector<double> out(rows * columns);
  for (std::size_t r = 0; r < rows; ++r) {
    double* row = out.data() + r * columns;
    const auto e4m3_at = [&](int k) { return e4m3(quantized.codes[r * columns + static_cast<std::size_t>(k)]); };
    switch (scheme) {
      case InputScheme::bf16:
        for (std::size_t k = 0; k < columns; ++k) row[k] = as_double(values[r * columns + k]);
        break;
      case InputScheme::fp8_static:
      case InputScheme::fp8_token:
      case InputScheme::fp8_group:
        for (int k = 0; k < cols; ++k) row[k] = e4m3_at(k);
        break;
      case InputScheme::nvfp4: {
        const std::uint8_t* codes = quantized.codes.data() + r * pieces(cols, 2);
        scaled_row(
            cols, kNvfp4Group, quantized.group_scales.data() + r * pieces(cols, kNvfp4Group), row,
            [&](int k) { return e2m1(codes, k); }, value_of<decode_ue4m3>);
        break;
      }
      case InputScheme::mxfp8:
        scaled_row(cols, kMxGroup, quantized.group_scales.data() + r * pieces(cols, kMxGroup), row, e4m3_at,
                   value_of<decode_ue8m0>);
        break;
    }
  }
  return out;
}

double row_scale(const Experts& w, const Quantized& quantized, std::size_t row, int expert) {
  switch (w.scheme.inputs) {
    case InputScheme::fp8_static:
    case InputScheme::fp8_token:
      return static_cast<double>(quantized.scales[row]);
    case InputScheme::nvfp4:
      return static_cast<double>(w.input_scales[static_cast<std::size_t>(expert)]);
    case InputScheme::bf16:
    case InputScheme::fp8_group:
    case InputScheme::mxfp8:
      return 1;
  }
  return 1;
}

double group_scale(const Experts& w, const Quantized& quantized, std::size_t row, int k) {
  if (w.scheme.inputs != InputScheme::fp8_group) return 1;
  return static_cast<double>(
      quantized.scales[row * pieces(w.cols, kBlockSide) + static_cast<std::size_t>(k / kBlockSide)]);
}

}  // namespace moesaic::reference
