#include "emulator/program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "emulator/function_builder.hpp"

/// Which functions and variables a kernel needs, and where they go.
namespace moesaic::emulator {
namespace {

using ptx::Operand;
using ptx::Space;
using ptx::SyntaxError;

/// What a thread has for frames when functions call themselves (no sum says how much they need): at first, and at
/// most (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability": local memory per thread).
constexpr std::uint32_t kRecursionBytes = 1024;
constexpr std::uint32_t kMostLocalBytes = 512 * 1024;
constexpr std::size_t kMaxCallDepth = 1000;

/// Where CUDA's cooperative groups find shared memory of their own, and how much they may expect.
constexpr std::string_view kReservedShared = "%reserved_smem_offset_1";
constexpr std::uint64_t kReservedSharedBytes = 288;

using Names = std::unordered_set<std::string_view>;

/// The names in the operands of an instruction; of a call without the function that it names.
void note_names(const std::vector<Operand>& operands, Names& names) {
  for (const Operand& operand : operands) {
    if (operand.kind == Operand::Kind::symbol) names.insert(operand.text);
    note_names(operand.items, names);
  }
}

/// The function operand of a call: the first that is no list.
const Operand* callee_of(const ptx::Instruction& instruction) {
  if (instruction.opcode != "call") return nullptr;
  for (const Operand& operand : instruction.operands) {
    if (operand.kind == Operand::Kind::symbol) return &operand;
  }
  return nullptr;
}

FunctionCode::Builtin builtin_of(std::string_view name) {
  if (name == "vprintf") return FunctionCode::Builtin::print;
  if (name == "__assertfail") return FunctionCode::Builtin::assertion;
  return FunctionCode::Builtin::none;
}

/// Builds a kernel with all functions that it may call.
class KernelBuilder {
 public:
  KernelBuilder(const ptx::Function& entry, const Linkage& linkage, const std::shared_ptr<const std::string>& text)
      : entry_(entry), linkage_(linkage), parts_{linkage, std::make_shared<Program>()}, program_(*parts_.program) {
    program_.name = std::string(entry.name);
    program_.text = text;
    program_.source_map = linkage.module.source_map;
  }

  Kernel build();

 private:
  std::size_t add_function(std::string_view name);
  void add_callees(std::size_t caller);
  void collect_functions();
  void mark_direct();
  void place_shared_variables();
  void set_local_bytes();
  std::uint32_t deepest(std::size_t function, std::size_t depth);

