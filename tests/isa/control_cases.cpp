#include <string>
#include <utility>

#include "isa/isa_case.hpp"
#include "isa/register_case.hpp"

namespace moesaic::isa {
namespace {

constexpr unsigned kThreads = 64;

/// A kernel over a word %a0 of each thread, which gives %d0. %p and %n are free.
Case control_case(const std::string& name, const std::vector<std::string>& rows, const std::string& statements,
                  const std::string& declarations = {}) {
  Random random(29);
  Case made = register_case("control_" + name, rows, ".reg .pred %p; .reg .b32 %n, %m; .reg .b64 %f;\n" + statements,
                            {{"a", 1, 32}}, {{"d", 1, 32}}, 1, kThreads,
                            [&](const RegisterSet&, int, unsigned) { return random.next(); });
  made.declarations = declarations;
  made.parts[0].name = "control " + name;
  return made;
}

/// call (%d0), callee, (%a0).
std::string call_of(const std::string& callee, const std::string& prototype = {}) {
  return "{ .param .b32 x; .param .b32 r; st.param.b32 [x], %a0; call (r), " + callee + ", (x)" + prototype +
         "; ld.param.b32 %d0, [r]; }\n";
}

/// The sum of the digits of a number below 4^8 in base 4, by recursion; and a function that mixes bits.
constexpr const char* kFunctions = R"(
.func (.param .b32 r) control_digits(.param .b32 x) {
 .reg .pred %p; .reg .b32 %r<5>;
 ld.param.b32 %r1, [x]; and.b32 %r2, %r1, 3; setp.lt.u32 %p, %r1, 4; @%p bra LAST; shr.u32 %r3, %r1, 2;
 { .param .b32 a; .param .b32 b; st.param.b32 [a], %r3; call (b), control_digits, (a); ld.param.b32 %r4, [b]; }
 mad.lo.u32 %r2, %r4, 5, %r2;
LAST: st.param.b32 [r], %r2; ret;
}
.func (.param .b32 r) control_mixed(.param .b32 x) {
 .reg .b32 %r<3>; ld.param.b32 %r1, [x]; xor.b32 %r2, %r1, 0x55aa33cc; mul.lo.u32 %r2, %r2, 2654435761;
 st.param.b32 [r], %r2; ret;
}
)";

}  // namespace

std::vector<Case> control_cases() {
  std::vector<Case> cases;
  cases.push_back(control_case("bra", {"bra"},
                               "mov.b32 %d0, 0; and.b32 %n, %a0, 15;\n"
                               "LOOP: setp.eq.u32 %p, %n, 0; @%p bra DONE;\n"
                               "mad.lo.u32 %d0, %d0, 3, %n; sub.u32 %n, %n, 1; bra LOOP;\nDONE:\n"));
  for (const char* leave : {"exit", "ret"}) {
    cases.push_back(control_case(leave, {leave},
                                 "mov.b32 %d0, %a0; and.b32 %n, %a0, 3; setp.eq.u32 %p, %n, 0; @%p " +
                                     std::string(leave) + ";\nadd.u32 %d0, %d0, 1;\n"));
  }
  cases.push_back(
      control_case("brx", {"brx.idx"},
                   "and.b32 %n, %a0, 3; table: .branchtargets A, B, C, B; brx.idx %n, table;\n"
                   "A: mov.b32 %d0, 11; bra END;\nB: mov.b32 %d0, 22; bra END;\nC: mov.b32 %d0, 33;\nEND:\n"));
  cases.push_back(
      control_case("call", {"call", "ret"}, "and.b32 %a0, %a0, 0xffff;\n" + call_of("control_digits"), kFunctions));
  // The only block of its cluster has rank 0, and an address mapped to that rank is the same word.
  cases.push_back(control_case("ranks",
                               {"getctarank.shared.u32", "getctarank.shared.u64", "getctarank.u64", "mapa.u64"},
                               ".shared .align 8 .b8 cells[256]; .reg .b32 %s, %t, %u, %v; .reg .b64 %l, %g, %h;\n"
                               "mov.u32 %s, cells; mad.lo.u32 %s, %thread, 4, %s; st.shared.b32 [%s], %a0;\n"
                               "cvt.u64.u32 %l, %s; cvta.shared.u64 %g, %l;\n"
                               "getctarank.shared::cluster.u32 %t, %s; getctarank.shared::cluster.u64 %u, %l;\n"
                               "getctarank.u64 %v, %g; mapa.u64 %h, %g, %v; ld.b32 %d0, [%h];\n"
                               "add.u32 %d0, %d0, %t; add.u32 %d0, %d0, %u; add.u32 %d0, %d0, %v;\n"));
  std::string by_address = kFunctions;
  for (std::size_t at = 0; (at = by_address.find("control_", at)) != std::string::npos; at += 11) {
    by_address.replace(at, 8, "control2_");
  }
  cases.push_back(control_case("call_by_address", {"call"},
                               "and.b32 %n, %a0, 1; setp.eq.u32 %p, %n, 0; and.b32 %a0, %a0, 0xffff;\n"
                               "mov.u64 %f, control2_digits; @%p mov.u64 %f, control2_mixed;\n"
                               "prototype: .callprototype (.param .b32 _) _ (.param .b32 _);\n" +
                                   call_of("%f", ", prototype"),
                               by_address));
  return cases;
}

}  // namespace moesaic::isa
