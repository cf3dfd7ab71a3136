#include "kernel_report/sass.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "spec/error.hpp"

namespace moesaic::kernel_report {
namespace {

constexpr std::uint32_t kInstructionBytes = 16;

/// "/*0040*/  @P0 EXIT ;  /* 0x... */" -> an instruction; false for any other line.
bool parse_instruction(const std::string& line, Instruction& out) {
  const std::size_t open = line.find_first_not_of(" \t");
  if (open == std::string::npos || line.compare(open, 2, "/*") != 0) return false;
  const char* digits = line.data() + open + 2;
  const char* end_of_line = line.data() + line.size();
  const auto [after, error] = std::from_chars(digits, end_of_line, out.address, 16);
  const std::size_t end = line.find(';');
  if (error != std::errc{} || end_of_line - after < 2 || after[0] != '*' || after[1] != '/') return false;
  if (end == std::string::npos) return false;
  const auto begin = static_cast<std::size_t>(after + 2 - line.data());
  std::istringstream text{line.substr(begin, end - begin)};
  text >> out.opcode;
  out.predicated = out.opcode.starts_with('@');
  if (out.predicated) text >> out.opcode;
  std::getline(text >> std::ws, out.operands);
  out.operands.resize(out.operands.find_last_not_of(' ') + 1);
  return true;
}

std::string_view root(const Instruction& instruction) {
  return std::string_view{instruction.opcode}.substr(0, instruction.opcode.find('.'));
}

template <std::size_t kCount>
bool one_of(std::string_view name, const std::array<std::string_view, kCount>& names) {
  return std::ranges::find(names, name) != names.end();
}

/// The index of the instruction that a branch may go to; npos when it is no branch, or one through a register.
std::size_t branch_target(const Instruction& instruction) {
  if (root(instruction) != "BRA") return std::string::npos;
  const std::size_t hex = instruction.operands.rfind("0x");
  std::uint32_t address = 0;
  if (hex == std::string::npos) return std::string::npos;
  std::from_chars(instruction.operands.data() + hex + 2, instruction.operands.data() + instruction.operands.size(),
                  address, 16);
  return address / kInstructionBytes;
}

/// Whether the instruction behind it may be next. A branch with a second operand has its condition there.
bool falls_through(const Instruction& instruction) {
  constexpr std::array<std::string_view, 8> kEnds{"BRA", "BRX", "BRXU", "JMP", "JMX", "EXIT", "RET", "KILL"};
  if (instruction.predicated || !one_of(root(instruction), kEnds)) return true;
  return root(instruction) == "BRA" && instruction.operands.find(',') != std::string::npos;
}

/// Which instruction may follow which, and who dominates whom. Node n, behind the last instruction, is the way in; it
/// leads to the first one and to whatever else is not reached from there (the targets of branches through registers).
class FlowGraph {
 public:
  explicit FlowGraph(const Code& code)
      : root_{code.instructions.size()},
        next_(root_ + 1),
        before_(root_ + 1),
        number_(root_ + 1),
        dominator_(root_ + 1) {
    for (std::size_t i = 0; i < root_; ++i) {
      const std::size_t target = branch_target(code.instructions[i]);
      if (target < root_) link(i, target);
      if (i + 1 < root_ && falls_through(code.instructions[i])) link(i, i + 1);
    }
    order_nodes();
    find_dominators();
  }

  const std::vector<std::size_t>& before(std::size_t node) const { return before_[node]; }

  bool dominates(std::size_t upper, std::size_t node) const {
    while (number_[node] < number_[upper]) node = dominator_[node];
    return node == upper;
  }

 private:
  void link(std::size_t from, std::size_t to) {
    next_[from].push_back(to);
    before_[to].push_back(from);
  }

