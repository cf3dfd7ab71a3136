#include "isa/isa_case.hpp"
#include "isa/register_case.hpp"

namespace moesaic::isa {
namespace {

constexpr unsigned kThreads = 128;
constexpr unsigned kBlocks = 4;
// A part of the lanes, in one piece and scattered.
const char* const kMasks[] = {"0xffffffff", "0x0000ffff", "0x91c3a5f0"};

/// Random words, and what the shape of the instruction asks for.
struct Inputs {
  Random random{11};

  /// %a0 any word, %a1 one of few words, %a2 a lane or a distance, %a3 a clamp and a segment mask of shfl.
  ValueOf values() {
    return [this](const RegisterSet& set, int reg, unsigned thread) -> std::uint64_t {
      if (set.bits == 64) return thread / 32 % 4 == 0 ? std::uint64_t{7} << 40 : std::uint64_t{random.below(3)} << 33;
      if (reg == 0) return random.word();
      if (reg == 1) return thread / 32 % 4 == 0 ? 1 : thread / 32 % 4 == 1 ? 0 : random.below(4);
      if (reg == 2) return random.below(32);
      static constexpr std::uint32_t kControls[] = {0x1f, 0x0, 0x181f, 0x1807, 0x1c03, 0x101f, 0x1c00, 0x1f1f};
      return kControls[random.below(8)];
    };
  }
};

/// The instruction is executed by the lanes of a mask; the others keep what they had in the results.
Case masked(const std::string& row, const std::string& instruction, std::size_t mask, std::size_t& number) {
  const std::string text = kMasks[mask];
  std::string statements =
      ".reg .pred %in_mask, %p, %q, %r; .reg .b32 %lane, %bit;\nmov.u32 %lane, %laneid;\nmov.u32 %bit, 1;\n"
      "shl.b32 %bit, %bit, %lane;\nand.b32 %bit, %bit, " +
      text + ";\nsetp.ne.u32 %in_mask, %bit, 0;\nsetp.ne.u32 %q, %a1, 0;\nsetp.ne.u32 %p, 0, 0;\nmov.b32 %d0, 0;\n";
  std::string one = instruction;
  for (std::size_t at = one.find("MASK"); at != std::string::npos; at = one.find("MASK")) one.replace(at, 4, text);
  statements += "@%in_mask " + one + ";\nselp.u32 %d1, 1, 0, %p;\n";
  Inputs inputs;
  Case made = register_case(std::string("warp") + std::to_string(number++), {row}, statements,
                            {{"a", 4, 32}, {"l", 1, 64}}, {{"d", 2, 32}}, kBlocks, kThreads, inputs.values());
  made.parts[0].name = row + " " + text;
  return made;
}

/// A neighbour's word, through shared memory: bar.warp.sync orders the two.
Case barrier(std::size_t& number) {
  const std::string statements =
      ".shared .align 4 .b32 words[128]; .reg .b32 %t, %at;\nmov.u32 %t, %tid.x;\nshl.b32 %t, %t, 2;\n"
      "mov.u32 %at, words;\nadd.u32 %t, %t, %at;\nst.volatile.shared.b32 [%t], %a0;\nbar.warp.sync 0xffffffff;\n"
      "sub.u32 %t, %t, %at;\nxor.b32 %t, %t, 20;\nadd.u32 %t, %t, %at;\nld.volatile.shared.b32 %d0, [%t];\n"
      "mov.b32 %d1, 0;\n";
  Inputs inputs;
  Case made = register_case(std::string("warp") + std::to_string(number++), {"bar.warp.sync"}, statements,
                            {{"a", 1, 32}}, {{"d", 2, 32}}, kBlocks, kThreads, inputs.values());
  made.parts[0].name = "bar.warp.sync";
  return made;
}

}  // namespace

std::vector<Case> warp_cases() {
  std::vector<Case> cases;
  std::size_t number = 0;
  // What a lane outside of the mask would give to shfl is undefined: all lanes take part.
  for (const char* mode : {"up", "down", "bfly", "idx"}) {
    const std::string row = "shfl.sync." + std::string(mode) + ".b32";
    cases.push_back(masked(row, row + " %d0|%p, %a0, %a2, %a3, MASK", 0, number));
  }
  for (std::size_t mask = 0; mask < 3; ++mask) {
    for (const char* vote : {"all", "any", "uni"}) {
      const std::string row = "vote.sync." + std::string(vote) + ".pred";
      cases.push_back(masked(row, row + " %p, %q, MASK", mask, number));
      cases.back().parts[0].name += " of q";
      cases.push_back(masked(row, row + " %p, !%q, MASK", mask, number));
    }
    cases.push_back(masked("vote.sync.ballot.b32", "vote.sync.ballot.b32 %d0, %q, MASK", mask, number));
    cases.push_back(masked("match.any.sync.b32", "match.any.sync.b32 %d0, %a1, MASK", mask, number));
    cases.push_back(masked("match.any.sync.b64", "match.any.sync.b64 %d0, %l0, MASK", mask, number));
    cases.push_back(masked("match.all.sync.b32", "match.all.sync.b32 %d0|%p, %a1, MASK", mask, number));
    cases.push_back(masked("match.all.sync.b64", "match.all.sync.b64 %d0|%p, %l0, MASK", mask, number));
    cases.push_back(masked("elect.sync", "elect.sync %d0|%p, MASK", mask, number));
    for (const char* reduction :
         {"add.u32", "add.s32", "min.u32", "max.u32", "min.s32", "max.s32", "and.b32", "or.b32", "xor.b32"}) {
      const std::string row = "redux.sync." + std::string(reduction);
      cases.push_back(masked(row, row + " %d0, %a0, MASK", mask, number));
    }
  }
  cases.push_back(barrier(number));
  return cases;
}

}  // namespace moesaic::isa
