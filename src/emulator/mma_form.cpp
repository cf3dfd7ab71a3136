#include "emulator/mma_form.hpp"

#include <fmt/format.h>

#include <array>

namespace moesaic::emulator {
namespace {

using reference::Fp4Scales;
using reference::Half;
using reference::Integers;
using reference::Narrow;

constexpr std::array<const char*, 5> kNarrowNames{"e4m3", "e5m2", "e3m2", "e2m3", "e2m1"};  // by Narrow

using Forms = std::vector<MmaForm>;

/// `form` with its name; `types` are those of D, A, B and C with what follows them.
void add(Forms& forms, MmaForm form, const std::string& types, const char* kind = "", const char* clamp = "") {
  form.name = fmt::format("mma.sync.aligned{}.m{}n8k{}.row.col{}.{}", kind, form.m, form.k, clamp, types);
  forms.push_back(std::move(form));
}

void add_halves(Forms& forms) {
  for (const int k : {8, 16}) {
    add(forms, {.k = k}, "f32.f16.f16.f32");
    add(forms, {.k = k, .half = Half::kBf16}, "f32.bf16.bf16.f32");
    add(forms, {.arithmetic = MmaArithmetic::half_f16, .k = k}, "f16.f16.f16.f16");
  }
  for (const int k : {4, 8}) {
    add(forms, {.arithmetic = MmaArithmetic::tf32, .k = k, .code_bits = 32}, "f32.tf32.tf32.f32");
  }
}

void add_narrow(Forms& forms, Narrow a, Narrow b) {
  const std::string a_name = kNarrowNames[static_cast<std::size_t>(a)];
  const std::string b_name = kNarrowNames[static_cast<std::size_t>(b)];
  const auto sums = [&](const char* type) { return fmt::format("{0}.{1}.{2}.{0}", type, a_name, b_name); };
  MmaForm form{.arithmetic = MmaArithmetic::narrow, .code_bits = 8, .a = a, .b = b};
  MmaForm f16 = form;
  f16.arithmetic = MmaArithmetic::narrow_f16;
  if (a <= Narrow::kE5m2 && b <= Narrow::kE5m2) {
    for (const int k : {16, 32}) {
      form.k = f16.k = k;
      add(forms, form, sums("f32"));
      add(forms, f16, sums("f16"));
    }
  }
  form.k = f16.k = 32;
  form.only_sm120 = f16.only_sm120 = true;
  add(forms, form, sums("f32"), ".kind::f8f6f4");
  add(forms, f16, sums("f16"), ".kind::f8f6f4");
  form.arithmetic = MmaArithmetic::mxf8;
  form.scales = 1;
  for (const char* kind : {".kind::mxf8f6f4.block_scale", ".kind::mxf8f6f4.block_scale.scale_vec::1X"}) {
    add(forms, form, sums("f32") + ".ue8m0", kind);
  }
}

void add_fp4(Forms& forms) {
  MmaForm form{.arithmetic = MmaArithmetic::fp4, .k = 64, .code_bits = 4, .scales = 2, .only_sm120 = true};
  for (const char* kind : {".kind::mxf4.block_scale", ".kind::mxf4.block_scale.scale_vec::2X",
                           ".kind::mxf4nvf4.block_scale.scale_vec::2X"}) {
    add(forms, form, "f32.e2m1.e2m1.f32.ue8m0", kind);
  }
  form.scales = 4;
  form.scale_format = Fp4Scales::kFourUe4m3;
  add(forms, form, "f32.e2m1.e2m1.f32.ue4m3", ".kind::mxf4nvf4.block_scale.scale_vec::4X");
}

void add_integers(Forms& forms, int bits) {
  const std::array<std::pair<int, int>, 3> shapes{{{8, 128 / bits}, {16, 128 / bits}, {16, 256 / bits}}};
  for (const auto& [m, k] : shapes) {
    for (int kind = 0; kind < 8; ++kind) {
      const Integers how{bits, (kind & 1) == 0, (kind & 2) == 0, (kind & 4) != 0};
      const auto type = [&](bool is_signed) { return fmt::format("{}{}", is_signed ? 's' : 'u', bits); };
      add(forms, {.arithmetic = MmaArithmetic::integer, .m = m, .k = k, .code_bits = bits, .integers = how},
          fmt::format("s32.{}.{}.s32", type(how.a_signed), type(how.b_signed)), "", how.saturate ? ".satfinite" : "");
    }
  }
}

void add_exact(Forms& forms) {
  const auto f64 = [&](int m, int k) {
    add(forms, {.arithmetic = MmaArithmetic::f64, .m = m, .k = k, .code_bits = 64}, "f64.f64.f64.f64");
  };
  f64(8, 4);
  for (const int k : {4, 8, 16}) f64(16, k);
  add_integers(forms, 8);
  add_integers(forms, 4);
  for (const bool exclusive : {false, true}) {
    for (const auto& [m, k] : {std::pair{8, 128}, {16, 128}, {16, 256}}) {
      add(forms, {.arithmetic = MmaArithmetic::bits, .m = m, .k = k, .code_bits = 1, .exclusive = exclusive},
          fmt::format("s32.b1.b1.s32.{}.popc", exclusive ? "xor" : "and"));
    }
  }
}

}  // namespace

std::vector<std::string> MmaForm::operands() const {
  const std::string matrices = fmt::format("D{0} S{1} S{2} S{0}", sum_registers(), a_registers(), b_registers());
  if (scales == 0) return {matrices};
  return {matrices + " s S2 s S2", matrices + " S1 S2 S1 S2"};
}

const std::vector<MmaForm>& mma_forms() {
  static const Forms all = [] {
    Forms forms;
    add_halves(forms);
    for (int a = 0; a < 5; ++a) {
      for (int b = 0; b < 5; ++b) add_narrow(forms, static_cast<Narrow>(a), static_cast<Narrow>(b));
    }
    add_fp4(forms);
    add_exact(forms);
    return forms;
  }();
  return all;
}

}  // namespace moesaic::emulator
