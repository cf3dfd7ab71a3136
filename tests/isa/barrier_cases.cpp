#include <string>
#include <utility>

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

/// The barrier of a cluster of one block, in two rounds: each thread shows its word, arrives, does something else,
/// waits, and adds the word of its opposite. Half of the last warp has left before.
Case cluster_barrier_case(const std::string& arrive, const std::string& wait, bool cluster, std::size_t number) {
  std::string text =
      ".shared .align 4 .b8 cells[1024]; .reg .pred %p; .reg .b32 %t, %s, %o, %n; mov.u32 %s, cells;\n"
      "mov.b32 %d0, 0; mov.u32 %t, %tid.x; setp.ge.u32 %p, %t, 112; @%p bra DONE;\n"
      "sub.u32 %o, 111, %t; mad.lo.u32 %o, %o, 4, %s; mad.lo.u32 %t, %t, 4, %s;\n";
  for (const std::string cell : {"0", "512"}) {
    text += "st.shared.b32 [%t+" + cell + "], %a0;\n" + arrive + ";\nmul.lo.u32 %d0, %d0, 3;\n" + wait +
            ";\nld.shared.b32 %n, [%o+" + cell + "]; add.u32 %d0, %d0, %n; add.u32 %a0, %a0, 7;\n";
  }
  // The rows are named by the instructions without .aligned, which asks for no other result.
  const auto row_of = [](const std::string& statements) {
    const std::string last = statements.substr(statements.find("barrier"));
    return last.substr(0, last.find(".aligned"));
  };
  Random random(31);
  Case made = register_case("cluster_barrier" + std::to_string(number), {row_of(arrive), row_of(wait)},
                            text + "DONE:\n", {{"a", 1, 32}}, {{"d", 1, 32}}, 2, kThreads,
                            [&](const RegisterSet&, int, unsigned) { return random.next(); });
  made.cluster = cluster;
  made.parts[0].name = arrive + " " + wait + (cluster ? "" : " outside clusters");
  return made;
}

/// Whether the launch was one in clusters.
Case cluster_register_case(bool cluster) {
  Case made = register_case(cluster ? "explicit_cluster" : "no_cluster", {"mov.pred.%is_explicit_cluster"},
                            ".reg .pred %p; mov.pred %p, %is_explicit_cluster; selp.b32 %d0, 5, 9, %p;\n",
                            {{"a", 1, 32}}, {{"d", 1, 32}}, 1, 32, [](const RegisterSet&, int, unsigned) { return 0; });
  made.cluster = cluster;
  made.parts[0].name = cluster ? "%is_explicit_cluster" : "%is_explicit_cluster outside clusters";
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
  const std::pair<const char*, const char*> forms[] = {
      {"barrier.cluster.arrive.release.aligned", "barrier.cluster.wait.acquire.aligned"},
      {"barrier.cluster.arrive", "barrier.cluster.wait"},
      {"fence.acq_rel.cluster; barrier.cluster.arrive.relaxed", "barrier.cluster.wait.acquire"}};
  for (const bool cluster : {true, false}) {
    for (const auto& [arrive, wait] : forms) {
      cases.push_back(cluster_barrier_case(arrive, wait, cluster, cases.size()));
    }
    cases.push_back(cluster_register_case(cluster));
  }
  return cases;
}

}  // namespace moesaic::isa
