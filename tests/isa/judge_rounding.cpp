#include <bit>
#include <cfenv>
#include <cmath>
#include <string_view>

#include "isa/judge.hpp"

// The host rounds: FE_DOWNWARD and its kin, with operands that the compiler cannot see through.
namespace moesaic::isa {
namespace {

constexpr std::uint32_t kNan = 0x7fffffff;

bool has(std::string_view name, std::string_view word) {
  return name.find(word) != std::string_view::npos;
}

struct Modifiers {
  int rounding = FE_TONEAREST;
  bool ftz = false;
  bool sat = false;
};

Modifiers modifiers_of(std::string_view name) {
  Modifiers mods;
  if (has(name, ".rz")) mods.rounding = FE_TOWARDZERO;
  if (has(name, ".rm")) mods.rounding = FE_DOWNWARD;
  if (has(name, ".rp")) mods.rounding = FE_UPWARD;
  mods.ftz = has(name, ".ftz");
  mods.sat = has(name, ".sat");
  return mods;
}

float flushed(float value, bool ftz) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return ftz && (bits & 0x7f800000U) == 0 ? std::bit_cast<float>(bits & 0x80000000U) : value;
}

enum class Operation { add, sub, mul, fma };

/// One operation as the host rounds it.
float rounded(Operation operation, int rounding, float a_value, float b_value, float c_value) {
  const volatile float a = a_value;
  const volatile float b = b_value;
  const volatile float c = c_value;
  volatile float result = 0;
  std::fesetround(rounding);
  if (operation == Operation::add) result = a + b;
  if (operation == Operation::sub) result = a - b;
  if (operation == Operation::mul) result = a * b;
  if (operation == Operation::fma) result = std::fma(a, b, c);
  std::fesetround(FE_TONEAREST);
  return result;
}

/// Whether a product or a sum with one that is rounded to the smallest normal number stays below it when all is 2^64
/// times as large, so that nothing is subnormal: then .ftz flushes it (an H200 says so of the scalar forms).
bool is_tiny(Operation operation, int rounding, float a, float b, float c) {
  if (operation != Operation::mul && operation != Operation::fma) return false;
  const float scale = 0x1p64F;
  const bool first = std::fabs(a) < std::fabs(b);
  const float scaled = rounded(operation, rounding, first ? a * scale : a, first ? b : b * scale, c * scale);
  return std::fabs(scaled) < 0x1p-62F;
}

/// One operation in the host's arithmetic.
std::uint32_t compute(Operation operation, const Modifiers& mods, float a_value, float b_value, float c_value) {
  const float a = flushed(a_value, mods.ftz);
  const float b = flushed(b_value, mods.ftz);
  const float c = flushed(c_value, mods.ftz);
  float value = flushed(rounded(operation, mods.rounding, a, b, c), mods.ftz);
  if (mods.ftz && std::fabs(value) == 0x1p-126F && is_tiny(operation, mods.rounding, a, b, c)) {
    value = std::copysign(0.0F, value);
  }
  if (mods.sat) return std::bit_cast<std::uint32_t>(value >= 1 ? 1.0F : value > 0 ? value : 0.0F);
  return std::isnan(value) ? kNan : std::bit_cast<std::uint32_t>(value);
}

Operation operation_of(std::string_view name) {
  if (name.starts_with("add")) return Operation::add;
  if (name.starts_with("sub")) return Operation::sub;
  return name.starts_with("mul") ? Operation::mul : Operation::fma;
}

float low(std::uint64_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
}

Judge judge_of_pairs(std::string_view name) {
  return [operation = operation_of(name), mods = modifiers_of(name)](const std::vector<std::uint64_t>& in,
                                                                     std::uint64_t result) {
    const std::uint64_t c = in.size() > 2 ? in[2] : 0;
    return static_cast<std::uint32_t>(result) == compute(operation, mods, low(in[0]), low(in[1]), low(c)) &&
           result >> 32 == compute(operation, mods, low(in[0] >> 32), low(in[1] >> 32), low(c >> 32));
  };
}

/// f16 by its fields, bf16 as the upper half of an f32.
float widened(std::uint64_t bits, bool is_bf16) {
  if (is_bf16) return low((bits & 0xffffU) << 16);
  const auto exponent = static_cast<int>((bits >> 10) & 31U);
  const auto fraction = static_cast<float>(bits & 1023U);
  float size = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31) size = fraction == 0 ? HUGE_VALF : std::nanf("");
  return (bits & 0x8000U) != 0 ? -size : size;
}

Judge judge_of_mixed(std::string_view name) {
  return [operation = operation_of(name), mods = modifiers_of(name), is_bf16 = name.ends_with("bf16")](
             const std::vector<std::uint64_t>& in, std::uint64_t result) {
    const float a = widened(in[0], is_bf16);
    if (operation != Operation::fma) return result == compute(operation, mods, a, low(in[1]), 0);
    return result == compute(operation, mods, a, widened(in[1], is_bf16), low(in[2]));
  };
}

/// Of three: the order of a NaN's absence, then of sign and magnitude, as integers.
Judge judge_of_three(std::string_view name) {
  const bool greater = name.starts_with("max");
  return [=, ftz = has(name, ".ftz"), with_nan = has(name, ".NaN"), abs = has(name, ".abs")](
             const std::vector<std::uint64_t>& in, std::uint64_t result) {
    bool found = false;
    std::int64_t best = 0;
    for (const std::uint64_t operand : in) {
      auto bits = std::bit_cast<std::uint32_t>(flushed(low(operand), ftz));
      if (abs) bits &= 0x7fffffffU;
      if ((bits & 0x7fffffffU) > 0x7f800000U) {
        if (with_nan) return result == kNan;
        continue;
      }
      const std::int64_t size = bits & 0x7fffffffU;
      const std::int64_t key = (bits >> 31) != 0 ? -1 - size : size;
      if (!found || (greater ? key > best : key < best)) best = key;
      found = true;
    }
    if (!found) return result == kNan;
    return result ==
           (best < 0 ? static_cast<std::uint64_t>(-1 - best) | 0x80000000U : static_cast<std::uint64_t>(best));
  };
}

}  // namespace

Judge judge_of_rounding(const emulator::Row& row) {
  const std::string_view name = row.name;
  if (name.ends_with(".f32x2")) return judge_of_pairs(name);
  if (name.ends_with(".f32.f16") || name.ends_with(".f32.bf16")) {
    return name.starts_with("cvt") || name.starts_with("set") ? Judge{} : judge_of_mixed(name);
  }
  const bool extreme = name.starts_with("min") || name.starts_with("max");
  return extreme && row.operands == "d s s s" ? judge_of_three(name) : Judge{};
}

}  // namespace moesaic::isa
