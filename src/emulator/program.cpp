#include "emulator/program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "emulator/operand_code.hpp"

namespace moesaic::emulator {
namespace {

using ptx::Operand;
using ptx::Space;
using ptx::Statement;
using ptx::SyntaxError;

constexpr std::size_t kMaxRegisters = std::size_t{1} << 20;   // that a function may declare
constexpr std::uint64_t kMaxWindow = std::uint64_t{1} << 28;  // of shared or local memory that a program may declare

std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

/// What a name in a function means.
struct Meaning {
  enum class Kind : std::uint8_t { registers, predicates, address };
  Kind kind = Kind::registers;
  std::vector<Slot> slots;  ///< -1 until used; one for a plain name
  bool ranged = false;      ///< name<count>
  std::uint64_t address = 0;
};

struct Scope {
  std::size_t parent = 0;
  std::unordered_map<std::string_view, Meaning> names;
  std::unordered_map<std::string_view, std::uint32_t> labels;
};

class Builder {
 public:
  Builder(const ptx::Function& entry, const ptx::Module& module, const VariableAddresses& addresses,
          const std::shared_ptr<const std::string>& text)
      : entry_(entry), module_(module), addresses_(addresses), program_(std::make_shared<Program>()) {
    program_->name = std::string(entry.name);
    program_->text = text;
  }

  Kernel build();

 private:
  void lay_out_parameters(Kernel& kernel);
  void lay_out_module_variables();
  void find_labels();
  void declare(const ptx::Registers& registers);
  void declare(const ptx::Variable& variable);
  void note_symbols(const std::vector<Operand>& operands);
  void emit(const ptx::Instruction& source);
  void emit_operand(const Code& code, const Operand* operand);
  std::string name_of(const ptx::Instruction& source) const;
  Slot register_slot(const Operand& operand);
  Slot source_slot(const Operand& operand);
  Slot predicate_slot(std::string_view name, bool negated, ptx::Position position);
  Slot predicate_source(const Operand& operand);
  Slot constant(std::uint64_t value);
  std::uint32_t label(const Operand& operand) const;
  std::pair<Meaning*, std::size_t> find(std::string_view name);
  std::pair<Meaning*, std::size_t> find_in(Scope& scope, std::string_view name);
  Meaning& declare_name(std::string_view name, ptx::Position position);