  /// Numbers the nodes so that the way in has the highest and, loops aside, each has a higher one than what follows it.
  void order_nodes() {
    std::vector<bool> seen(root_ + 1, false);
    for (std::size_t start = 0; start < root_; ++start) {
      if (seen[start]) continue;
      link(root_, start);
      std::vector<std::pair<std::size_t, std::size_t>> path{{start, 0}};  // node, how many of its successors were tried
      seen[start] = true;
      while (!path.empty()) {
        auto& [node, tried] = path.back();
        if (tried == next_[node].size()) {
          finish(node);
          path.pop_back();
        } else if (const std::size_t next = next_[node][tried++]; !seen[next]) {
          seen[next] = true;
          path.emplace_back(next, 0);
        }
      }
    }
    finish(root_);
  }

  void finish(std::size_t node) {
    number_[node] = finished_.size();
    finished_.push_back(node);
  }

  /// Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm".
  void find_dominators() {
    const std::size_t unknown = root_ + 1;
    std::ranges::fill(dominator_, unknown);
    dominator_[root_] = root_;
    for (bool changed = true; changed;) {
      changed = false;
      for (auto node = finished_.rbegin() + 1; node != finished_.rend(); ++node) {
        std::size_t nearest = unknown;
        for (const std::size_t from : before_[*node]) {
          if (dominator_[from] == unknown) continue;
          nearest = nearest == unknown ? from : meet(nearest, from);
        }
        changed = changed || dominator_[*node] != nearest;
        dominator_[*node] = nearest;
      }
    }
  }

  std::size_t meet(std::size_t a, std::size_t b) const {
    while (a != b) {
      while (number_[a] < number_[b]) a = dominator_[a];
      while (number_[b] < number_[a]) b = dominator_[b];
    }
    return a;
  }

  std::size_t root_;
  std::vector<std::vector<std::size_t>> next_;
  std::vector<std::vector<std::size_t>> before_;
  std::vector<std::size_t> number_;
  std::vector<std::size_t> dominator_;
  std::vector<std::size_t> finished_;
};

/// All natural loops with that header as one, as indices in ascending order; empty when it is no header.
std::vector<std::size_t> loop_of(const FlowGraph& graph, std::size_t header, std::size_t size) {
  std::vector<std::size_t> open;
  for (const std::size_t from : graph.before(header)) {
    if (from < size && graph.dominates(header, from)) open.push_back(from);
  }
  if (open.empty()) return {};
  std::vector<bool> inside(size, false);
  inside[header] = true;
  while (!open.empty()) {
    const std::size_t node = open.back();
    open.pop_back();
    if (inside[node]) continue;
    inside[node] = true;
    for (const std::size_t from : graph.before(node)) open.push_back(from);
  }
  std::vector<std::size_t> body;
  for (std::size_t i = 0; i < size; ++i) {
    if (inside[i]) body.push_back(i);
  }
  return body;
}

Counts count(const Code& code, const std::vector<std::size_t>& body, std::size_t first, std::size_t last) {
  Counts counts{};
  for (const std::size_t i : body) {
    if (i >= first && i <= last) ++counts[static_cast<std::size_t>(kind_of(code.instructions[i]))];
  }
  return counts;
}

}  // namespace

std::vector<Code> parse_sass(std::string_view text) {
  std::vector<Code> all;
  std::string target;
  std::istringstream lines{std::string{text}};
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view kArch = "arch = ";
    constexpr std::string_view kFunction = "Function : ";
    const std::size_t function = line.find(kFunction);
    Instruction instruction;
    if (line.starts_with(kArch)) {
      target = line.substr(kArch.size());
    } else if (function != std::string::npos) {
      all.push_back({.function = line.substr(function + kFunction.size()), .target = target, .instructions = {}});
    } else if (!all.empty() && parse_instruction(line, instruction)) {
      Code& code = all.back();
      if (instruction.address != code.instructions.size() * kInstructionBytes) {
        throw Error("the disassembly of " + code.function + " for " + target + " is torn: instruction " +
                    std::to_string(code.instructions.size()) + " has the address " +
                    std::to_string(instruction.address) + ", and each takes 16 bytes");
      }
      code.instructions.push_back(std::move(instruction));
    }
  }
  return all;
}

