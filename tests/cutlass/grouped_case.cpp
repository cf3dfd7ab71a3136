#include "cutlass/grouped_case.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <numeric>
#include <utility>

#include "random_operands.hpp"
#include "reference/bounds.hpp"
#include "reference/gemm.hpp"
#include "reference/tensor_core.hpp"
#include "spec/formats.hpp"

namespace moesaic::test {
namespace {

constexpr int kStep = 32;  // k of one multiply
constexpr int kBlockRows = 16;
constexpr int kBlockColumns = 8;

struct Rounding {
  double unit;      ///< relative error of one rounding
  double smallest;  ///< distance of the smallest subnormals
};

Rounding rounding_of(OutFormat format) {
  switch (format) {
    case OutFormat::bf16:
      return {0x1p-8, 0x1p-133};
    case OutFormat::f16:
      return {0x1p-11, 0x1p-24};
    default:
      return {0, 0};
  }
}

int bytes_of(OutFormat format) {
  return format == OutFormat::f32 ? 4 : 2;
}

std::uint32_t bits_at(const void* out, OutFormat format, std::size_t index) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, static_cast<const char*>(out) + index * bytes_of(format), bytes_of(format));
  return bits;
}

double value_of(std::uint32_t bits, OutFormat format) {
  switch (format) {
    case OutFormat::bf16:
      return decode_bf16(static_cast<std::uint16_t>(bits));
    case OutFormat::f16:
      return decode_f16(static_cast<std::uint16_t>(bits));
    default:
      return std::bit_cast<float>(bits);
  }
}

std::uint32_t encode(float value, OutFormat format) {
  switch (format) {
    case OutFormat::bf16:
      return encode_bf16(value);
    case OutFormat::f16:
      return encode_f16(value);
    default:
      return std::bit_cast<std::uint32_t>(value);
  }
}

float a_scale(const GroupedCase& grouped, int row) {
  return grouped.a_scales[grouped.per_token ? row : 0];
}
float b_scale(const GroupedCase& grouped, int expert, int channel) {
  return grouped.b_scales[grouped.per_channel ? expert * grouped.n + channel : expert];
}
float bias_of(const GroupedCase& grouped, int expert, int channel) {
  return grouped.biased ? grouped.bias[expert * grouped.n + channel] : 0;
}

/// Calls each(expert, first row, rows) for every expert that has rows.
void for_each_expert(const GroupedCase& grouped, const std::function<void(int, int, int)>& each) {
  int row0 = 0;
  for (int expert = 0; expert < grouped.experts(); ++expert) {
    if (grouped.rows[expert] > 0) each(expert, row0, grouped.rows[expert]);
    row0 += grouped.rows[expert];
  }
}

std::string line(const char* what, int expert, int row, int channel, double got, double want, double bound) {
  char text[160];
  std::snprintf(text, sizeof text, "%s: expert %d row %d channel %d: got %.9g, want %.9g, bound %.3g", what, expert,
                row, channel, got, want, bound);
  return text;
}

}  // namespace

int GroupedCase::all_rows() const {
  return std::accumulate(rows.begin(), rows.end(), 0);
}

GroupedCase grouped_case(std::vector<int> rows, int n, int k, bool per_token, bool per_channel, bool biased,
                         std::uint64_t seed, TokenFormat a_format) {
  GroupedCase made{std::move(rows), n, k, per_token, per_channel, biased, a_format, {}, {}, {}, {}, {}};
  Random random(seed);
  const auto codes = [&](std::size_t count) {
    std::vector<std::uint8_t> filled(count);
    for (std::uint8_t& code : filled) code = random_code(random);
    return filled;
  };
  const auto scales = [&](std::size_t count) {
    std::vector<float> filled(count);
    for (float& scale : filled) scale = (0.5F + std::abs(random.uniform())) * 1e-2F;
    return filled;
  };
  const std::size_t experts = made.rows.size();
  made.a = codes(static_cast<std::size_t>(made.all_rows()) * k);
  if (a_format == TokenFormat::e5m2) {
    for (std::uint8_t& code : made.a) code &= 0xbfU;  // finite in e5m2 too
  }
  made.b = codes(experts * n * k);
  made.a_scales = scales(per_token ? made.all_rows() : 1);
  made.b_scales = scales(per_channel ? experts * n : experts);
  if (biased) {
    made.bias.resize(experts * n);
    for (float& value : made.bias) value = random.tailed();
  }
  return made;
}

std::vector<GroupedCase> tile_cases(bool biased, TokenFormat a_format) {
  std::vector<GroupedCase> cases;
  for (const bool vectors : {true, false}) {
    cases.push_back(grouped_case({0, 1, 7, 128, 129}, 144, 272, vectors, vectors, biased, 7, a_format));
  }
  return cases;
}

