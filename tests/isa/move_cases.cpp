#include <string>

#include "isa/isa_case.hpp"
#include "isa/register_case.hpp"

namespace moesaic::isa {
namespace {

constexpr unsigned kThreads = 64;

/// Moves between registers of thread-private words: %a0 to %a3 of 32 bits, %l0 and %l1 of 64, to %d0 and %e0.
class MoveCases {
 public:
  void add(const std::string& row, const std::string& statements, const std::string& suffix = {}) {
    const std::string registers =
        ".reg .pred %p, %q; .reg .b8 %c<8>; .reg .b16 %h<8>; .reg .b128 %x<2>; .reg .b64 %g<2>;\n"
        "mov.b32 %d0, 0;\nmov.b64 %e0, 0;\n";
    Random random(17);
    cases_.push_back(register_case(std::string("move") + std::to_string(cases_.size()), {row}, registers + statements,
                                   {{"a", 4, 32}, {"l", 2, 64}}, {{"d", 1, 32}, {"e", 1, 64}}, 1, kThreads,
                                   [&](const RegisterSet&, int, unsigned) { return random.next(); }));
    cases_.back().parts[0].name = row + suffix;
  }

  /// Likewise with a constant variable `words` and a parameter `data` to read from.
  void add_with_variables(const std::string& row, const std::string& statements) {
    add(row, statements);
    Random random(19);
    Case& made = cases_.back();
    std::string values;
    for (unsigned i = 0; i < 2 * kThreads; ++i) {
      values += (i == 0 ? "" : ", ") + std::to_string(random.word());
      made.data.push_back(random.word());
    }
    const std::string variable = "words_" + made.name;
    made.declarations =
        ".const .align 16 .b32 " + variable + "[" + std::to_string(2 * kThreads) + "] = {" + values + "};\n";
    made.body.replace(made.body.find("CONSTANT"), 8, variable);
  }

  std::vector<Case> take() { return std::move(cases_); }