bool is(const Instruction& instruction, std::string_view opcode) {
  return root(instruction) == opcode;
}

Kind kind_of(const Instruction& instruction) {
  constexpr std::array<std::string_view, 5> kMma{"QMMA", "HMMA", "IMMA", "OMMA", "DMMA"};
  constexpr std::array<std::string_view, 8> kConversion{"F2FP", "F2F", "F2I", "I2F", "I2FP", "HADD2", "HMUL2", "HFMA2"};
  constexpr std::array<std::string_view, 18> kWait{"SYNCS",  "BAR",   "WARPSYNC", "NANOSLEEP", "BRA",     "BRX",
                                                   "BRXU",   "BSSY",  "BSYNC",    "BREAK",     "DEPBAR",  "YIELD",
                                                   "MEMBAR", "FENCE", "EXIT",     "ACQBULK",   "PREEXIT", "USETMAXREG"};
  constexpr std::array<std::string_view, 35> kInteger{
      "IADD", "IADD3", "IMAD", "IABS",   "IMNMX", "ISETP",     "LEA",  "LOP3",  "PLOP3", "SHF",     "SHL",  "SHR",
      "SEL",  "MOV",   "PRMT", "BMSK",   "SGXT",  "FLO",       "POPC", "BREV",  "VIADD", "S2R",     "S2UR", "CS2R",
      "R2UR", "R2P",   "P2R",  "VIMNMX", "LDC",   "VIADDMNMX", "LDCU", "CS2UR", "REDUX", "VIMNMX3", "P2UR"};
  const std::string_view name = root(instruction);
  if (one_of(name, kMma)) return Kind::mma;
  if (name == "LDSM") return Kind::ldmatrix;
  if (name == "NOP") return Kind::nop;
  if (one_of(name, kWait)) return Kind::wait;
  // An fma of constants is how a move spreads over the pipes.
  if (name == "HFMA2" && instruction.operands.find("-RZ, RZ") != std::string::npos) return Kind::integer;
  if (one_of(name, kConversion)) return Kind::conversion;
  // U: the same in the uniform registers.
  if (one_of(name, kInteger) || (name.starts_with('U') && one_of(name.substr(1), kInteger))) return Kind::integer;
  return Kind::other;
}

int MainLoop::mma_count(const Code& code) const {
  return between(code)[static_cast<std::size_t>(Kind::mma)];
}

Counts MainLoop::between(const Code& code) const {
  return count(code, body, first_mma, last_mma);
}

Counts MainLoop::whole(const Code& code) const {
  return count(code, body, 0, code.instructions.size());
}

std::vector<MainLoop> main_loops(const Code& code) {
  const FlowGraph graph{code};
  const std::size_t size = code.instructions.size();
  std::vector<std::vector<std::size_t>> bodies;
  for (std::size_t header = 0; header < size; ++header) {
    if (auto body = loop_of(graph, header, size); !body.empty()) bodies.push_back(std::move(body));
  }
  std::ranges::stable_sort(bodies, {}, &std::vector<std::size_t>::size);
  std::vector<bool> taken(size, false);  // by a main loop inside
  std::vector<MainLoop> loops;
  for (auto& body : bodies) {
    std::erase_if(body, [&](std::size_t i) { return taken[i]; });
    const auto is_mma = [&](std::size_t i) { return kind_of(code.instructions[i]) == Kind::mma; };
    const auto first = std::ranges::find_if(body, is_mma);
    if (first == body.end()) continue;
    const auto last = std::find_if(body.rbegin(), body.rend(), is_mma);
    for (const std::size_t i : body) taken[i] = true;
    loops.push_back({.body = body, .first_mma = *first, .last_mma = *last});
  }
  std::ranges::sort(loops, {}, &MainLoop::first_mma);
  return loops;
}

}  // namespace moesaic::kernel_report
