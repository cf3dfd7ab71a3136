#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "emulator/name_scopes.hpp"
#include "emulator/operand_code.hpp"
#include "emulator/program.hpp"

namespace moesaic::emulator {

/// What the functions of one program share while it is built.
struct ProgramParts {
  const Linkage& linkage;
  std::shared_ptr<Program> program;
  std::unordered_map<std::uint64_t, Slot> constants{};
  std::unordered_map<std::string_view, Slot> specials{};
  std::unordered_map<std::string_view, std::int32_t> function_numbers{};
  std::unordered_map<std::string_view, std::uint64_t> shared_variables{};  ///< of the module: their addresses
  std::vector<std::size_t> first_operand{};  ///< of each instruction, in Program::operands
  std::uint64_t shared_bytes = 0;            ///< placed so far
  std::size_t declared_registers = 0;
};

/// Resolves the body of one function and appends its instructions to the program.
class FunctionBuilder {
 public:
  /// `number` is the function's in Program::functions. What a function that is only called by address cannot do is no
  /// reason to refuse the launch: `direct` says that it is called by name.
  FunctionBuilder(ProgramParts& parts, const ptx::Function& source, std::int32_t number, bool direct);

  /// Parameters of a kernel lie in parameter memory, those of other functions in their frames.
  void place_kernel_parameters(Kernel& kernel);
  void place_parameters();
  void build();

 private:
  FunctionCode& self() { return program_.functions[static_cast<std::size_t>(number_)]; }
  void find_labels();
  void declare(const ptx::Registers& registers);
  void declare(const ptx::Variable& variable);
  void declare(const ptx::Targets& targets, std::size_t index);
  std::vector<Argument> place_in_frame(const std::vector<ptx::Variable>& variables);
  std::uint64_t place_in_frame(const ptx::Variable& variable);

  void emit(const ptx::Instruction& source);
  void emit_resolved(const ptx::Instruction& source);
  void emit_call(const ptx::Instruction& source);
  void emit_indexed_branch(const ptx::Instruction& source);
  void emit_operand(const Code& code, const ptx::Operand* operand);
  void emit_unsupported(const ptx::Instruction& source, const std::string& why);
  Instruction started(const ptx::Instruction& source);
  void append(Instruction instruction, const ptx::Instruction& source);
  ptx::Instruction resolved(const ptx::Instruction& source);
  ptx::Operand expanded(const ptx::Operand& operand);
  std::string name_of(const ptx::Instruction& source) const;
  bool mistakes_predicate(const std::vector<Code>& codes, const std::vector<ptx::Operand>& operands);

  Argument argument(const ptx::Operand& operand, bool result);
  std::vector<Argument> arguments(const ptx::Operand& list, bool results);
  void check_arguments(const CallSite& site, const ptx::Instruction& source) const;

  std::size_t slot_in(NameScopes::Found found, const ptx::Operand& operand) const;
  Slot new_register();
  Slot register_slot(const ptx::Operand& operand);
  Slot source_slot(const ptx::Operand& operand);
  Slot address_slot(const Meaning& meaning, std::int64_t offset);
  Slot predicate_slot(std::string_view name, bool negated, ptx::Position position);
  Slot predicate_source(const ptx::Operand& operand);
  Slot constant(std::uint64_t value);

  ProgramParts& parts_;
  Program& program_;
  const ptx::Function& source_;
  const std::int32_t number_;
  const bool direct_;
  NameScopes names_;
  std::uint64_t frame_bytes_ = 0;
  std::string_view row_name_;
};

/// The most shared or local memory that a program may declare.
inline constexpr std::uint64_t kMaxWindow = std::uint64_t{1} << 28;

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace moesaic::emulator
