#include "emulator/function_builder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <optional>

#include "emulator/block.hpp"

/// Names, declarations and operands of a function.
namespace moesaic::emulator {

using ptx::Operand;
using ptx::Space;
using ptx::Statement;
using ptx::SyntaxError;

namespace {

constexpr std::size_t kMaxRegisters = std::size_t{1} << 20;  // that the functions of a program may declare

Flow refuse_at_run_time(Warp& warp, const Instruction& instruction, Lanes active) {
  warp.fail(Fault::Kind::unsupported, instruction, active, "the emulator does not have this instruction");
}

/// Stands for an instruction that the table does not have, in a function that may never be called.
const Row& unsupported_row() {
  static const Row row{.name = "", .operands = "", .kind = Class::control, .run = refuse_at_run_time, .access = {}};
  return row;
}

}  // namespace

FunctionBuilder::FunctionBuilder(ProgramParts& parts, const ptx::Function& source, std::int32_t number, bool direct)
    : parts_(parts), program_(*parts.program), source_(source), number_(number), direct_(direct) {
  for (const auto& [name, address] : parts.linkage.variables) {
    Meaning& meaning = names_.declare(name, source.position);
    meaning.kind = Meaning::Kind::address;
    meaning.address = address;
  }
  for (const auto& [name, address] : parts.shared_variables) {
    Meaning& meaning = names_.declare(name, source.position);
    meaning.kind = Meaning::Kind::address;
    meaning.address = address;
  }
  // A function may declare what bears a module's name: its own names live in a scope of their own.
  names_.open();
}

void FunctionBuilder::place_kernel_parameters(Kernel& kernel) {
  std::uint64_t end = 0;
  for (const ptx::Variable& parameter : source_.parameters) {
    const std::uint64_t offset = align_up(end, parameter.alignment);
    end = offset + parameter.bytes;
    if (end > 32764) throw SyntaxError(parameter.position, "the parameters of a kernel take at most 32764 bytes");
    Meaning& meaning = names_.declare(parameter.name, parameter.position);
    meaning.kind = Meaning::Kind::address;
    meaning.is_parameter = true;
    meaning.address = offset;
    kernel.parameters.push_back(Parameter{.offset = static_cast<std::uint32_t>(offset),
                                          .bytes = static_cast<std::uint32_t>(parameter.bytes),
                                          .alignment = parameter.alignment});
  }
  kernel.parameter_bytes = static_cast<std::uint32_t>(end);
}

void FunctionBuilder::place_parameters() {
  self().results = place_in_frame(source_.results);
  self().parameters = place_in_frame(source_.parameters);
}

std::vector<Argument> FunctionBuilder::place_in_frame(const std::vector<ptx::Variable>& variables) {
  std::vector<Argument> places;
  for (const ptx::Variable& variable : variables) {
    Argument place{.bytes = static_cast<std::uint32_t>(variable.bytes)};
    if (variable.in_register) {
      Meaning& meaning = names_.declare(variable.name, variable.position);
      place.slot = new_register();
      meaning.slots.assign(1, place.slot);
    } else {
      place.offset = static_cast<std::uint32_t>(place_in_frame(variable));
    }
    places.push_back(place);
  }
  return places;
}

/// Gives a variable its place in the frame of this function.
std::uint64_t FunctionBuilder::place_in_frame(const ptx::Variable& variable) {
  const std::uint64_t offset = align_up(frame_bytes_, variable.alignment);
  frame_bytes_ = offset + variable.bytes;
  if (frame_bytes_ > kMaxWindow) {
    throw SyntaxError(variable.position, fmt::format("'{}' is too large", variable.name));
  }
  Meaning& meaning = names_.declare(variable.name, variable.position);
  meaning.kind = Meaning::Kind::address;
  meaning.in_frame = true;
  meaning.is_parameter = variable.space == Space::param;
  meaning.address = offset;
  meaning.bytes = variable.bytes;
  return offset;
}

void FunctionBuilder::declare(const ptx::Registers& registers) {
  Meaning& meaning = names_.declare(registers.name, registers.position);
  meaning.kind = registers.type == ".pred" ? Meaning::Kind::predicates : Meaning::Kind::registers;
  meaning.ranged = registers.count != 0;
  meaning.lanes = registers.type == ".b128" ? 2 * registers.lanes : registers.lanes;
  if (meaning.kind == Meaning::Kind::predicates && meaning.lanes != 1) {
    throw SyntaxError(registers.position, "there are no vectors of predicates");
  }
  const std::size_t count = std::max<std::size_t>(registers.count, 1) * meaning.lanes;
  if (count > kMaxRegisters - parts_.declared_registers) {
    throw SyntaxError(registers.position, "a function may declare 2^20 registers, and this makes more");
  }
  parts_.declared_registers += count;
  meaning.slots.assign(count, -1);
}

void FunctionBuilder::declare(const ptx::Variable& variable) {
  const bool local = variable.space == Space::local || variable.space == Space::param;
  if (variable.space == Space::param && variable.bytes == 0) {
    names_.declare(variable.name, variable.position).kind = Meaning::Kind::address;
    return;
  }
  if (!local && variable.space != Space::shared) {
    throw SyntaxError(variable.position, "global and constant variables belong outside of functions");
  }
  if (variable.bytes == 0) throw SyntaxError(variable.position, fmt::format("'{}' has no size", variable.name));
  if (local) {
    place_in_frame(variable);
    return;
  }
  const std::uint64_t offset = align_up(parts_.shared_bytes, variable.alignment);
  parts_.shared_bytes = offset + variable.bytes;
  if (parts_.shared_bytes > kMaxWindow) {
    throw SyntaxError(variable.position, fmt::format("'{}' is too large", variable.name));
  }
  Meaning& meaning = names_.declare(variable.name, variable.position);
  meaning.kind = Meaning::Kind::address;
  meaning.address = kSharedBase + offset;
}

void FunctionBuilder::declare(const ptx::Targets& targets, std::size_t index) {
  Meaning& meaning = names_.declare(targets.name, targets.position);
  meaning.kind = Meaning::Kind::targets;
  meaning.index = index;
}

Slot FunctionBuilder::constant(std::uint64_t value) {
  const auto [at, fresh] = parts_.constants.try_emplace(value, ~static_cast<Slot>(parts_.constants.size()));
  if (fresh) program_.constants.insert(program_.constants.end(), kWarpLanes, value);
  return at->second;
}

Slot FunctionBuilder::new_register() {
  const auto slot = static_cast<Slot>(program_.registers++);
  self().registers.push_back(slot);
  return slot;
}

std::size_t FunctionBuilder::slot_in(NameScopes::Found found, const Operand& operand) const {
  if (!found.whole) return found.slot;
  if (operand.component < 0) {
    throw SyntaxError(operand.position, fmt::format("'{}' is a vector where one value is wanted", operand.text));
  }
  return found.slot + static_cast<std::size_t>(operand.component);
}

Slot FunctionBuilder::register_slot(const Operand& operand) {
  if (operand.text == "_") return Program::kSink;
  const NameScopes::Found found = names_.find(operand.text);
  if (found.meaning == nullptr || found.meaning->kind != Meaning::Kind::registers || operand.negated) {
    throw SyntaxError(operand.position,
                      fmt::format("'{}' is not a register that this instruction can write", operand.text));
  }
  Slot& slot = found.meaning->slots[slot_in(found, operand)];
  if (slot < 0) slot = new_register();
  return slot;
}

/// The address of a variable. In a function other than the kernel what lies in the frame has no fixed address: a
/// register is filled with it when the function is entered.
Slot FunctionBuilder::address_slot(const Meaning& meaning, std::int64_t offset) {
  const std::uint64_t address = meaning.address + static_cast<std::uint64_t>(offset);
  if (!meaning.in_frame || number_ == 0) return constant(address);
  const auto wanted = static_cast<std::uint32_t>(address);
  auto& slots = self().frame_slots;
  const auto known =
      std::find_if(slots.begin(), slots.end(), [&](const auto& entry) { return entry.second == wanted; });
  if (known != slots.end()) return known->first;
  const Slot slot = new_register();
  self().frame_slots.emplace_back(slot, wanted);
  return slot;
}

Slot FunctionBuilder::source_slot(const Operand& operand) {
  if (operand.kind == Operand::Kind::integer) return constant(operand.bits);
  const bool wants_f64 = row_name_.find(".f64") != std::string_view::npos;
  if (operand.kind == Operand::Kind::single) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(operand.bits));
    return constant(wants_f64 ? std::bit_cast<std::uint64_t>(static_cast<double>(value)) : operand.bits);
  }
  if (operand.kind == Operand::Kind::real) {
    const auto value = std::bit_cast<double>(operand.bits);
    const bool wants_f32 = !wants_f64 && row_name_.find(".f32") != std::string_view::npos;
    return constant(wants_f32 ? std::bit_cast<std::uint32_t>(static_cast<float>(value)) : operand.bits);
  }
  const NameScopes::Found found = names_.find(operand.text);
  if (found.meaning != nullptr && found.meaning->kind == Meaning::Kind::address) {
    return address_slot(*found.meaning, operand.offset);
  }
  if (found.meaning != nullptr && operand.offset == 0) return register_slot(operand);
  if (operand.text == "WARP_SZ") return constant(kWarpLanes);
  if (const auto code = parts_.linkage.code.find(operand.text); code != parts_.linkage.code.end()) {
    return constant(code->second);
  }
  if (const auto own = parts_.shared_variables.find(operand.text); own != parts_.shared_variables.end()) {
    return constant(own->second);  // %reserved_smem_offset_1
  }
  const std::optional<Special> special = find_special(operand.text);
  if (found.meaning != nullptr || !special) {
    throw SyntaxError(operand.position, fmt::format("'{}' is not known here", operand.text));
  }
  const auto [at, fresh] = parts_.specials.try_emplace(operand.text, 0);
  if (fresh) {
    at->second = static_cast<Slot>(program_.registers++);
    program_.specials.emplace_back(at->second, *special);
  }
  return at->second;
}

