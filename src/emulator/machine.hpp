#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "emulator/checks.hpp"
#include "emulator/fault.hpp"
#include "emulator/finding.hpp"
#include "emulator/global_memory.hpp"
#include "emulator/grid_set.hpp"
#include "spec/device.hpp"

/// An emulated card: executes PTX text on the host's CPU. With one host thread every result is a function of the
/// program, its input and the seed; with more, for programs whose result does not depend on the order of blocks.
namespace moesaic::emulator {

struct Program;
class CardObserver;
class Flights;

/// What an emulated card is.
struct Options {
  Device card;             ///< from spec/device.hpp; `sms` may be cut to make persistent kernels quick
  std::uint64_t seed = 1;  ///< of the warps' interleaving and of the lateness of asynchronous copies
  int host_threads = 0;    ///< 0: all of the host's
  /// A block that changes nothing (stores, atomics, barriers) for so many warp instructions is livelocked.
  std::uint64_t spin_limit = kSpinLimit;
  /// Takes what kernels print by printf; empty: standard output.
  std::function<void(std::string_view text)> print{};
  Checks checks{};  ///< what is looked out for; see Machine::findings
};

/// Numbers of threads or blocks along x, y and z.
struct Extent {
  std::uint32_t x = 1;
  std::uint32_t y = 1;
  std::uint32_t z = 1;

  std::uint64_t count() const { return std::uint64_t{x} * y * z; }
};

/// Where a parameter lies in the bytes that a launch hands over.
struct Parameter {
  std::uint32_t offset = 0;
  std::uint32_t bytes = 0;
  std::uint32_t alignment = 1;
};

/// Where it is known from how many registers a thread of a kernel has.
enum class RegistersFrom : std::uint8_t {
  nowhere,      ///< they are not known, and nothing is checked
  cubin,        ///< the machine code beside the PTX
  maxnreg,      ///< .maxnreg: a bound
  minnctapersm  ///< .minnctapersm with .maxntid or .reqntid: the most that lets so many blocks fit
};

/// An entry function of a loaded module. Lives as long as its module.
struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  std::uint32_t parameter_bytes = 0;      ///< of all parameters, padding included
  std::uint32_t static_shared_bytes = 0;  ///< without the dynamic part
  std::uint32_t local_bytes = 0;          ///< per thread, as declared in the PTX
  std::uint64_t max_threads = 0;          ///< of a block, from .maxntid or .reqntid; 0: the card's limit
  bool exact_extent = false;              ///< .reqntid: the block must be required_extent
  Extent required_extent;
  std::uint32_t min_blocks_per_sm = 0;  ///< .minnctapersm, 0 when absent
  std::uint32_t max_registers = 0;      ///< .maxnreg, 0 when absent
  std::uint32_t registers = 0;          ///< of a thread; 0: not known, and then not checked
  RegistersFrom registers_from = RegistersFrom::nowhere;
  Extent cluster{0, 0, 0};  ///< .reqnctapercluster, zeros when absent
  std::shared_ptr<const Program> program;
};

/// A variable that a module placed in global or constant memory.
struct Variable {
  std::string name;
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
};

/// A loaded module.
struct Module {
  std::vector<Kernel> kernels;
  std::vector<Variable> variables;

  /// The kernel of that name, or null.
  const Kernel* find_kernel(std::string_view name) const;
  /// The variable of that name, or null.
  const Variable* find_variable(std::string_view name) const;
};

/// Classes of instructions, for counting.
enum class Class : std::uint8_t { integer, floating, conversion, move, control, memory, warp, barrier, copy, matrix };
inline constexpr std::size_t kClasses = 10;

/// Bytes that a launch moved; counted when Checks::counts is on.
struct Traffic {
  struct Bytes {
    std::uint64_t read = 0;
    std::uint64_t written = 0;
  };
  Bytes global;  ///< by threads
  Bytes shared;
  Bytes local;
  Bytes copied_global;  ///< by asynchronous operations
  Bytes copied_shared;
};

/// How often the instructions of a line asked shared memory; counted when Checks::bank_conflicts is on.
struct Wavefronts {
  std::uint64_t needed = 0;  ///< if no two lanes wanted different words of one bank
  std::uint64_t taken = 0;
};

