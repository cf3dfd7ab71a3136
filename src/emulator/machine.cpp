#include "emulator/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "emulator/card_observer.hpp"
#include "emulator/grid_run.hpp"
#include "emulator/occupancy.hpp"
#include "emulator/program.hpp"

namespace moesaic::emulator {
namespace {

constexpr std::uint64_t kMaxThreads = 1024;      // of a block, on every card
constexpr std::uint64_t kMaxGridX = 0x7fffffff;  // CUDA C++ Programming Guide, "Compute Capabilities"
constexpr std::uint64_t kMaxGridYz = 65535;

[[noreturn]] void refuse(const Kernel& kernel, const std::string& what) {
  throw Fault(Fault::Kind::launch, Fault::Place{.kernel = kernel.name, .instruction = {}}, what);
}

void check_extents(const Kernel& kernel, const Launch& launch) {
  const Extent& block = launch.block;
  const Extent& grid = launch.grid;
  const std::uint64_t most = kernel.max_threads != 0 ? std::min(kernel.max_threads, kMaxThreads) : kMaxThreads;
  if (block.x == 0 || block.y == 0 || block.z == 0 || block.x > kMaxThreads || block.y > kMaxThreads || block.z > 64 ||
      block.count() > most) {
    refuse(kernel, fmt::format("a block of {}x{}x{} threads; 1 to {} are legal", block.x, block.y, block.z, most));
  }
  const Extent& required = kernel.required_extent;
  if (kernel.exact_extent && (block.x != required.x || block.y != required.y || block.z != required.z)) {
    refuse(kernel, fmt::format("a block of {}x{}x{} threads; .reqntid wants {}x{}x{}", block.x, block.y, block.z,
                               required.x, required.y, required.z));
  }
  if (grid.count() == 0 || grid.x > kMaxGridX || grid.y > kMaxGridYz || grid.z > kMaxGridYz) {
    refuse(kernel, fmt::format("a grid of {}x{}x{} blocks", grid.x, grid.y, grid.z));
  }
}

void set_registers(Kernel& kernel, const std::vector<std::pair<std::string, std::uint32_t>>& of_cubin,
                   const Device& card) {
  for (const auto& [name, count] : of_cubin) {
    if (name != kernel.name) continue;
    kernel.registers = count;
    kernel.registers_from = RegistersFrom::cubin;
    return;
  }
  if (kernel.max_registers != 0) {
    kernel.registers = kernel.max_registers;
    kernel.registers_from = RegistersFrom::maxnreg;
  } else if (kernel.min_blocks_per_sm != 0 && kernel.max_threads != 0) {
    const std::uint64_t warps = (kernel.max_threads + kWarpLanes - 1) / kWarpLanes * kernel.min_blocks_per_sm;
    const std::uint64_t fit = static_cast<std::uint64_t>(card.registers_per_sm) / (warps * kWarpLanes) / 8 * 8;
    kernel.registers = static_cast<std::uint32_t>(std::min<std::uint64_t>(fit, 255));
    kernel.registers_from = RegistersFrom::minnctapersm;
  }
}

/// The leading bytes of a variable, those to which its initial values give something; the others are zero.
std::vector<std::byte> initial_bytes(const ptx::Variable& variable, const Linkage& linkage) {
  std::vector<std::byte> bytes(variable.initial.size() * variable.element_bytes);
  for (std::size_t i = 0; i < variable.initial.size(); ++i) {
    const ptx::Operand& value = variable.initial[i].value;
    std::uint64_t bits = value.bits;
    if (value.kind == ptx::Operand::Kind::symbol) {
      const std::uint64_t mask = variable.initial[i].mask;
      bits = (linkage.address_of(value) & mask) >> std::countr_zero(mask);
    } else if (value.kind == ptx::Operand::Kind::real && variable.element_bytes == 4) {
      bits = std::bit_cast<std::uint32_t>(static_cast<float>(std::bit_cast<double>(value.bits)));
    }
    const std::size_t width = std::min<std::size_t>(variable.element_bytes, sizeof bits);
    for (std::size_t b = 0; b < width; ++b) {
      bytes[i * variable.element_bytes + b] = static_cast<std::byte>(bits >> (8 * b));
    }
  }
  return bytes;
}

}  // namespace

const Kernel* Module::find_kernel(std::string_view name) const {
  const auto at = std::find_if(kernels.begin(), kernels.end(), [&](const Kernel& k) { return k.name == name; });
  return at == kernels.end() ? nullptr : &*at;
}

const Variable* Module::find_variable(std::string_view name) const {
  const auto at = std::find_if(variables.begin(), variables.end(), [&](const Variable& v) { return v.name == name; });
  return at == variables.end() ? nullptr : &*at;
}

Statistics& Statistics::operator+=(const Statistics& other) {
  for (std::size_t i = 0; i < kClasses; ++i) {
    warp_instructions[i] += other.warp_instructions[i];
    lane_instructions[i] += other.lane_instructions[i];
  }
  mma += other.mma;
  copied_bytes += other.copied_bytes;
  for (const auto member :
       {&Traffic::global, &Traffic::shared, &Traffic::local, &Traffic::copied_global, &Traffic::copied_shared}) {
    (traffic.*member).read += (other.traffic.*member).read;
    (traffic.*member).written += (other.traffic.*member).written;
  }
  for (const auto& [form, count] : other.mma_forms) mma_forms[form] += count;
  for (const auto& [line, counted] : other.wavefronts) {
    wavefronts[line].needed += counted.needed;
    wavefronts[line].taken += counted.taken;
  }
  return *this;
}

Machine::Machine(const Options& options)
    : options_(options),
      memory_(static_cast<std::uint64_t>(std::max<std::int64_t>(options.card.memory_bytes, 0))),
      next_code_(kCodeWindow) {
  if (options_.card.sms < 1) throw Error("an emulated card needs at least one SM");
  if (options_.checks.any()) observer_ = std::make_unique<CardObserver>();
  if (options_.checks.undefined) memory_.follow_definedness();
  flights_ = std::make_unique<Flights>(options_, observer_.get());
}

Machine::~Machine() = default;

const Module& Machine::load(std::string_view ptx, const std::vector<std::pair<std::string, std::uint32_t>>& registers) {
  const auto text = std::make_shared<const std::string>(ptx);
  const ptx::Module parsed = ptx::parse(*text);
  auto module = std::make_unique<Module>();
  Linkage linkage(parsed, next_code_);
  next_code_ += kCodeStep * (linkage.code.size() + 1);
  try {
    for (const ptx::Variable& variable : parsed.variables) {
      if (variable.space != ptx::Space::global && variable.space != ptx::Space::constant) continue;
      if (variable.bytes == 0 || variable.external) {
        throw ptx::SyntaxError(variable.position,
                               fmt::format("'{}' is defined elsewhere; modules are not linked", variable.name));
      }
      const std::uint64_t address = memory_.allocate(variable.bytes);
      module->variables.push_back(Variable{std::string(variable.name), address, variable.bytes});
      linkage.variables.emplace_back(variable.name, address);
    }
    for (const ptx::Variable& variable : parsed.variables) {
      if (variable.space != ptx::Space::global && variable.space != ptx::Space::constant) continue;
      const std::vector<std::byte> bytes = initial_bytes(variable, linkage);
      const std::uint64_t address = module->find_variable(variable.name)->address;
      memory_.fill(address, std::byte{0}, variable.bytes);
      memory_.write(address, bytes.data(), bytes.size());
    }
    for (const ptx::Function& entry : parsed.entries) {
      Kernel& kernel = module->kernels.emplace_back(build_kernel(entry, linkage, text));
      set_registers(kernel, registers, options_.card);
    }
  } catch (...) {
    for (const Variable& variable : module->variables) memory_.free(variable.address);
    throw;
  }
  return *modules_.emplace_back(std::move(module));
}

void Machine::unload(const Module& module) {
  run();
  for (const Variable& variable : module.variables) memory_.free(variable.address);
  std::erase_if(modules_, [&](const auto& loaded) { return loaded.get() == &module; });
}

int Machine::blocks_per_sm(const Kernel& kernel, const Launch& launch) const {
  return emulator::blocks_per_sm(kernel, launch, options_.card);
}

void Machine::check(const Kernel& kernel, const Launch& launch) const {
  const Program& program = *kernel.program;
  if (!program.unsupported.empty()) {
    throw Fault(
        Fault::Kind::unsupported,
        Fault::Place{.kernel = kernel.name, .line = program.unsupported_line, .instruction = program.unsupported},
        program.unsupported_why);
  }
  check_extents(kernel, launch);
  if (kernel.cluster.count() > 1) {
    refuse(kernel, fmt::format("clusters of {}x{}x{} blocks (.reqnctapercluster); an emulated card has clusters of one",
                               kernel.cluster.x, kernel.cluster.y, kernel.cluster.z));
  }
  if (launch.parameters.size() != kernel.parameter_bytes) {
    refuse(kernel, fmt::format("{} bytes of parameters are given and {} are taken", launch.parameters.size(),
                               kernel.parameter_bytes));
  }
  if (const int fit = blocks_per_sm(kernel, launch); fit != 0) {
    const std::uint64_t resident = static_cast<std::uint64_t>(fit) * static_cast<std::uint64_t>(options_.card.sms);
    if (!launch.cooperative || launch.grid.count() <= resident) return;
    refuse(kernel, fmt::format("{} blocks are launched to cooperate, and {} holds {} of them at once",
                               launch.grid.count(), options_.card.name, resident));
  }
  Kernel unlimited = kernel;
  unlimited.registers = 0;
  if (blocks_per_sm(unlimited, launch) != 0) {
    throw Fault(
        Fault::Kind::resources, Fault::Place{.kernel = kernel.name},
        fmt::format("{} threads of {} registers: a block does not fit on {}, which has {} for one",
                    launch.block.count(), kernel.registers, options_.card.name, options_.card.registers_per_block));
  }
  refuse(kernel, fmt::format("{} static and {} dynamic bytes of shared memory, {} threads: a block does not fit on {}, "
                             "which has {} bytes for one",
                             kernel.static_shared_bytes, launch.dynamic_shared_bytes, launch.block.count(),
                             options_.card.name, options_.card.smem_per_block_bytes));
}

std::uint64_t Machine::enqueue(const Kernel& kernel, const Launch& launch, const LaunchOrder& order) {
  check(kernel, launch);
  auto flight = std::make_unique<Flight>(kernel, options_, memory_, launch, launches_++, *flights_);
  flight->order = order;
  flight->per_sm = blocks_per_sm(kernel, launch);
  flight->grid.launch.in_clusters = launch.in_clusters || kernel.cluster.count() != 0;
  if (launch.cooperative) flight->grid.workspace = make_workspace();
  const std::uint64_t number = flight->grid.number;
  launched_.add(number);
  flights_->add(std::move(flight));
  return number;
}

/// What CUDA's cooperative groups take for a grid's workspace: its size, and the word at which blocks meet.
std::uint64_t Machine::make_workspace() {
  constexpr std::uint32_t kWords[] = {16, 0, 0, 0};
  const std::uint64_t address = memory_.allocate(sizeof kWords);
  memory_.write(address, kWords, sizeof kWords);
  workspaces_.push_back(address);
  return address;
}

void Machine::run() {
  const std::vector<std::uint64_t> workspaces = std::exchange(workspaces_, {});
  const auto release = [&] {
    for (const std::uint64_t address : workspaces) memory_.free(address);
  };
  try {
    flights_->run();
  } catch (...) {
    release();
    throw;
  }
  release();
}

std::size_t Machine::pending() const {
  return flights_->size();
}

Statistics Machine::statistics(std::uint64_t number) const {
  return flights_->statistics(number);
}

std::optional<std::chrono::steady_clock::time_point> Machine::end_of(std::uint64_t number) const {
  return flights_->end_of(number);
}

Statistics Machine::launch(const Kernel& kernel, const Launch& launch) {
  const std::uint64_t number = enqueue(kernel, launch, LaunchOrder{.after = launched_});
  run();
  return statistics(number);
}

std::vector<Finding> Machine::findings() const {
  return observer_ != nullptr ? observer_->findings().list() : std::vector<Finding>{};
}

std::vector<Finding> Machine::take_findings() {
  return observer_ != nullptr ? observer_->findings().take() : std::vector<Finding>{};
}

}  // namespace moesaic::emulator