Slot FunctionBuilder::predicate_slot(std::string_view name, bool negated, ptx::Position position) {
  if (name == "_") return Program::kPredicateSink;
  const NameScopes::Found found = names_.find(name);
  if (found.meaning == nullptr || found.meaning->kind != Meaning::Kind::predicates) {
    throw SyntaxError(position, fmt::format("'{}' is not a predicate", name));
  }
  Slot& slot = found.meaning->slots[found.slot];
  if (slot < 0) {
    slot = static_cast<Slot>(program_.predicates++) * 2;
    self().predicates.push_back(slot);
  }
  return slot + (negated ? 1 : 0);
}

Slot FunctionBuilder::predicate_source(const Operand& operand) {
  if (operand.kind == Operand::Kind::integer) return operand.bits != 0 ? Program::kTrue : Program::kTrue + 1;
  return predicate_slot(operand.text, operand.negated, operand.position);
}

void FunctionBuilder::find_labels() {
  std::size_t open = 0;
  auto pc = static_cast<std::uint32_t>(program_.code.size());
  for (const Statement& statement : source_.body) {
    if (statement.kind == Statement::Kind::open) {
      names_.open();
      ++open;
    } else if (statement.kind == Statement::Kind::close && open > 0) {
      names_.close();
      --open;
    } else if (statement.kind == Statement::Kind::instruction) {
      ++pc;
    } else if (statement.kind == Statement::Kind::label) {
      const ptx::Label& label = source_.labels[statement.index];
      names_.declare_label(label.name, label.position, pc);
    }
  }
  names_.rewind();
  names_.reopen();  // the scope of the function
}