/// What a launch executed.
struct Statistics {
  std::array<std::uint64_t, kClasses> warp_instructions{};  ///< by Class
  std::array<std::uint64_t, kClasses> lane_instructions{};  ///< by Class, active lanes only
  std::uint64_t mma = 0;                                    ///< warp-wide mma.sync
  std::uint64_t copied_bytes = 0;                           ///< written by asynchronous copies
  Traffic traffic{};
  std::map<std::string, std::uint64_t> mma_forms{};  ///< mma.sync by name; counted with Traffic
  std::map<std::uint32_t, Wavefronts> wavefronts{};  ///< by line of the PTX text

  Statistics& operator+=(const Statistics& other);
};

/// How a kernel is launched.
struct Launch {
  Extent grid;
  Extent block;
  std::uint32_t dynamic_shared_bytes = 0;
  bool in_clusters = false;               ///< of one block; .reqnctapercluster asks for the same
  bool cooperative = false;               ///< all blocks are resident at once, and may wait for one another
  std::span<const std::byte> parameters;  ///< Kernel::parameter_bytes of them, laid out as Kernel::parameters says
};

/// How a launch stands to earlier ones.
struct LaunchOrder {
  GridSet after{};                            ///< it starts when these have ended
  std::vector<std::uint64_t> programmatic{};  ///< and when the blocks of these have released their dependents
  bool release_at_start = false;              ///< each block of this one releases its dependents when it starts
};

/// One emulated card with its memory and modules. Not thread-safe: one call at a time.
class Machine {
 public:
  explicit Machine(const Options& options);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  const Options& options() const { return options_; }
  GlobalMemory& memory() { return memory_; }
  const GlobalMemory& memory() const { return memory_; }

  /// Loads PTX text and places its variables. Throws Error with line and column when the text is malformed. An
  /// instruction that the emulator does not know is no error here: launch() of its kernel throws. `registers`: of each
  /// kernel, from its machine code (read_registers); what is not there is taken from directives or not known.
  const Module& load(std::string_view ptx, const std::vector<std::pair<std::string, std::uint32_t>>& registers = {});

  /// Forgets a module and frees its variables.
  void unload(const Module& module);

  /// The most blocks of this launch that one SM holds, from threads, shared memory and registers (where they are
  /// known: Kernel::registers); 0 when a block does not fit.
  int blocks_per_sm(const Kernel& kernel, const Launch& launch) const;

  /// Accepts a launch, to be run by run(), and returns its number; a copy of the parameters is kept. Throws Fault when
  /// the launch is not legal on this card.
  std::uint64_t enqueue(const Kernel& kernel, const Launch& launch, const LaunchOrder& order);

  /// Runs all that has been accepted to its end, interleaved as the seed says where the order leaves it open. Throws
  /// Fault when a thread does what is forbidden; of several faulting blocks the lowest of the earliest launch is
  /// reported. Memory then holds what was written until then, and nothing is left to run.
  void run();
  /// How many launches have been accepted and not run.
  std::size_t pending() const;
  /// How many launches have been accepted in all; their numbers are those below.
  std::uint64_t launches() const { return launches_; }

  /// What a launch executed that the last run() has ended; and when it ended, on the host's clock.
  Statistics statistics(std::uint64_t number) const;
  std::optional<std::chrono::steady_clock::time_point> end_of(std::uint64_t number) const;

  /// Runs a grid after all others, to its end: enqueue() and run().
  Statistics launch(const Kernel& kernel, const Launch& launch);

  /// What Options::checks found in the kernels that have run, one for each pair of instructions; and the same,
  /// forgotten afterwards.
  std::vector<Finding> findings() const;
  std::vector<Finding> take_findings();

 private:
  void check(const Kernel& kernel, const Launch& launch) const;
  std::uint64_t make_workspace();

  Options options_;
  GlobalMemory memory_;
  std::vector<std::unique_ptr<Module>> modules_;
  std::uint64_t launches_ = 0;
  std::uint64_t next_code_;  // the address of the next module's first function
  GridSet launched_;
  std::vector<std::uint64_t> workspaces_;   // of cooperative grids that have not run
  std::unique_ptr<CardObserver> observer_;  // when a check is on
  std::unique_ptr<Flights> flights_;        // ends before what it observes
};

}  // namespace moesaic::emulator