  const ptx::Function& entry_;
  const Linkage& linkage_;
  ProgramParts parts_;
  Program& program_;
  /// What is known of one of program_.functions.
  struct Node {
    const ptx::Function* source = nullptr;
    bool direct = false;                  // called by name, by the kernel or by functions that are
    std::vector<std::size_t> by_name;     // functions that it calls
    std::vector<std::size_t> by_address;  // functions that it may call
    bool open = false;                    // for deepest()
    std::uint32_t bytes = kUnknown;
  };
  static constexpr std::uint32_t kUnknown = ~std::uint32_t{0};
  std::vector<Node> nodes_;
  std::uint32_t reserved_shared_bytes_ = 0;  // of Program::static_shared_bytes: none of the kernel's
};

std::size_t KernelBuilder::add_function(std::string_view name) {
  const ptx::Function* source = linkage_.functions.at(name);
  const auto [at, fresh] = parts_.function_numbers.try_emplace(name, static_cast<std::int32_t>(nodes_.size()));
  if (fresh) {
    FunctionCode code;
    code.name = std::string(name);
    code.address = linkage_.code.at(name);
    code.defined = source->defined;
    if (!source->defined) code.builtin = builtin_of(name);
    // Their number is known before the first call is looked at; see FunctionBuilder::check_arguments.
    code.parameters.resize(source->parameters.size());
    code.results.resize(source->results.size());
    program_.functions.push_back(std::move(code));
    nodes_.push_back(Node{.source = source, .by_name = {}, .by_address = {}});
  }
  return static_cast<std::size_t>(at->second);
}

void KernelBuilder::add_callees(std::size_t caller) {
  bool indirect = false;
  for (const ptx::Instruction& instruction : nodes_[caller].source->instructions) {
    const Operand* callee = callee_of(instruction);
    if (callee == nullptr) continue;
    if (linkage_.functions.contains(callee->text)) {
      const std::size_t number = add_function(callee->text);
      nodes_[caller].by_name.push_back(number);
    } else {
      indirect = true;
    }
  }
  for (std::size_t i = 0; indirect && i < linkage_.addressed.size(); ++i) {
    const std::size_t number = add_function(linkage_.addressed[i]);
    nodes_[caller].by_address.push_back(number);
  }
}

void KernelBuilder::collect_functions() {
  FunctionCode kernel;
  kernel.name = program_.name;
  program_.functions.push_back(std::move(kernel));
  nodes_.push_back(Node{.source = &entry_, .by_name = {}, .by_address = {}});
  for (std::size_t i = 0; i < nodes_.size(); ++i) add_callees(i);
}

void KernelBuilder::mark_direct() {
  std::vector<std::size_t> open{0};
  while (!open.empty()) {
    Node& node = nodes_[open.back()];
    open.pop_back();
    if (node.direct) continue;
    node.direct = true;
    open.insert(open.end(), node.by_name.begin(), node.by_name.end());
  }
}

/// Shared variables of the module that these functions name, then the dynamic part, which begins where all others end.
void KernelBuilder::place_shared_variables() {
  Names names;
  std::uint64_t of_bodies = 0;
  for (const Node& node : nodes_) {
    const ptx::Function* source = node.source;
    for (const ptx::Instruction& instruction : source->instructions) note_names(instruction.operands, names);
    for (const ptx::Variable& variable : source->variables) {
      // Placed again, in the same order, where it is declared.
      if (variable.space == Space::shared) of_bodies = align_up(of_bodies, variable.alignment) + variable.bytes;
      if (of_bodies > kMaxWindow) throw SyntaxError(variable.position, "too much shared memory is declared");
    }
  }
  std::uint64_t end = of_bodies;
  std::uint64_t dynamic_alignment = 1;
  std::vector<const ptx::Variable*> dynamic;
  for (const ptx::Variable& variable : linkage_.module.variables) {
    if (variable.space != Space::shared || !names.contains(variable.name)) continue;
    if (variable.bytes == 0) {
      dynamic.push_back(&variable);
      dynamic_alignment = std::max<std::uint64_t>(dynamic_alignment, variable.alignment);
      continue;
    }
    end = align_up(end, variable.alignment);
    parts_.shared_variables.emplace(variable.name, kSharedBase + end);
    end += variable.bytes;
    if (end > kMaxWindow) throw SyntaxError(variable.position, "too much shared memory is declared");
  }
  const std::uint64_t of_kernel = align_up(end, dynamic_alignment);
  if (names.contains(kReservedShared)) {
    // On a card it is part of what the system keeps for itself of each block's shared memory.
    parts_.shared_variables.emplace(kReservedShared, kSharedBase + align_up(end, 16));
    end = align_up(end, 16) + kReservedSharedBytes;
  }
  end = align_up(end, dynamic_alignment);
  reserved_shared_bytes_ = static_cast<std::uint32_t>(end - of_kernel);
  for (const ptx::Variable* variable : dynamic) parts_.shared_variables.emplace(variable->name, kSharedBase + end);
  program_.static_shared_bytes = static_cast<std::uint32_t>(end);
}

/// The bytes of all frames from this function on, along the deepest way.
std::uint32_t KernelBuilder::deepest(std::size_t function, std::size_t depth) {
  if (depth > kMaxCallDepth) throw SyntaxError(entry_.position, "calls are nested more than 1000 deep");
  Node& node = nodes_[function];
  if (node.open) {
    program_.functions[function].recursive = true;
    return kRecursionBytes;
  }
  if (node.bytes != kUnknown) return node.bytes;
  node.open = true;
  std::uint32_t most = 0;
  for (const std::size_t callee : node.by_name) most = std::max(most, deepest(callee, depth + 1));
  for (const std::size_t callee : node.by_address) most = std::max(most, deepest(callee, depth + 1));
  node.open = false;
  node.bytes = program_.functions[function].frame_bytes + most;
  if (node.bytes > kMaxWindow) throw SyntaxError(entry_.position, "too much local memory is declared");
  return node.bytes;
}

void KernelBuilder::set_local_bytes() {
  program_.local_bytes = program_.most_local_bytes = deepest(0, 0);
  // Only the function that closed a circle of calls was marked: all others may lie on it.
  const auto marked = [](const FunctionCode& function) { return function.recursive; };
  if (!std::any_of(program_.functions.begin(), program_.functions.end(), marked)) return;
  for (FunctionCode& function : program_.functions) function.recursive = true;
  program_.most_local_bytes = std::max(program_.local_bytes, kMostLocalBytes);
}

Kernel KernelBuilder::build() {
  Kernel kernel;
  kernel.name = program_.name;
  collect_functions();
  mark_direct();
  place_shared_variables();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (i != 0 && !nodes_[i].source->defined) continue;
    FunctionBuilder builder(parts_, *nodes_[i].source, static_cast<std::int32_t>(i), nodes_[i].direct);
    if (i == 0) {
      builder.place_kernel_parameters(kernel);
    } else {
      builder.place_parameters();
    }
    builder.build();
  }
  for (std::size_t i = 0; i < program_.code.size(); ++i) {
    program_.code[i].operands = program_.operands.data() + parts_.first_operand[i];
  }
  set_local_bytes();
  kernel.static_shared_bytes = program_.static_shared_bytes - reserved_shared_bytes_;
  kernel.local_bytes = program_.functions[0].frame_bytes;
  const auto& required = entry_.required_extent;
  const auto& most = entry_.max_extent;
  kernel.exact_extent = required[0] != 0;
  kernel.required_extent = Extent{required[0], required[1], required[2]};
  const auto& extent = kernel.exact_extent ? required : most;
  kernel.max_threads = std::uint64_t{extent[0]} * extent[1] * extent[2];
  kernel.min_blocks_per_sm = entry_.min_blocks_per_sm;
  kernel.max_registers = entry_.max_registers;
  kernel.cluster = Extent{entry_.cluster[0], entry_.cluster[1], entry_.cluster[2]};
  kernel.program = parts_.program;
  return kernel;
}

}  // namespace