void FunctionBuilder::build() {
  self().entry = static_cast<std::uint32_t>(program_.code.size());
  find_labels();
  for (const Statement& statement : source_.body) {
    switch (statement.kind) {
      case Statement::Kind::open:
        names_.reopen();
        break;
      case Statement::Kind::close:
        names_.close();
        break;
      case Statement::Kind::registers:
        declare(source_.registers[statement.index]);
        break;
      case Statement::Kind::variable:
        declare(source_.variables[statement.index]);
        break;
      case Statement::Kind::targets:
        declare(source_.targets[statement.index], statement.index);
        break;
      case Statement::Kind::instruction:
        emit(source_.instructions[statement.index]);
        break;
      case Statement::Kind::label:
        break;
    }
  }
  // Running off the end of a function returns from it, and ends a kernel.
  const Row* ret = InstructionTable::get().find("ret").front();
  parts_.first_operand.push_back(program_.operands.size());
  append(Instruction{.run = ret->run, .kind = ret->kind, .row = ret, .text = "}"}, {});
  self().frame_bytes = static_cast<std::uint32_t>(align_up(frame_bytes_, 16));
}

void FunctionBuilder::append(Instruction instruction, const ptx::Instruction& source) {
  program_.code.push_back(instruction);
  program_.locations.push_back(source.location);
}

/// A function that is called by name makes the launch fail; in another one the instruction faults when it is reached.
void FunctionBuilder::emit_unsupported(const ptx::Instruction& source, const std::string& why) {
  Instruction result = started(source);
  result.row = &unsupported_row();
  result.run = result.row->run;
  append(result, source);
  if (!direct_ || !program_.unsupported.empty()) return;
  program_.unsupported = std::string(source.text);
  program_.unsupported_why = why;
  program_.unsupported_line = source.position.line;
}

}  // namespace moesaic::emulator
