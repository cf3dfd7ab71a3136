#include <string>

#include "device/place.hpp"
#include "isa/register_case.hpp"
#include "isa/row_proof.hpp"

/// The barrier of a cluster of one block, and the register that tells such a launch: computed once more on the host. A
/// card of capability 9.0 has them too; it has not been asked about them.
namespace moesaic::isa {
namespace {

constexpr unsigned kThreads = 96;

/// Two rounds: each thread shows its word, arrives, does something else, waits, and adds the word of its opposite. The
/// last warp's upper half has left before.
Case barrier_case(const std::string& name, const std::string& arrive, const std::string& wait) {
  Random random(31);
  std::string text =
      ".shared .align 4 .b8 cells[768]; .reg .pred %p; .reg .b32 %s, %o, %t, %n; mov.u32 %s, cells;\n"
      "mov.b32 %d0, 0; setp.ge.u32 %p, %thread, 80; @%p bra DONE;\n"
      "sub.u32 %o, 79, %thread; mad.lo.u32 %o, %o, 4, %s; mad.lo.u32 %t, %thread, 4, %s;\n";
  for (const char* cell : {"0", "384"}) {
    text += std::string("st.shared.b32 [%t+") + cell + "], %a0;\n" + arrive + ";\nmul.lo.u32 %d0, %d0, 3;\n" + wait +
            ";\nld.shared.b32 %n, [%o+" + cell + "]; add.u32 %d0, %d0, %n; add.u32 %a0, %a0, 7;\n";
  }
  return register_case(name, {}, text + "DONE:\n", {{"a", 1, 32}}, {{"d", 1, 32}}, 1, kThreads,
                       [&](const RegisterSet&, int, unsigned) { return random.next(); });
}

std::string run(const Case& one, Words& words) {
  device::Place place = device::parse_place("emulated:gb10");
  place.sms = 1;
  const std::vector<Case> cases{one};
  const std::vector<Answer> answers = run_cases(device::open_driver(place), "sm_120f", cases);
  words = answers[0].words;
  return answers[0].error;
}

std::string prove_barrier() {
  const std::pair<const char*, const char*> forms[] = {
      {"barrier.cluster.arrive.release.aligned", "barrier.cluster.wait.acquire.aligned"},
      {"barrier.cluster.arrive", "barrier.cluster.wait"},
      {"fence.acq_rel.cluster; barrier.cluster.arrive.relaxed", "barrier.cluster.wait.acquire"}};
  for (const auto& [arrive, wait] : forms) {
    const Case one = barrier_case("cluster_barrier", arrive, wait);
    Words got;
    if (std::string error = run(one, got); !error.empty()) return error;
    for (unsigned thread = 0; thread < kThreads; ++thread) {
      const std::uint32_t other = thread < 80 ? one.input[79 - thread] : 0;
      const std::uint32_t expected = thread < 80 ? 3 * other + other + 7 : 0;
      if (got[thread] != expected) return std::string(arrive) + ": thread " + std::to_string(thread);
    }
  }
  return {};
}

std::string prove_register() {
  Case one = register_case("cluster_register", {},
                           ".reg .pred %p; mov.pred %p, %is_explicit_cluster; selp.b32 %d0, 5, 9, %p;\n",
                           {{"a", 1, 32}}, {{"d", 1, 32}}, 1, 32, [](const RegisterSet&, int, unsigned) { return 0; });
  for (const bool cluster : {false, true}) {
    one.cluster = cluster;
    Words got;
    if (std::string error = run(one, got); !error.empty()) return error;
    if (got[0] != (cluster ? 5U : 9U)) return "%is_explicit_cluster gives " + std::to_string(got[0]);
  }
  return {};
}

}  // namespace

std::vector<RowProof> cluster_proofs() {
  return {{{"barrier.cluster.arrive.release", "barrier.cluster.arrive", "barrier.cluster.arrive.relaxed",
            "barrier.cluster.wait.acquire", "barrier.cluster.wait"},
           prove_barrier},
          {{"mov.pred.%is_explicit_cluster"}, prove_register}};
}

}  // namespace moesaic::isa
