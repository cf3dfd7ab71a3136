#include "checkpoint/synth_expert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "spec/formats.hpp"

namespace moesaic::checkpoint {
namespace {

/// Tokens that each expert is calibrated with.
constexpr std::uint64_t kCalibrationTokens = 2;

std::string part_name(int expert, std::string_view part) {
  return expert == kShared ? fmt::format("shared.{}", part) : fmt::format("{}.{}", expert, part);
}

double dot(const Matrix& weights, std::size_t row, const std::vector<float>& x) {
  double sum = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    sum += static_cast<double>(weights.values[row * x.size() + k]) * static_cast<double>(x[k]);
  }
  return sum;
}

/// A token as an expert sees it: Gemma 4's are normalized.
std::vector<float> calibration_token(const Synth& synth, std::uint64_t seed) {
  const Tokens token = make_tokens(1, synth.shape.hidden, seed);
  std::vector<float> x;
  double squares = 0;
  for (const std::uint16_t code : token.values) {
    x.push_back(decode_bf16(code));
    squares += static_cast<double>(x.back()) * static_cast<double>(x.back());
  }
  if (synth.family == Family::gemma4) {
    const auto rms = static_cast<float>(std::sqrt(squares / synth.shape.hidden));
    for (float& value : x) value /= rms;
  }
  return x;
}

void append_row(const Matrix& from, std::ptrdiff_t row, Matrix& to) {
  const auto begin = from.values.begin() + row * from.cols;
  to.values.insert(to.values.end(), begin, begin + from.cols);
}

void widen(Calibration& mine, const Calibration& other) {
  mine.weight = std::max(mine.weight, other.weight);
  mine.input = std::max(mine.input, other.input);
}

}  // namespace

Random stream(const Synth& synth, int layer, std::string_view part) {
  return Random(synth.seed, fmt::format("{}.{}", layer, part));
}

Expert make_expert(const Synth& synth, int layer, int expert) {
  const int hidden = synth.shape.hidden;
  const int width = expert == kShared ? synth.shape.shared_width : synth.shape.width;
  const auto make = [&](std::string_view projection, int rows, int cols) {
    return make_weights(stream(synth, layer, part_name(expert, projection)), rows, cols);
  };
  return {make("gate", width, hidden), make("up", width, hidden), make("down", hidden, width)};
}

Matrix make_bias(const Synth& synth, int layer, int expert, std::string_view projection) {
  const int size = projection == "down" ? synth.shape.hidden : synth.shape.width;
  return make_vector(stream(synth, layer, part_name(expert, fmt::format("{}.bias", projection))), size, 0, 0.1);
}

Matrix stack(const Matrix& gate, const Matrix& up) {
  Matrix result{2 * gate.rows, gate.cols, gate.values};
  result.values.insert(result.values.end(), up.values.begin(), up.values.end());
  return result;
}

Matrix interleave(const Matrix& gate, const Matrix& up) {
  Matrix result{2 * gate.rows, gate.cols, {}};
  result.values.reserve(2 * gate.values.size());
  for (std::ptrdiff_t row = 0; row < gate.rows; ++row) {
    append_row(gate, row, result);
    append_row(up, row, result);
  }
  return result;
}

void ExpertCalibration::widen(const ExpertCalibration& other) {
  checkpoint::widen(gate_up, other.gate_up);
  checkpoint::widen(down, other.down);
}

ExpertCalibration calibrate(const Synth& synth, const Expert& weights, int expert) {
  ExpertCalibration result;
  result.gate_up.weight = std::max(largest(weights.gate.values), largest(weights.up.values));
  result.down.weight = largest(weights.down.values);
  if (!is_calibrated(synth.scheme)) return result;
  for (std::uint64_t t = 0; t < kCalibrationTokens; ++t) {
    const auto seed = static_cast<std::uint64_t>(expert - kShared) * kCalibrationTokens + t;
    const std::vector<float> x = calibration_token(synth, seed);
    result.gate_up.input = std::max(result.gate_up.input, largest(x));
    for (std::size_t row = 0; row < static_cast<std::size_t>(weights.gate.rows); ++row) {
      const double gate = dot(weights.gate, row, x);
      const double h = gate * std::clamp((gate + 3) / 6, 0.0, 1.0) * dot(weights.up, row, x);
      result.down.input = std::max(result.down.input, static_cast<float>(std::abs(h)));
    }
  }
  return result;
}

}  // namespace moesaic::checkpoint