  const ptx::Function& entry_;
  const ptx::Module& module_;
  const VariableAddresses& addresses_;
  std::shared_ptr<Program> program_;
  std::vector<Scope> scopes_{1};
  std::size_t scope_ = 0;
  std::unordered_map<std::uint64_t, Slot> constants_;
  std::unordered_map<std::string_view, Slot> specials_;
  std::unordered_set<std::string_view> symbols_;
  std::vector<std::size_t> first_operand_;
  std::uint64_t shared_bytes_ = 0;
  std::uint64_t local_bytes_ = 0;
  std::size_t declared_registers_ = 0;
  std::string_view row_name_;
};

Meaning& Builder::declare_name(std::string_view name, ptx::Position position) {
  const auto [at, fresh] = scopes_[scope_].names.try_emplace(name);
  if (!fresh) throw SyntaxError(position, fmt::format("'{}' is declared twice", name));
  return at->second;
}

void Builder::lay_out_parameters(Kernel& kernel) {
  std::uint64_t end = 0;
  for (const ptx::Variable& parameter : entry_.parameters) {
    const std::uint64_t offset = align_up(end, parameter.alignment);
    end = offset + parameter.bytes;
    if (end > 32764) throw SyntaxError(parameter.position, "the parameters of a kernel take at most 32764 bytes");
    Meaning& meaning = declare_name(parameter.name, parameter.position);
    meaning.kind = Meaning::Kind::address;
    meaning.address = offset;
    kernel.parameters.push_back(Parameter{.offset = static_cast<std::uint32_t>(offset),
                                          .bytes = static_cast<std::uint32_t>(parameter.bytes),
                                          .alignment = parameter.alignment});
  }
  kernel.parameter_bytes = static_cast<std::uint32_t>(end);
}

void Builder::note_symbols(const std::vector<Operand>& operands) {
  for (const Operand& operand : operands) {
    if (operand.kind == Operand::Kind::symbol) symbols_.insert(operand.text);
    note_symbols(operand.items);
  }
}

/// Shared variables of the module that this kernel names, then the dynamic part. Global ones have their addresses.
void Builder::lay_out_module_variables() {
  for (const ptx::Instruction& instruction : entry_.instructions) note_symbols(instruction.operands);
  for (const auto& [name, address] : addresses_) {
    Meaning& meaning = scopes_[0].names[name];
    meaning.kind = Meaning::Kind::address;
    meaning.address = address;
  }
  std::vector<const ptx::Variable*> variables;
  for (const ptx::Variable& variable : module_.variables) {
    if (variable.space == Space::shared && symbols_.contains(variable.name)) variables.push_back(&variable);
  }
  for (const ptx::Variable& variable : entry_.variables) {
    if (variable.space != Space::shared) continue;
    shared_bytes_ = align_up(shared_bytes_, variable.alignment) + variable.bytes;  // placed again where it is declared
  }
  const std::uint64_t of_body = shared_bytes_;
  for (const ptx::Variable* variable : variables) {
    if (variable->bytes == 0) continue;
    shared_bytes_ = align_up(shared_bytes_, variable->alignment);
    Meaning& meaning = declare_name(variable->name, variable->position);
    meaning.kind = Meaning::Kind::address;
    meaning.address = kSharedBase + shared_bytes_;
    shared_bytes_ += variable->bytes;
    if (shared_bytes_ > kMaxWindow) throw SyntaxError(variable->position, "too much shared memory is declared");
  }
  std::uint64_t dynamic_alignment = 1;
  for (const ptx::Variable* variable : variables) {
    if (variable->bytes == 0) dynamic_alignment = std::max<std::uint64_t>(dynamic_alignment, variable->alignment);
  }
  shared_bytes_ = align_up(shared_bytes_, dynamic_alignment);
  for (const ptx::Variable* variable : variables) {
    if (variable->bytes != 0) continue;
    Meaning& meaning = declare_name(variable->name, variable->position);
    meaning.kind = Meaning::Kind::address;
    meaning.address = kSharedBase + shared_bytes_;
  }
  program_->static_shared_bytes = static_cast<std::uint32_t>(shared_bytes_);
  shared_bytes_ = 0;
  if (of_body > kMaxWindow) throw SyntaxError(entry_.position, "too much shared memory is declared");
}

void Builder::find_labels() {
  std::vector<std::size_t> open{0};
  std::uint32_t pc = 0;
  for (const Statement& statement : entry_.body) {
    if (statement.kind == Statement::Kind::open) {
      scopes_.push_back(Scope{.parent = open.back(), .names = {}, .labels = {}});
      open.push_back(scopes_.size() - 1);
    } else if (statement.kind == Statement::Kind::close && open.size() > 1) {
      open.pop_back();
    } else if (statement.kind == Statement::Kind::instruction) {
      ++pc;
    } else if (statement.kind == Statement::Kind::label) {
      const ptx::Label& label = entry_.labels[statement.index];
      if (!scopes_[open.back()].labels.emplace(label.name, pc).second) {
        throw SyntaxError(label.position, fmt::format("label '{}' stands twice", label.name));
      }
    }
  }
}

void Builder::declare(const ptx::Registers& registers) {
  if (registers.lanes != 1) throw SyntaxError(registers.position, "registers of vector type are not supported");
  Meaning& meaning = declare_name(registers.name, registers.position);
  meaning.kind = registers.type == ".pred" ? Meaning::Kind::predicates : Meaning::Kind::registers;
  meaning.ranged = registers.count != 0;
  const std::size_t count = std::max<std::size_t>(registers.count, 1);
  if (count > kMaxRegisters - declared_registers_) {
    throw SyntaxError(registers.position, "a function may declare 2^20 registers, and this makes more");
  }
  declared_registers_ += count;
  meaning.slots.assign(count, -1);
}

void Builder::declare(const ptx::Variable& variable) {
  std::uint64_t* used = nullptr;
  std::uint64_t base = 0;
  if (variable.space == Space::shared) {
    used = &shared_bytes_;
    base = kSharedBase;
  } else if (variable.space == Space::local) {
    used = &local_bytes_;
  } else if (variable.space == Space::param) {
    return;  // for calls, which are not emulated
  } else {
    throw SyntaxError(variable.position, "global and constant variables belong outside of functions");
  }
  if (variable.bytes == 0) throw SyntaxError(variable.position, fmt::format("'{}' has no size", variable.name));
  const std::uint64_t offset = align_up(*used, variable.alignment);
  *used = offset + variable.bytes;
  if (*used > kMaxWindow) throw SyntaxError(variable.position, fmt::format("'{}' is too large", variable.name));
  Meaning& meaning = declare_name(variable.name, variable.position);
  meaning.kind = Meaning::Kind::address;
  meaning.address = base + offset;
}

std::pair<Meaning*, std::size_t> Builder::find_in(Scope& scope, std::string_view name) {
  if (const auto at = scope.names.find(name); at != scope.names.end() && !at->second.ranged) return {&at->second, 0};
  std::size_t number = 0;
  std::size_t unit = 1;
  for (std::size_t length = name.size(); length > 1 && name.size() - length < 7;) {
    const char digit = name[--length];
    if (digit < '0' || digit > '9') break;
    number += static_cast<std::size_t>(digit - '0') * unit;
    unit *= 10;
    if (digit == '0' && length + 1 != name.size()) continue;  // no leading zeros
    const auto at = scope.names.find(name.substr(0, length));
    if (at != scope.names.end() && at->second.ranged && number < at->second.slots.size()) return {&at->second, number};
  }
  return {nullptr, 0};
}

std::pair<Meaning*, std::size_t> Builder::find(std::string_view name) {
  for (std::size_t scope = scope_;; scope = scopes_[scope].parent) {
    const auto found = find_in(scopes_[scope], name);
    if (found.first != nullptr || scope == 0) return found;
  }
}

Slot Builder::constant(std::uint64_t value) {
  const auto [at, fresh] = constants_.try_emplace(value, ~static_cast<Slot>(constants_.size()));
  if (fresh) program_->constants.insert(program_->constants.end(), kWarpLanes, value);
  return at->second;
}

Slot Builder::register_slot(const Operand& operand) {
  if (operand.text == "_") return Program::kSink;
  const auto [meaning, number] = find(operand.text);
  if (meaning == nullptr || meaning->kind != Meaning::Kind::registers || operand.negated) {
    throw SyntaxError(operand.position,
                      fmt::format("'{}' is not a register that this instruction can write", operand.text));
  }
  Slot& slot = meaning->slots[number];
  if (slot < 0) slot = static_cast<Slot>(program_->registers++);
  return slot;
}

Slot Builder::source_slot(const Operand& operand) {
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
  const auto [meaning, number] = find(operand.text);
  if (meaning != nullptr && meaning->kind == Meaning::Kind::address) {
    return constant(meaning->address + static_cast<std::uint64_t>(operand.offset));
  }
  if (meaning != nullptr && operand.offset == 0) return register_slot(operand);
  if (operand.text == "WARP_SZ") return constant(kWarpLanes);
  const std::optional<Special> special = find_special(operand.text);
  if (meaning != nullptr || !special) {
    throw SyntaxError(operand.position, fmt::format("'{}' is not known here", operand.text));
  }
  const auto [at, fresh] = specials_.try_emplace(operand.text, 0);
  if (fresh) {
    at->second = static_cast<Slot>(program_->registers++);
    program_->specials.emplace_back(at->second, *special);
  }
  return at->second;
}

Slot Builder::predicate_slot(std::string_view name, bool negated, ptx::Position position) {
  if (name == "_") return Program::kPredicateSink;
  const auto [meaning, number] = find(name);
  if (meaning == nullptr || meaning->kind != Meaning::Kind::predicates) {
    throw SyntaxError(position, fmt::format("'{}' is not a predicate", name));
  }
  Slot& slot = meaning->slots[number];
  if (slot < 0) slot = static_cast<Slot>(program_->predicates++) * 2;
  return slot + (negated ? 1 : 0);
}

Slot Builder::predicate_source(const Operand& operand) {
  if (operand.kind == Operand::Kind::integer) return operand.bits != 0 ? Program::kTrue : Program::kTrue + 1;
  return predicate_slot(operand.text, operand.negated, operand.position);
}

std::uint32_t Builder::label(const Operand& operand) const {
  for (std::size_t scope = scope_;; scope = scopes_[scope].parent) {
    const auto at = scopes_[scope].labels.find(operand.text);
    if (at != scopes_[scope].labels.end()) return at->second;
    if (scope == 0) throw SyntaxError(operand.position, fmt::format("there is no label '{}' here", operand.text));
  }
}

void Builder::emit_operand(const Code& code, const Operand* operand) {
  std::vector<Slot>& slots = program_->operands;
  if (operand == nullptr) {
    slots.insert(slots.end(), code.slots(), kNoSlot);
    return;
  }
  const bool is_pair = operand->kind == Operand::Kind::pair;
  const Operand& first = is_pair ? operand->items[0] : *operand;
  const auto second_predicate = [&] {
    return is_pair ? predicate_slot(operand->items[1].text, false, operand->position) : Program::kPredicateSink;
  };
  switch (code.kind) {
    case 'd':
      slots.push_back(register_slot(first));
      if (code.pair) slots.push_back(second_predicate());
      break;
    case 'p':
      slots.push_back(predicate_slot(first.text, false, first.position));
      if (code.pair) slots.push_back(second_predicate());
      break;
    case 'q':
      slots.push_back(predicate_source(first));
      break;
    case 's':
      slots.push_back(source_slot(first));
      break;
    case 'D':
      for (const Operand& item : operand->items) slots.push_back(register_slot(item));
      break;
    case 'S':
      for (const Operand& item : operand->items) slots.push_back(source_slot(item));
      break;
    case 'a':
    case 't':
      slots.push_back(source_slot(operand->items[0]));
      slots.push_back(constant(static_cast<std::uint64_t>(operand->offset)));
      if (code.kind == 't') {
        for (const Operand& item : operand->items[1].items) slots.push_back(source_slot(item));
      }
      break;
    default:
      break;
  }
}

/// Registers that change by themselves are read by instructions of their own.
std::string Builder::name_of(const ptx::Instruction& source) const {
  std::string name = canonical_name(source);
  if (source.opcode == "mov" && source.operands.size() == 2) {
    const std::string_view read = source.operands[1].text;
    if (read.starts_with("%clock") || read.starts_with("%globaltimer")) name += fmt::format(".{}", read);
  }
  return name;
}

void Builder::emit(const ptx::Instruction& source) {
  Instruction result;
  result.line = source.position.line;
  result.text = source.text;
  first_operand_.push_back(program_->operands.size());
  const std::string name = name_of(source);
  const std::vector<const Row*> rows = InstructionTable::get().find(name);
  if (rows.empty()) {
    if (program_->unsupported.empty()) {
      program_->unsupported = std::string(source.text);
      program_->unsupported_line = source.position.line;
    }
    program_->code.push_back(result);
    return;
  }
  std::vector<Code> codes;
  for (const Row* row : rows) {
    codes = parse_codes(row->operands);
    if (fits(codes, source.operands)) {
      result.row = row;
      break;
    }
  }
  if (result.row == nullptr) {
    throw SyntaxError(source.position, fmt::format("these operands do not fit {}", name));
  }
  result.run = result.row->run;
  result.kind = result.row->kind;
  row_name_ = result.row->name;
  if (!source.guard.empty()) {
    result.guard = predicate_slot(source.guard, source.guard_negated, source.position);
  }
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const Operand* operand = i < source.operands.size() ? &source.operands[i] : nullptr;
    if (operand != nullptr && codes[i].kind == 'l') result.target = label(*operand);
    // A base may itself be checked as a scalar only: [[a]] and [{a}] are no addresses.
    if (operand != nullptr && operand->kind == Operand::Kind::address && !Code{}.fits(operand->items[0])) {
      throw SyntaxError(operand->position, "this is not an address");
    }
    emit_operand(codes[i], operand);
  }
  program_->code.push_back(result);
}

Kernel Builder::build() {
  Kernel kernel;
  kernel.name = std::string(entry_.name);
  lay_out_module_variables();
  lay_out_parameters(kernel);
  find_labels();
  std::size_t opened = 0;
  for (const Statement& statement : entry_.body) {
    switch (statement.kind) {
      case Statement::Kind::open:
        scope_ = ++opened;
        break;
      case Statement::Kind::close:
        scope_ = scopes_[scope_].parent;
        break;
      case Statement::Kind::registers:
        declare(entry_.registers[statement.index]);
        break;
      case Statement::Kind::variable:
        declare(entry_.variables[statement.index]);
        break;
      case Statement::Kind::instruction:
        emit(entry_.instructions[statement.index]);
        break;
      case Statement::Kind::label:
      case Statement::Kind::targets:
        break;
    }
  }
  // Running off the end of a kernel ends it.
  const Row* ret = InstructionTable::get().find("ret").front();
  program_->code.push_back(Instruction{.run = ret->run, .kind = ret->kind, .row = ret, .text = "}"});
  first_operand_.push_back(program_->operands.size());
  for (std::size_t i = 0; i < program_->code.size(); ++i) {
    program_->code[i].operands = program_->operands.data() + first_operand_[i];
  }
  program_->local_bytes = static_cast<std::uint32_t>(align_up(local_bytes_, 16));
  kernel.static_shared_bytes = program_->static_shared_bytes;
  kernel.local_bytes = program_->local_bytes;
  const auto& required = entry_.required_extent;
  const auto& most = entry_.max_extent;
  kernel.exact_extent = required[0] != 0;
  kernel.required_extent = Extent{required[0], required[1], required[2]};
  const auto& extent = kernel.exact_extent ? required : most;
  kernel.max_threads = std::uint64_t{extent[0]} * extent[1] * extent[2];
  kernel.min_blocks_per_sm = entry_.min_blocks_per_sm;
  kernel.max_registers = entry_.max_registers;
  kernel.program = program_;
  return kernel;
}

}  // namespace

Kernel build_kernel(const ptx::Function& entry, const ptx::Module& module, const VariableAddresses& addresses,
                    const std::shared_ptr<const std::string>& text) {
  return Builder(entry, module, addresses, text).build();
}

}  // namespace moesaic::emulator
