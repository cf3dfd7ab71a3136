#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "emulator/function_builder.hpp"

/// Instructions of a function: operands become slots, names become rows of the table.
namespace moesaic::emulator {

using ptx::Operand;
using ptx::SyntaxError;

namespace {

/// Registers of the ISA that an emulated card does not have.
bool is_missing_register(std::string_view name) {
  static constexpr std::string_view kMissing[] = {"%pm", "%reserved_smem_", "%current_graph_exec"};
  if (name == "%reserved_smem_offset_1") return false;
  return std::any_of(std::begin(kMissing), std::end(kMissing),
                     [&](std::string_view missing) { return name.starts_with(missing); });
}

bool is_parameter_space(std::string_view modifier) {
  return modifier == ".param" || modifier == ".param::func";
}

}  // namespace

/// A register of several slots that stands where a vector may becomes that vector.
Operand FunctionBuilder::expanded(const Operand& operand) {
  if (operand.kind != Operand::Kind::symbol || operand.offset != 0) return operand;
  const NameScopes::Found found = names_.find(operand.text);
  if (!found.whole) return operand;
  Operand vector;
  vector.kind = Operand::Kind::vector;
  vector.position = operand.position;
  vector.items.assign(found.meaning->lanes, operand);
  for (std::size_t i = 0; i < vector.items.size(); ++i) vector.items[i].component = static_cast<int>(i);
  return vector;
}

/// The instruction as the table knows it. Parameters of functions and of calls lie in local memory: PTX ISA, "Parameter
/// State Space: Device Function Parameters".
ptx::Instruction FunctionBuilder::resolved(const ptx::Instruction& source) {
  ptx::Instruction result = source;
  for (Operand& operand : result.operands) operand = expanded(operand);
  if (source.opcode != "ld" && source.opcode != "st") return result;
  for (const Operand& operand : source.operands) {
    if (operand.kind != Operand::Kind::address || operand.items[0].kind != Operand::Kind::symbol) continue;
    const Meaning* meaning = names_.find(operand.items[0].text).meaning;
    if (meaning == nullptr || !meaning->in_frame || !meaning->is_parameter) continue;
    for (std::string_view& modifier : result.modifiers) {
      if (is_parameter_space(modifier)) modifier = ".local";
    }
  }
  return result;
}

/// Registers that change by themselves are read by instructions of their own.
std::string FunctionBuilder::name_of(const ptx::Instruction& source) const {
  std::string name = canonical_name(source);
  if (source.opcode == "mov" && source.operands.size() == 2) {
    const std::string_view read = source.operands[1].text;
    const bool by_name =
        read.starts_with("%clock") || read.starts_with("%globaltimer") || read == "%is_explicit_cluster";
    if (by_name) name += fmt::format(".{}", read);
  }
  return name;
}

void FunctionBuilder::emit(const ptx::Instruction& source) {
  if (source.opcode == "call") {
    emit_call(source);
  } else if (source.opcode == "brx") {
    emit_indexed_branch(source);
  } else {
    emit_resolved(resolved(source));
  }
}

/// What all instructions have: their text, place and guard. Their operands come next.
Instruction FunctionBuilder::started(const ptx::Instruction& source) {
  Instruction result;
  result.line = source.position.line;
  result.text = source.text;
  if (!source.guard.empty()) {
    result.guard = predicate_slot(source.guard, source.guard_negated, source.position);
  }
  parts_.first_operand.push_back(program_.operands.size());
  return result;
}

/// Whether a predicate stands where a row wants a value, or the other way round: cp.async has both forms.
bool FunctionBuilder::mistakes_predicate(const std::vector<Code>& codes, const std::vector<Operand>& operands) {
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (operands[i].kind != Operand::Kind::symbol || (codes[i].kind != 's' && codes[i].kind != 'q')) continue;
    const Meaning* meaning = names_.find(operands[i].text).meaning;
    if (meaning == nullptr) continue;
    if ((meaning->kind == Meaning::Kind::predicates) != (codes[i].kind == 'q')) return true;
  }
  return false;
}

void FunctionBuilder::emit_resolved(const ptx::Instruction& source) {
  const std::string name = name_of(source);
  const std::vector<const Row*> rows = InstructionTable::get().find(name);
  if (rows.empty()) {
    emit_unsupported(source, "the emulator does not have this instruction");
    return;
  }
  for (const Operand& operand : source.operands) {
    if (!is_missing_register(operand.text) || names_.find(operand.text).meaning != nullptr) continue;
    emit_unsupported(source, fmt::format("an emulated card has no {}", operand.text));
    return;
  }
  std::vector<Code> codes;
  const Row* row = nullptr;
  for (const Row* candidate : rows) {
    std::vector<Code> of_candidate = parse_codes(candidate->operands);
    if (!fits(of_candidate, source.operands)) continue;
    const bool mistaken = mistakes_predicate(of_candidate, source.operands);
    if (mistaken && row != nullptr) continue;  // the first is kept, to say what is wrong
    row = candidate;
    codes = std::move(of_candidate);
    if (!mistaken) break;
  }
  if (row == nullptr) throw SyntaxError(source.position, fmt::format("these operands do not fit {}", name));
  if (const std::string why = why_not(*row, parts_.linkage.module.target); !why.empty()) {
    emit_unsupported(source, why);
    return;
  }
  Instruction result = started(source);
  result.row = row;
  result.run = row->run;
  result.kind = row->kind;
  row_name_ = row->name;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const Operand* operand = i < source.operands.size() ? &source.operands[i] : nullptr;
    if (operand != nullptr && codes[i].kind == 'l') result.target = names_.label(operand->text, operand->position);
    // A base may itself be checked as a scalar only: [[a]] and [{a}] are no addresses.
    if (operand != nullptr && operand->kind == Operand::Kind::address && !Code{}.fits(operand->items[0])) {
      throw SyntaxError(operand->position, "this is not an address");
    }
    emit_operand(codes[i], operand);
  }
  append(result, source);
}

