#include "kernel_report/judge.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/kernels.hpp"

namespace moesaic::kernel_report {
namespace {

std::string symbol_of(const Config& config) {
  return kernels::symbol(config);
}

/// Collects what is wrong with one row.
class Judge {
 public:
  Judge(const Row& row, const Code& code, std::vector<std::string>& problems)
      : row_{row}, code_{code}, problems_{problems} {}

  void check_local_memory() const {
    const Compiled& c = row_.compiled;
    if (c.spill_store_bytes > 0 || c.spill_load_bytes > 0) {
      say("spills registers: {} bytes stored and {} loaded, where none may be", c.spill_store_bytes,
          c.spill_load_bytes);
    }
    if (c.stack_bytes > 0) say("has a stack frame of {} bytes, where none may be", c.stack_bytes);
  }

  void check_registers(const Config& config) const {
    const int allowed = registers_at_launch(config);
    if (row_.compiled.registers > allowed) {
      say("uses {} registers; its config allows {}", row_.compiled.registers, allowed);
    }
    if (row_.compiled.target == "sm_120f" && row_.blocks_per_sm < config.blocks_per_sm) {
      say("fits an SM {} times; its config says {}", row_.blocks_per_sm, config.blocks_per_sm);
    }
  }

  void check_main_loops(const Config& config, const std::vector<MainLoop>& loops) const {
    if (loops.empty()) say("has no loop with an mma in it");
    for (const MainLoop& loop : loops) {
      check_no_local_memory(loop);
      check_multiply(config, loop);
    }
  }

  /// ACQBULK is griddepcontrol.wait, PREEXIT is griddepcontrol.launch_dependents: seen in what ptxas 13.0 makes of
  /// each.
  void check_dependence() const {
    if (!has("ACQBULK")) say("has no ACQBULK: griddepcontrol.wait is not compiled in");
    if (!has("PREEXIT")) say("has no PREEXIT: griddepcontrol.launch_dependents is not compiled in");
  }

  void check_shared_registers(const Config& config) const {
    if (config.other_warps() != 4) return;
    check_setmaxnreg("TRY_ALLOC", kMmaWarpRegisters);
    check_setmaxnreg("DEALLOC", kOtherWarpRegisters);
  }

 private:
  template <class... Values>
  void say(fmt::format_string<Values...> text, Values&&... values) const {
    problems_.push_back(fmt::format("{} for {} {}", row_.name, row_.compiled.target,
                                    fmt::format(text, std::forward<Values>(values)...)));
  }

  bool has(std::string_view opcode) const {
    return std::ranges::any_of(code_.instructions, [&](const Instruction& i) { return is(i, opcode); });
  }

  /// One sentence for all instructions of the loop that are as described: with the first of them.
  template <class Predicate>
  void say_of_first(const MainLoop& loop, Predicate is_wrong, const std::string& sentence) const {
    const auto wrong = [&](std::size_t i) { return is_wrong(code_.instructions[i]); };
    const auto first = std::ranges::find_if(loop.body, wrong);
    if (first == loop.body.end()) return;
    const Instruction& instruction = code_.instructions[*first];
    say("{} in its main loop of {} mma: {} at {:#06x} and {} more", sentence, loop.mma_count(code_), instruction.opcode,
        instruction.address, std::ranges::count_if(loop.body, wrong) - 1);
  }

  void check_no_local_memory(const MainLoop& loop) const {
    say_of_first(
        loop, [](const Instruction& i) { return is(i, "LDL") || is(i, "STL"); }, "touches local memory");
  }

  void check_multiply(const Config& config, const MainLoop& loop) const {
    const bool blackwell = row_.compiled.target == "sm_120f";
    const bool scaled = config.multiply == Multiply::fast;
    const auto is_wrong = [&](const Instruction& i) {
      if (kind_of(i) != Kind::mma) return false;
      if (!blackwell) return !is(i, "HMMA");
      return !is(i, "QMMA") || i.opcode.starts_with("QMMA.SF.") != scaled;
    };
    say_of_first(loop, is_wrong,
                 fmt::format("does not multiply by {}", !blackwell ? "HMMA"
                                                        : scaled   ? "QMMA.SF, which runs at full rate,"
                                                                   : "QMMA without scales"));
  }

  /// setmaxnreg is USETMAXREG; with no launch bounds to go by ptxas leaves it out.
  void check_setmaxnreg(std::string_view which, int registers) const {
    const std::string count = fmt::format("{:#x}", registers);
    const auto is_it = [&](const Instruction& i) {
      return is(i, "USETMAXREG") && i.opcode.find(which) != std::string::npos && i.operands.ends_with(count);
    };
    if (std::ranges::none_of(code_.instructions, is_it)) {
      say("has no USETMAXREG.{} of {} registers: setmaxnreg is not compiled in", which, registers);
    }
  }

