#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "emulator/block.hpp"
#include "emulator/print.hpp"

/// PTX ISA, "Control Flow Instructions": call, ret, brx.idx; and the functions that CUDA's runtime gives to every
/// module (CUDA C++ Programming Guide, "Formatted Output", "Assertion").
namespace moesaic::emulator {
namespace {

/// The value of a scalar argument of a call.
std::uint64_t argument_value(Warp& warp, const Argument& argument, int lane) {
  if (argument.slot != kNoSlot) return warp.in(argument.slot)[lane];
  std::uint64_t value = 0;
  std::memcpy(&value, warp.frame_memory(argument.offset, lane), std::min<std::size_t>(argument.bytes, sizeof value));
  return value;
}

void set_result(Warp& warp, const Argument& result, int lane, std::uint64_t value) {
  if (result.slot != kNoSlot) {
    warp.out(result.slot)[lane] = value;
  } else {
    std::memcpy(warp.frame_memory(result.offset, lane), &value, std::min<std::size_t>(result.bytes, sizeof value));
  }
}

/// A text in the card's memory, up to its zero.
std::string text_at(Warp& warp, const Instruction& instruction, std::uint64_t address, int lane) {
  constexpr std::size_t kLongest = 1U << 16;
  std::string text;
  while (text.size() < kLongest) {
    const auto* at = warp.access(instruction, ptx::Space::generic, address + text.size(), 1, lane, Purpose::none);
    if (*at == std::byte{0}) break;
    text += static_cast<char>(*at);
  }
  return text;
}

/// vprintf(format, arguments): prints, and gives the number of arguments.
void print(Warp& warp, const Instruction& instruction, const CallSite& site, const FunctionCode& function,
           Lanes active) {
  Observer* observer = warp.block.observer();
  for_lanes(active, [&](int lane) {
    const std::string format = text_at(warp, instruction, argument_value(warp, site.arguments[0], lane), lane);
    const std::uint64_t buffer = argument_value(warp, site.arguments[1], lane);
    const auto value = [&](std::uint32_t offset, std::uint32_t bytes) {
      std::uint64_t bits = 0;
      std::memcpy(&bits, warp.access(instruction, ptx::Space::generic, buffer + offset, bytes, lane, Purpose::none),
                  bytes);
      const std::uint64_t local = buffer + offset - kLocalWindow;
      if (observer != nullptr && local < kWindowBytes) observer->printed(warp, instruction, lane, local, bytes);
      return bits;
    };
    const auto text = [&](std::uint64_t address) { return text_at(warp, instruction, address, lane); };
    const PrintResult printed = format_print(format, value, text);
    warp.block.print(printed.text);
    if (!site.results.empty()) {
      set_result(warp, site.results[0], lane, static_cast<std::uint32_t>(printed.arguments));
    }
  });
  if (observer == nullptr) return;
  static const std::vector<Argument> number{Argument{.slot = ~Slot{0}, .bytes = 8}};  // a constant: always defined
  observer->returned(warp, {number, 0, site.results, warp.frame_base()}, function, 0, active);
}

/// __assertfail(expression, file, line, function, size of a character): ends the kernel.
[[noreturn]] void fail_assertion(Warp& warp, const Instruction& instruction, const CallSite& site, Lanes active) {
  const int lane = std::countr_zero(active);
  const auto text = [&](std::size_t i) {
    const std::uint64_t address = argument_value(warp, site.arguments[i], lane);
    return address == 0 ? std::string("?") : text_at(warp, instruction, address, lane);
  };
  const auto line = static_cast<std::uint32_t>(argument_value(warp, site.arguments[2], lane));
  warp.fail(Fault::Kind::assertion, instruction, active,
            fmt::format("{}:{}: {}: assertion `{}` failed", text(1), line, text(3), text(0)));
}

/// Whether it was a call of a function that needs no code.
bool run_builtin(Warp& warp, const Instruction& instruction, const CallSite& site, const FunctionCode& function,
                 Lanes active) {
  const bool prints = function.builtin == FunctionCode::Builtin::print;
  if (function.builtin == FunctionCode::Builtin::none) return false;
  if (site.arguments.size() != (prints ? 2U : 5U)) {
    warp.fail(Fault::Kind::invalid, instruction, active, fmt::format("{} takes other arguments", function.name));
  }
  if (!prints) fail_assertion(warp, instruction, site, active);
  print(warp, instruction, site, function, active);
  return true;
}

/// The function that an address stands for. Throws Fault when it is none.
std::uint32_t function_at(Warp& warp, const Instruction& instruction, std::uint64_t address, Lanes lanes) {
  const auto& functions = warp.block.grid.program.functions;
  for (std::uint32_t i = 1; i < functions.size(); ++i) {
    if (functions[i].address == address && functions[i].defined) return i;
  }
  warp.fail(Fault::Kind::invalid, instruction, lanes, fmt::format("{:#x} is the address of no function", address));
}

Flow call(Warp& warp, const Instruction& instruction, Lanes active) {
  const Program& program = warp.block.grid.program;
  const CallSite& site = program.calls[instruction.target];
  if (site.function >= 0) {
    const auto callee = static_cast<std::uint32_t>(site.function);
    if (run_builtin(warp, instruction, site, program.functions[callee], active)) return Flow::next;
    warp.enter(instruction, site, callee, active);
    return Flow::jump;
  }
  const std::uint64_t* address = warp.in(site.address);
  for (Lanes left = active; left != 0;) {
    Lanes same = 0;
    const std::uint64_t first = address[std::countr_zero(left)];
    for_lanes(left, [&](int lane) { same |= Lanes{address[lane] == first} << lane; });
    const std::uint32_t callee = function_at(warp, instruction, first, same);
    if (program.functions[callee].parameters.size() != site.arguments.size()) {
      warp.fail(Fault::Kind::invalid, instruction, same,
                fmt::format("{} takes {} arguments; this call gives {}", program.functions[callee].name,
                            program.functions[callee].parameters.size(), site.arguments.size()));
    }
    warp.enter(instruction, site, callee, same);
    left &= ~same;
  }
  return Flow::jump;
}

/// In a kernel ret ends the thread.
Flow give_back(Warp& warp, const Instruction&, Lanes active) {
  return warp.leave(active) ? Flow::jump : Flow::exit;
}

Flow indexed_branch(Warp& warp, const Instruction& instruction, Lanes active) {
  const std::vector<std::uint32_t>& targets = warp.block.grid.program.jump_tables[instruction.target];
  const std::uint64_t* index = warp.in(instruction.operands[0]);
  for_lanes(active, [&](int lane) {
    const auto at = static_cast<std::uint32_t>(index[lane]);
    if (at >= targets.size()) {
      warp.fail(Fault::Kind::invalid, instruction, Lanes{1} << lane,
                fmt::format("index {} into a list of {} labels", at, targets.size()));
    }
    warp.jump(lane, targets[at]);
  });
  return Flow::jump;
}

}  // namespace

void add_call_rows(InstructionTable& table) {
  table.add("call", "", Class::control, call);
  table.add("ret", "", Class::control, give_back);
  table.add("brx.idx", "s", Class::control, indexed_branch);
}

}  // namespace moesaic::emulator