void FunctionBuilder::emit_operand(const Code& code, const Operand* operand) {
  std::vector<Slot>& slots = program_.operands;
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

/// brx.idx index, table;
void FunctionBuilder::emit_indexed_branch(const ptx::Instruction& source) {
  const std::string name = canonical_name(source);
  const std::vector<const Row*> rows = InstructionTable::get().find(name);
  if (rows.empty()) {
    emit_unsupported(source, "the emulator does not have this instruction");
    return;
  }
  const bool two = source.operands.size() == 2;
  const Meaning* table = two ? names_.find(source.operands[1].text).meaning : nullptr;
  if (table == nullptr || table->kind != Meaning::Kind::targets ||
      source_.targets[table->index].kind != ptx::Targets::Kind::branches) {
    throw SyntaxError(source.position, "brx.idx takes an index and the name of a .branchtargets list");
  }
  Instruction result = started(source);
  result.row = rows.front();
  result.run = result.row->run;
  result.kind = result.row->kind;
  result.target = static_cast<std::uint32_t>(program_.jump_tables.size());
  std::vector<std::uint32_t>& pcs = program_.jump_tables.emplace_back();
  for (const Operand& label : source_.targets[table->index].items) {
    pcs.push_back(names_.label(label.text, label.position));
  }
  program_.operands.push_back(source_slot(source.operands[0]));
  append(result, source);
}

/// Where one argument or result of a call is: a .param variable of the caller, a register or a number.
Argument FunctionBuilder::argument(const Operand& operand, bool result) {
  if (operand.kind == Operand::Kind::symbol) {
    const NameScopes::Found found = names_.find(operand.text);
    if (found.meaning != nullptr && found.meaning->kind == Meaning::Kind::address && found.meaning->in_frame) {
      return {.offset = static_cast<std::uint32_t>(found.meaning->address),
              .bytes = static_cast<std::uint32_t>(found.meaning->bytes)};
    }
  }
  return {.slot = result ? register_slot(operand) : source_slot(operand), .bytes = 8};
}

std::vector<Argument> FunctionBuilder::arguments(const Operand& list, bool results) {
  std::vector<Argument> places;
  for (const Operand& operand : list.items) {
    if (!Code{}.fits(operand)) throw SyntaxError(operand.position, "this cannot be passed to a function");
    places.push_back(argument(operand, results));
  }
  return places;
}

void FunctionBuilder::check_arguments(const CallSite& site, const ptx::Instruction& source) const {
  const FunctionCode& function = program_.functions[static_cast<std::size_t>(site.function)];
  if (!function.defined) return;
  if (site.arguments.size() != function.parameters.size() || site.results.size() > function.results.size()) {
    throw SyntaxError(
        source.position,
        fmt::format("{} takes {} arguments and gives {} results; {} and {} are named here", function.name,
                    function.parameters.size(), function.results.size(), site.arguments.size(), site.results.size()));
  }
}

/// call (results), function, (arguments), prototype or list; all but the function may be missing. PTX ISA, "call".
void FunctionBuilder::emit_call(const ptx::Instruction& source) {
  const Row* row = InstructionTable::get().find("call").front();
  std::size_t at = 0;
  const auto next_is = [&](Operand::Kind kind) {
    return at < source.operands.size() && source.operands[at].kind == kind;
  };
  CallSite site;
  if (next_is(Operand::Kind::list)) site.results = arguments(source.operands[at++], true);
  if (!next_is(Operand::Kind::symbol)) throw SyntaxError(source.position, "this call names no function");
  const Operand& callee = source.operands[at++];
  if (next_is(Operand::Kind::list)) site.arguments = arguments(source.operands[at++], false);
  const auto number = parts_.function_numbers.find(callee.text);
  if (names_.find(callee.text).meaning != nullptr) {
    site.address = source_slot(callee);
    if (next_is(Operand::Kind::symbol)) ++at;  // what may be called is known from the addresses
  } else if (number != parts_.function_numbers.end()) {
    site.function = number->second;
  } else {
    throw SyntaxError(callee.position, fmt::format("there is no function '{}'", callee.text));
  }
  if (at != source.operands.size()) throw SyntaxError(source.position, "these operands do not fit call");
  if (site.function >= 0) {
    const FunctionCode& function = program_.functions[static_cast<std::size_t>(site.function)];
    if (!function.defined && function.builtin == FunctionCode::Builtin::none) {
      emit_unsupported(source, fmt::format("'{}' is not defined in this module", function.name));
      return;
    }
    check_arguments(site, source);
  }
  Instruction result = started(source);
  result.row = row;
  result.run = row->run;
  result.kind = row->kind;
  result.target = static_cast<std::uint32_t>(program_.calls.size());
  program_.calls.push_back(std::move(site));
  append(result, source);
}

}  // namespace moesaic::emulator
