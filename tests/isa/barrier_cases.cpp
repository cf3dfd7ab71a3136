#include "isa/isa_case.hpp"
#include "isa/register_case.hpp"

namespace moesaic::isa {
namespace {

constexpr unsigned kThreads = 128;

/// Every thread gives a word and a predicate; what comes of them is %d0 and %d1.
Case barrier_case(const std::string& row, const std::string& suffix, const std::string& statements,
                  std::size_t number) {
  const std::string begin =
      ".shared .align 4 .b32 cells[128]; .reg .b32 %t, %cell, %other; .reg .pred %p, %q, %low;\nmov.u32 %t, %tid.x;\n"
      "mov.u32 %cell, cells;\nmad.lo.u32 %cell, %t, 4, %cell;\nxor.b32 %other, %t, 85;\nmov.u32 %d0, cells;\n"
      "mad.lo.u32 %other, %other, 4, %d0;\nmov.b32 %d0, 0;\nmov.b32 %d1, 0;\nsetp.lt.u32 %low, %t, 64;\n"
      "setp.ne.u32 %q, %a1, 0;\nst.shared.b32 [%cell], %a0;\n";
  Random random(31);
  Case made =
      register_case("barrier" + std::to_string(number), {row}, begin + statements, {{"a", 2, 32}}, {{"d", 2, 32}}, 3,
                    kThreads, [&](const RegisterSet&, int reg, unsigned thread) -> std::uint64_t {
                      if (reg == 0) return random.word();
                      // Blocks in which all, none and some of the predicates hold.
                      return thread / kThreads == 0 ? 1 : thread / kThreads == 1 ? 0 : random.below(2);
                    });
  made.parts[0].name = row + suffix;
  return made;
}

}  // namespace

std::vector<Case> barrier_cases() {
  std::vector<Case> cases;
  const auto add = [&](const std::string& row, const std::string& suffix, const std::string& statements) {
    cases.push_back(barrier_case(row, suffix, statements, cases.size()));
  };
  for (const std::string opcode : {"bar", "barrier"}) {
    const std::string aligned = opcode == "bar" ? "" : ".aligned";
    add(opcode + ".sync", "", opcode + ".sync" + aligned + " 0;\nld.shared.b32 %d0, [%other];\n");
    add(opcode + ".sync", " of 128", opcode + ".sync" + aligned + " 3, 128;\nld.shared.b32 %d0, [%other];\n");
    // The upper half reads what the lower half has written, and the lower half does not wait.
    add(opcode + ".arrive", "",
        "@%low " + opcode + ".arrive" + aligned + " 1, 128;\n@!%low " + opcode + ".sync" + aligned +
            " 1, 128;\n@!%low ld.shared.b32 %d0, [%other];\n");
    for (const std::string vote : {"and", "or"}) {
      add(opcode + ".red." + vote + ".pred", "",
          opcode + ".red" + aligned + "." + vote +
              ".pred %p, 2, %q;\nselp.b32 %d1, 1, 2, %p;\nld.shared.b32 %d0, [%other];\n");
    }
    add(opcode + ".red.popc.u32", "",
        opcode + ".red" + aligned + ".popc.u32 %d1, 2, %q;\nld.shared.b32 %d0, [%other];\n");
  }
  return cases;
}

}  // namespace moesaic::isa