std::string judge(const GroupedCase& grouped, const void* out, OutFormat format) {
  const Rounding rounding = rounding_of(format);
  const auto decoded = [](const std::vector<std::uint8_t>& codes, TokenFormat as) {
    std::vector<double> values;
    values.reserve(codes.size());
    for (const std::uint8_t code : codes) {
      values.push_back(as == TokenFormat::e4m3 ? decode_e4m3(code) : decode_e5m2(code));
    }
    return values;
  };
  const std::vector<double> a = decoded(grouped.a, grouped.a_format);
  const std::vector<double> b = decoded(grouped.b, TokenFormat::e4m3);
  std::string worst;
  double worst_ratio = 1;
  for_each_expert(grouped, [&](int expert, int row0, int rows) {
    for (int row = row0; row < row0 + rows; ++row) {
      for (int channel = 0; channel < grouped.n; ++channel) {
        const double* x = &a[static_cast<std::size_t>(row) * grouped.k];
        const double* w = &b[(static_cast<std::size_t>(expert) * grouped.n + channel) * grouped.k];
        reference::SumBound sum;
        for (int k0 = 0; k0 < grouped.k; k0 += kStep) {
          const auto [value, size] = reference::dot(x, w, k0, std::min(k0 + kStep, grouped.k));
          sum.step(value, size);
        }
        const reference::Bounded want = biased(
            reference::scaled(sum.value(), sum.error(), b_scale(grouped, expert, channel), a_scale(grouped, row)),
            bias_of(grouped, expert, channel));
        const double bound = want.bound + rounding.unit * (std::abs(want.value) + want.bound) + rounding.smallest / 2;
        const double got = value_of(bits_at(out, format, static_cast<std::size_t>(row) * grouped.n + channel), format);
        const double error = std::abs(got - want.value);
        if (!(error <= bound) && !(error / bound <= worst_ratio)) {
          worst_ratio = std::isnan(error) ? HUGE_VAL : error / bound;
          worst = line("outside its bound", expert, row - row0, channel, got, want.value, bound);
        }
      }
    }
  });
  return worst;
}

std::string judge_bits(const GroupedCase& grouped, const void* out, OutFormat format) {
  std::string first;
  const int steps = (grouped.k + kStep - 1) / kStep;
  for_each_expert(grouped, [&](int expert, int row0, int rows) {
    for (int r0 = 0; r0 < rows; r0 += kBlockRows) {
      for (int c0 = 0; c0 < grouped.n; c0 += kBlockColumns) {
        std::array<float, kBlockRows * kBlockColumns> sums{};
        for (int step = 0; step < steps; ++step) {
          std::array<std::uint8_t, kBlockRows * kStep> x{};
          std::array<std::uint8_t, kBlockColumns * kStep> w{};
          for (int k = step * kStep; k < std::min((step + 1) * kStep, grouped.k); ++k) {
            for (int r = 0; r < kBlockRows && r0 + r < rows; ++r) {
              x[r * kStep + k % kStep] = grouped.a[static_cast<std::size_t>(row0 + r0 + r) * grouped.k + k];
            }
            for (int c = 0; c < kBlockColumns && c0 + c < grouped.n; ++c) {
              w[c * kStep + k % kStep] =
                  grouped.b[(static_cast<std::size_t>(expert) * grouped.n + c0 + c) * grouped.k + k];
            }
          }
          using reference::Narrow;
          reference::mma_narrow_sm120(grouped.a_format == TokenFormat::e4m3 ? Narrow::kE4m3 : Narrow::kE5m2,
                                      Narrow::kE4m3, kStep, x.data(), w.data(), sums.data(), sums.data());
        }
        for (int r = 0; r < kBlockRows && r0 + r < rows; ++r) {
          for (int c = 0; c < kBlockColumns && c0 + c < grouped.n; ++c) {
            const int row = row0 + r0 + r;
            float value = sums[r * kBlockColumns + c] * b_scale(grouped, expert, c0 + c);
            value = value * a_scale(grouped, row);
            if (grouped.biased) value = value + bias_of(grouped, expert, c0 + c);
            const std::uint32_t want = encode(value, format);
            const std::uint32_t got = bits_at(out, format, static_cast<std::size_t>(row) * grouped.n + c0 + c);
            if (got != want && first.empty()) {
              first = line("other bits", expert, r0 + r, c0 + c, value_of(got, format), value_of(want, format), 0);
            }
          }
        }
      }
    }
  });
  return first;
}

}  // namespace moesaic::test