 private:
  std::vector<Case> cases_;
};

void add_plain(MoveCases& cases) {
  for (const char* type : {"b16", "u16", "s16"}) {
    cases.add("mov." + std::string(type),
              "cvt.u16.u32 %h0, %a0;\nmov." + std::string(type) + " %h1, %h0;\ncvt.u32.u16 %d0, %h1;\n");
  }
  for (const char* type : {"b32", "u32", "s32", "f32"}) {
    cases.add("mov." + std::string(type), "mov." + std::string(type) + " %d0, %a0;\n");
  }
  for (const char* type : {"b64", "u64", "s64", "f64"}) {
    cases.add("mov." + std::string(type), "mov." + std::string(type) + " %e0, %l0;\n");
  }
  cases.add("mov.pred", "setp.lt.s32 %p, %a0, 0;\nmov.pred %q, %p;\nselp.b32 %d0, 1, 2, %q;\n");
  cases.add("mov.b128",
            "mov.b128 %x0, {%l0, %l1};\nmov.b128 %x1, %x0;\nmov.b128 {%g0, %g1}, %x1;\n"
            "sub.u64 %e0, %g1, %g0;\n");
}

/// Packing and unpacking, of the b and u spelling; ptxas knows only the b one for some.
void add_packed(MoveCases& cases) {
  cases.add("mov.b32", "cvt.u16.u32 %h0, %a0;\ncvt.u16.u32 %h1, %a1;\nmov.b32 %d0, {%h0, %h1};\n", " of 2");
  cases.add("mov.b32", "mov.b32 {%h0, %h1}, %a0;\nmov.b32 %d0, {%h1, %h0};\n", " to 2");
  cases.add("mov.b64", "mov.b64 %e0, {%a0, %a1};\n", " of 2");
  cases.add("mov.b64", "mov.b64 {%a0, %a1}, %l0;\nmov.b64 %e0, {%a1, %a0};\n", " to 2");
  cases.add("mov.b64", "mov.b64 {%h0, %h1, %h2, %h3}, %l0;\nmov.b64 %e0, {%h1, %h3, %h0, %h2};\n", " of and to 4");
  cases.add("mov.b16",
            "cvt.u16.u32 %h0, %a0;\nmov.b16 {%c0, %c1}, %h0;\nmov.b16 %h1, {%c1, %c0};\n"
            "cvt.u32.u16 %d0, %h1;\n",
            " of and to 2");
  cases.add("mov.b32", "mov.b32 {%c0, %c1, %c2, %c3}, %a0;\nmov.b32 %d0, {%c1, %c3, %c0, %c2};\n", " of and to 4");
}

/// Addresses differ from card to card; what is read through them does not.
void add_addresses(MoveCases& cases) {
  const std::string words =
      ".shared .align 16 .b8 cells[512]; .local .align 16 .b8 mine[16];\n"
      ".reg .b64 %shared, %local; .reg .b32 %t;\nmov.u32 %t, %tid.x;\nmov.b64 %shared, cells;\n"
      "mad.wide.u32 %shared, %t, 8, %shared;\nmov.b64 %local, mine;\n"
      "st.shared.b64 [%shared], %l0;\nst.local.b64 [%local], %l1;\n";
  cases.add("cvta.shared.u64", words + "cvta.shared.u64 %g0, %shared;\nld.b64 %e0, [%g0];\n");
  cases.add("cvta.local.u64", words + "cvta.local.u64 %g0, %local;\nld.b64 %e0, [%g0];\n");
  cases.add("cvta.global.u64", words + "cvta.global.u64 %g0, %in;\nld.b64 %e0, [%g0];\n");
  cases.add("cvta.to.shared.u64",
            words + "cvta.shared.u64 %g0, %shared;\ncvta.to.shared.u64 %g1, %g0;\nld.shared.b64 %e0, [%g1];\n");
  cases.add("cvta.to.local.u64",
            words + "cvta.local.u64 %g0, %local;\ncvta.to.local.u64 %g1, %g0;\nld.local.b64 %e0, [%g1];\n");
  cases.add("cvta.to.global.u64", words + "cvta.to.global.u64 %g1, %in;\nld.global.b64 %e0, [%g1];\n");
  const std::string at =
      ".reg .b64 %constant, %param; .reg .b32 %t;\nmov.u32 %t, %tid.x;\nmov.b64 %constant, CONSTANT;\n"
      "mad.wide.u32 %constant, %t, 8, %constant;\nmov.b64 %param, data;\n"
      "mad.wide.u32 %param, %t, 8, %param;\n";
  cases.add_with_variables("cvta.const.u64", at + "cvta.const.u64 %g0, %constant;\nld.b64 %e0, [%g0];\n");
  cases.add_with_variables("cvta.param.u64", at + "cvta.param.u64 %g0, %param;\nld.b64 %e0, [%g0];\n");
  cases.add_with_variables("cvta.to.const.u64", at + "cvta.const.u64 %g0, %constant;\ncvta.to.const.u64 %g1, %g0;\n"
                                                     "ld.const.b64 %e0, [%g1];\n");
  cases.add_with_variables("cvta.to.param.u64", at + "cvta.param.u64 %g0, %param;\ncvta.to.param.u64 %g1, %g0;\n"
                                                     "ld.param.b64 %e0, [%g1];\n");
  cases.add_with_variables("isspacep.param", at + "cvta.param.u64 %g0, %param;\nisspacep.param %p, %g0;\n"
                                                  "@%p or.b32 %d0, %d0, 1;\nisspacep.param %p, %in;\n"
                                                  "@%p or.b32 %d0, %d0, 2;\n");
  // Clusters of one block: the block's own memory.
  cases.add("mapa.shared.u32", words +
                                   ".reg .b32 %s, %m; cvt.u32.u64 %s, %shared;\n"
                                   "mapa.shared::cluster.u32 %m, %s, 0;\nld.shared::cluster.b64 %e0, [%m];\n");
  cases.add("mapa.shared.u64",
            words + "mapa.shared::cluster.u64 %g0, %shared, 0;\nld.shared::cluster.b64 %e0, [%g0];\n");
  const std::string generic = words + "cvta.shared.u64 %shared, %shared;\ncvta.local.u64 %local, %local;\n";
  for (const char* space : {"shared", "local", "global"}) {
    const std::string row = "isspacep." + std::string(space);
    std::string statements = generic;
    int bit = 1;
    for (const char* address : {"%shared", "%local", "%in"}) {
      statements += row + " %p, " + address + ";\n@%p or.b32 %d0, %d0, " + std::to_string(bit) + ";\n";
      bit *= 2;
    }
    cases.add(row, statements);
  }
}

}  // namespace

std::vector<Case> move_cases() {
  MoveCases cases;
  add_plain(cases);
  add_packed(cases);
  add_addresses(cases);
  return cases.take();
}

}  // namespace moesaic::isa