  const Row& row_;
  const Code& code_;
  std::vector<std::string>& problems_;
};

/// Registers come in units of 256 for each warp, from one of four schedulers (cuda_occupancy.h of the CUDA toolkit).
int blocks_by_registers(int registers, int threads, const Device& card) {
  const int warp_registers = ceil_div(registers * kWarpThreads, 256) * 256;
  const int warps = card.registers_per_sm / 4 / warp_registers * 4;
  return warps / (threads / kWarpThreads);
}

int blocks_per_sm(const Row& row, const Device& card) {
  const int threads = row.config->threads();
  const int by_smem = card.smem_per_sm_bytes / (static_cast<int>(row.smem_bytes) + card.smem_reserved_bytes);
  if (row.smem_bytes > static_cast<std::size_t>(card.smem_per_block_bytes)) return 0;
  return std::min({by_smem, blocks_by_registers(row.compiled.registers, threads, card), card.threads_per_sm / threads,
                   card.blocks_per_sm});
}

Row make_row(const Compiled& compiled, std::span<const Config> variants, const Target& target) {
  Row row{.name = compiled.entry,
          .compiled = compiled,
          .config = std::nullopt,
          .smem_bytes = static_cast<std::size_t>(compiled.static_smem_bytes),
          .loops = {}};
  const auto config = std::ranges::find(variants, compiled.entry, symbol_of);
  if (config == variants.end()) return row;
  row.name = variant_name(*config);
  row.config = *config;
  row.smem_bytes += smem_bytes(*config);
  if (compiled.registers > 0) row.blocks_per_sm = blocks_per_sm(row, *find_device(target.card));
  return row;
}

/// Code only for 12.x: kind::f8f6f4 is an instruction of theirs.
bool is_meant_for(const Config& config, const Target& target) {
  return config.multiply != Multiply::plain || target.name == "sm_120f";
}

void judge_row(Row& row, const Code& code, std::vector<std::string>& problems, const Target& target) {
  row.instructions = code.instructions.size();
  const Judge judge{row, code, problems};
  judge.check_local_memory();
  if (!row.config || !is_meant_for(*row.config, target)) return;
  const std::vector<MainLoop> loops = main_loops(code);
  for (const MainLoop& loop : loops) {
    row.loops.push_back({loop.mma_count(code), loop.between(code), loop.whole(code)});
  }
  std::ranges::stable_sort(row.loops, {}, &LoopCounts::mma);
  judge.check_registers(*row.config);
  judge.check_main_loops(*row.config, loops);
  judge.check_dependence();
  judge.check_shared_registers(*row.config);
}

bool reported(const PtxasReport& ptxas, const std::string& entry, std::string_view target) {
  return std::ranges::any_of(ptxas.entries, [&](const auto& e) { return e.entry == entry && e.target == target; });
}

/// What should have been compiled for the target and was not.
void find_missing(const PtxasReport& ptxas, std::span<const Config> variants, const Target& target,
                  std::vector<std::string>& problems) {
  for (const Config& config : variants) {
    if (!is_meant_for(config, target) || reported(ptxas, kernels::symbol(config), target.name)) continue;
    problems.push_back(fmt::format("{} is in the table of variants, and ptxas reports no {} for {}",
                                   variant_name(config), kernels::symbol(config), target.name));
  }
  for (const Compiled& other : ptxas.entries) {
    const bool is_variant = std::ranges::find(variants, other.entry, symbol_of) != variants.end();
    if (is_variant || other.target == target.name || reported(ptxas, other.entry, target.name)) continue;
    problems.push_back(fmt::format("{} was compiled for {} and not for {}", other.entry, other.target, target.name));
  }
}

}  // namespace

Report judge(const PtxasReport& ptxas, const std::vector<Code>& sass, std::span<const Config> variants) {
  Report report;
  for (const std::string& line : ptxas.ignored) {
    report.problems.push_back("ptxas left out a setmaxnreg, without saying where: " + line);
  }
  for (const Target& target : kTargets) {
    find_missing(ptxas, variants, target, report.problems);
    for (const Compiled& compiled : ptxas.entries) {
      if (compiled.target != target.name) continue;
      Row row = make_row(compiled, variants, target);
      const auto code = std::ranges::find_if(
          sass, [&](const Code& c) { return c.function == compiled.entry && c.target == target.name; });
      if (code == sass.end()) {
        report.problems.push_back(
            fmt::format("{} for {} is in ptxas's report and not in the disassembly", row.name, target.name));
      } else {
        judge_row(row, *code, report.problems, target);
      }
      report.rows.push_back(std::move(row));
    }
  }
  return report;
}

}  // namespace moesaic::kernel_report