Linkage::Linkage(const ptx::Module& of_module, std::uint64_t first_code) : module(of_module) {
  for (const ptx::Function& function : module.functions) {
    const auto [at, fresh] = functions.try_emplace(function.name, &function);
    if (!fresh && at->second->defined && function.defined) {
      throw SyntaxError(function.position, fmt::format("'{}' is defined twice", function.name));
    }
    if (function.defined) at->second = &function;
    code.try_emplace(function.name, first_code + kCodeStep * code.size());
  }
  for (const ptx::Alias& alias : module.aliases) {
    const auto of = functions.find(alias.of);
    if (of == functions.end()) throw SyntaxError(alias.position, fmt::format("there is no function '{}'", alias.of));
    functions[alias.name] = of->second;
    code[alias.name] = code.at(alias.of);
  }
  Names names;
  for (const ptx::Variable& variable : module.variables) {
    for (const ptx::Initial& initial : variable.initial) names.insert(initial.value.text);
  }
  const auto note = [&](const ptx::Function& function) {
    for (const ptx::Instruction& instruction : function.instructions) {
      if (instruction.opcode == "mov" || instruction.opcode == "cvta") note_names(instruction.operands, names);
    }
  };
  for (const ptx::Function& function : module.entries) note(function);
  for (const ptx::Function& function : module.functions) note(function);
  for (const ptx::Function& function : module.functions) {
    if (function.defined && names.contains(function.name)) addressed.push_back(function.name);
  }
}

std::uint64_t Linkage::address_of(const ptx::Operand& name) const {
  const auto at =
      std::find_if(variables.begin(), variables.end(), [&](const auto& entry) { return entry.first == name.text; });
  const auto of_code = code.find(name.text);
  if (at == variables.end() && of_code == code.end()) {
    throw SyntaxError(name.position, fmt::format("'{}' is no variable that has an address", name.text));
  }
  return (at != variables.end() ? at->second : of_code->second) + static_cast<std::uint64_t>(name.offset);
}

std::string Program::text_of(const Instruction& instruction) const {
  std::string words;
  for (const char letter : instruction.text) {
    const bool space = letter == '\n' || letter == '\t' || letter == '\r' || letter == ' ';
    if (!space) words += letter;
    if (space && !words.ends_with(' ')) words += ' ';
  }
  return words;
}

std::string Program::source_of(const Instruction& instruction) const {
  const auto at = static_cast<std::size_t>(&instruction - code.data());
  return at < locations.size() ? source_map->describe(locations[at]) : std::string{};
}

Kernel build_kernel(const ptx::Function& entry, const Linkage& linkage,
                    const std::shared_ptr<const std::string>& text) {
  return KernelBuilder(entry, linkage, text).build();
}

}  // namespace moesaic::emulator
