#include "checkpoint/synth_weights.hpp"

#include <cmath>

#include "spec/formats.hpp"

namespace moesaic::checkpoint {
namespace {

float through_bf16(double value) {
  return decode_bf16(encode_bf16(static_cast<float>(value)));
}

std::size_t elements(int rows, int cols) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
}

}  // namespace

Random::Random(std::uint64_t seed, std::string_view name) : SplitMix64(seed) {
  for (const char c : name) *this = Random(next() ^ static_cast<unsigned char>(c));
}

double Random::uniform() {
  return static_cast<double>(next() >> 11) * 0x1p-53;
}

double Random::normal() {
  const std::uint64_t bits = next();
  const std::uint64_t sum =
      (bits & 0xffffU) + ((bits >> 16) & 0xffffU) + ((bits >> 32) & 0xffffU) + ((bits >> 48) & 0xffffU);
  return (static_cast<double>(sum) - 2 * 65535.0) * 0x1p-16 * 1.7320508075688772;
}

double Random::heavy() {
  const double value = normal();
  return next() % 32 == 0 ? value * (2 + 4 * uniform()) : value;
}

std::vector<Channel> channels(int hidden) {
  Random random(static_cast<std::uint64_t>(hidden), "channels");
  std::vector<Channel> result(static_cast<std::size_t>(hidden));
  for (Channel& channel : result) {
    channel.gain = random.next() % 64 == 0 ? 8 + 8 * random.uniform() : 1;
    channel.mean = random.normal();
  }
  return result;
}

Matrix make_weights(Random random, int rows, int cols) {
  const double base = 1 / std::sqrt(static_cast<double>(cols));
  std::vector<double> column_gain(static_cast<std::size_t>(cols), base);
  for (double& gain : column_gain) {
    if (random.next() % 64 == 0) gain *= 2 + 4 * random.uniform();
  }
  Matrix result{rows, cols, {}};
  result.values.reserve(elements(rows, cols));
  for (int row = 0; row < rows; ++row) {
    const double u = random.uniform();
    const double row_gain = 0.25 + 1.75 * u * u;
    for (const double gain : column_gain) result.values.push_back(through_bf16(random.heavy() * row_gain * gain));
  }
  return result;
}

Matrix make_router(Random random, int experts, int hidden, bool normalized) {
  const std::vector<Channel> common = channels(hidden);
  double scale = 1;
  if (normalized) {
    double squares = 0;
    for (const Channel& channel : common) squares += channel.gain * channel.gain * (1 + channel.mean * channel.mean);
    scale = std::sqrt(squares);  // rms(x) * hidden^1/2, about
  }
  Matrix result{experts, hidden, {}};
  result.values.reserve(elements(experts, hidden));
  for (int e = 0; e < experts; ++e) {
    const double popularity = random.normal();
    for (const Channel& channel : common) {
      const double toward_mean = popularity * channel.mean / hidden;
      const double weight = toward_mean + 1.5 * random.normal() / std::sqrt(static_cast<double>(hidden));
      result.values.push_back(through_bf16(scale * weight / channel.gain));
    }
  }
  return result;
}

Matrix make_vector(Random random, int size, double mean, double deviation) {
  Matrix result{1, size, {}};
  for (int i = 0; i < size; ++i) result.values.push_back(through_bf16(mean + deviation * random.normal()));
  return result;
}

}  // namespace moesaic::checkpoint
