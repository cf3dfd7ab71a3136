#include <algorithm>
#include <array>

#include "emulator/instruction.hpp"
#include "emulator/matrix_form.hpp"
#include "emulator/mma_form.hpp"
#include "isa/register_case.hpp"

/// mma.sync, ldmatrix, stmatrix and movmatrix as capability 9.0 has them.
namespace moesaic::isa {
namespace {

using emulator::MmaArithmetic;
using emulator::MmaForm;

constexpr unsigned kBlocks = 16;
constexpr unsigned kThreads = 128;

/// What operands of a multiply are made to show.
enum class Regime : std::uint8_t { any, moderate, finite, tiny, cancelling, sparse, huge, short_fractions };
constexpr unsigned kRegimes = 8;

/// A floating-point format by its fields; without exponent bits an integer.
struct Format {
  unsigned bits = 32;
  unsigned exponent_bits = 0;
  unsigned fraction_bits = 0;
};

std::uint64_t random_code(Random& random, const Format& f, Regime regime) {
  const std::uint64_t raw = random.next() >> (64 - f.bits);
  if (f.exponent_bits == 0) return raw;
  const std::uint64_t highest = (std::uint64_t{1} << f.exponent_bits) - 1;
  const std::uint64_t bias = highest / 2;
  std::uint64_t exponent = (raw >> f.fraction_bits) & highest;
  std::uint64_t fraction = raw & ((std::uint64_t{1} << f.fraction_bits) - 1);
  switch (regime) {
    case Regime::any:  // now and then Inf and NaN, so that most sums have none
      if (exponent == highest && random.below(32) != 0) exponent = 0;
      break;
    case Regime::moderate:
    case Regime::cancelling:
      exponent = bias - 2 + random.below(5);
      break;
    case Regime::short_fractions:
      exponent = bias - 2 + random.below(4);
      fraction &= fraction << random.below(f.fraction_bits);
      fraction &= (std::uint64_t{1} << f.fraction_bits) - 1;
      break;
    case Regime::tiny:
      exponent = random.below(3);
      break;
    case Regime::huge:
      exponent = highest - 1 - random.below(2);
      break;
    case Regime::sparse:
      if (random.below(4) != 0) exponent = fraction = 0;
      break;
    case Regime::finite:
      break;
  }
  if (regime != Regime::any && exponent == highest) exponent = highest - 1;
  return (raw >> (f.bits - 1)) << (f.bits - 1) | exponent << f.fraction_bits | fraction;
}

Format narrow_format(reference::Narrow type) {
  return type == reference::Narrow::kE4m3 ? Format{8, 4, 3} : Format{8, 5, 2};
}

/// Of A's codes; of B's with `b`.
Format code_format(const MmaForm& form, bool b) {
  switch (form.arithmetic) {
    case MmaArithmetic::half:
    case MmaArithmetic::half_f16:
      return form.half == reference::Half::kF16 ? Format{16, 5, 10} : Format{16, 8, 7};
    case MmaArithmetic::tf32:
      return {32, 8, 23};
    case MmaArithmetic::narrow:
    case MmaArithmetic::narrow_f16:
      return narrow_format(b ? form.b : form.a);
    case MmaArithmetic::f64:
      return {64, 11, 52};
    default:
      return {32, 0, 0};
  }
}

Format sum_format(const MmaForm& form) {
  if (form.f16_sums()) return {16, 5, 10};
  if (form.arithmetic == MmaArithmetic::f64) return {64, 11, 52};
  const bool whole = form.arithmetic == MmaArithmetic::integer || form.arithmetic == MmaArithmetic::bits;
  return whole ? Format{32, 0, 0} : Format{32, 8, 23};
}

/// C: of any size, near the products, zero, or where it clamps.
std::uint64_t random_sum(Random& random, const Format& f, Regime regime) {
  if (f.exponent_bits == 0) {
    const std::uint32_t near_limit = (random.below(2) == 0 ? 0x7fffffffU : 0x80000000U) ^ random.below(1U << 14);
    return random.below(2) == 0 ? near_limit : random.word();
  }
  const unsigned choice = random.below(4);
  if (choice == 0) return random.below(2) == 0 ? 0 : std::uint64_t{1} << (f.bits - 1);
  if (choice == 1) return random_code(random, f, Regime::finite);
  return random_code(random, f, choice == 2 ? Regime::moderate : regime);
}

/// As many codes as a register holds. Cancelling: neighbours along k of A differ in their signs, those of B are equal.
std::uint64_t random_register(Random& random, const Format& f, Regime regime, int bits, bool b) {
  std::uint64_t value = 0;
  std::uint64_t last = 0;
  for (unsigned i = 0; i * f.bits < static_cast<unsigned>(bits); ++i) {
    std::uint64_t code = random_code(random, f, regime);
    if (regime == Regime::cancelling && i % 2 == 1 && random.below(8) != 0) {
      code = b ? last : last ^ std::uint64_t{1} << (f.bits - 1);
    }
    value |= code << (i * f.bits);
    last = code;
  }
  return value;
}

Case mma_case(const MmaForm& form, std::size_t number) {
  const int bits = 8 * form.register_bytes();
  const RegisterSet d{"d", form.sum_registers(), bits};
  const RegisterSet a{"a", form.a_registers(), bits};
  const RegisterSet b{"b", form.b_registers(), bits};
  const RegisterSet c{"c", form.sum_registers(), bits};
  Random random(1000 + number);
  const auto value_of = [&](const RegisterSet& set, int, unsigned thread) {
    const auto regime = static_cast<Regime>(thread / 64 % kRegimes);
    if (set.prefix != "c")
      return random_register(random, code_format(form, set.prefix == "b"), regime, bits, set.prefix == "b");
    const Format f = sum_format(form);
    const std::uint64_t low = random_sum(random, f, regime);
    return f.bits == 16 ? random_sum(random, f, regime) << 16 | low : low;
  };
  const std::string statements =
      form.name + " " + braced(d) + ", " + braced(a) + ", " + braced(b) + ", " + braced(c) + ";\n";
  Case one = register_case("mma" + std::to_string(number), {form.name}, statements, {a, b, c}, {d}, kBlocks, kThreads,
                           value_of);
  one.parts[0].name = form.name;
  return one;
}

/// Rows of 16 bytes in shared memory whose order each warp has from the input; what is moved goes to the output.
Case memory_case(const emulator::Row& row, std::size_t number) {
  const emulator::MatrixForm& form = emulator::matrix_forms()[row.form];
  const RegisterSet values{"v", 4, 32};
  const RegisterSet data{"s", 4, 32};
  const RegisterSet places{"p", 1, 32};
  Random random(2000 + number);
  std::array<std::uint32_t, 32> order{};
  const auto value_of = [&](const RegisterSet& set, int, unsigned thread) -> std::uint64_t {
    if (set.prefix != "p") return random.word();
    if (thread % 32 == 0) {
      for (std::uint32_t i = 0; i < 32; ++i) order[i] = i;
      for (std::uint32_t i = 31; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
    }
    return order[thread % 32] * 16;
  };
  std::string text =
      ".shared .align 16 .b8 tile[512];\n.reg .b32 %base, %own, %address;\n.reg .b64 %generic;\n"
      "mov.u32 %base, tile;\nmov.u32 %own, %tid.x;\nshl.b32 %own, %own, 4;\nadd.u32 %own, %own, %base;\n"
      "st.shared.v4.b32 [%own], " +
      braced(data) +
      ";\nbar.warp.sync -1;\n"
      "add.u32 %address, %base, %p0;\ncvt.u64.u32 %generic, %address;\ncvta.shared.u64 %generic, %generic;\n";
  const bool is_shared = row.name.find(".shared") != std::string::npos;
  const std::string address = is_shared ? "[%address]" : "[%generic]";
  RegisterSet moved{form.stores ? "v" : "r", form.registers, 32};
  if (form.stores) {
    text += row.name + " " + address + ", " + braced(moved) + ";\nbar.warp.sync -1;\n";
  } else {
    text += ".reg .b32 %r<4>;\n" + row.name + " " + braced(moved) + ", " + address + ";\n";
    for (int i = 0; i < form.registers; ++i) {
      text += "mov.b32 %v" + std::to_string(i) + ", %r" + std::to_string(i) + ";\n";
    }
  }
  text += "ld.shared.v4.b32 {%o0, %o1, %o2, %o3}, [%own];\n";
  for (int i = 0; i < 4; ++i) text += "mov.b32 %o" + std::to_string(4 + i) + ", %v" + std::to_string(i) + ";\n";
  Case one = register_case("matrix" + std::to_string(number), {row.name}, text, {values, data, places}, {{"o", 8, 32}},
                           8, 32, value_of);
  one.parts[0].name = row.name;
  return one;
}

Case movmatrix_case() {
  const std::string name = "movmatrix.sync.aligned.m8n8.trans.b16";
  Random random(3000);
  Case one = register_case("movmatrix", {name}, name + " %d0, %s0;\n", {{"s", 1, 32}}, {{"d", 1, 32}}, 2, 64,
                           [&](const RegisterSet&, int, unsigned) { return random.word(); });
  one.parts[0].name = name;
  return one;
}

}  // namespace

std::vector<Case> matrix_cases() {
  std::vector<Case> cases;
  for (std::size_t i = 0; i < emulator::mma_forms().size(); ++i) {
    if (!emulator::mma_forms()[i].only_sm120) cases.push_back(mma_case(emulator::mma_forms()[i], i));
  }
  for (const emulator::Row& row : emulator::InstructionTable::get().rows()) {
    const bool moves = row.name.starts_with("ldmatrix") || row.name.starts_with("stmatrix");
    if (moves && !emulator::matrix_forms()[row.form].only_sm120) cases.push_back(memory_case(row, cases.size()));
  }
  cases.push_back(movmatrix_case());
  return cases;
}

}  // namespace moesaic::isa
