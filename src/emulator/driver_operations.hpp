#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "emulator/machine.hpp"

/// What a stream can be asked to do: done at once or, while the stream is being captured, made a node of a graph.
namespace moesaic::emulator::driver {

struct State;
struct Stream;
struct Point;

/// What a launch asks for beyond its extents.
struct Wishes {
  bool programmatic = false;  ///< it may start early
  bool release_at_start = false;
  bool cooperative = false;
  bool in_clusters = false;
  CUevent event = nullptr;  ///< to be recorded when its blocks have released their dependents
};

struct KernelLaunch {
  CUfunction function = nullptr;
  Launch launch;                        ///< without parameters
  std::vector<std::byte> parameters{};  ///< laid out as the kernel has them
  Wishes wishes{};
};

/// A copy of depth x height rows of `width` bytes.
struct Copy {
  enum class Memory : std::uint8_t { card, host, either };
  struct Side {
    Memory memory = Memory::either;
    std::uint64_t address = 0;
    std::size_t pitch = 0;  ///< bytes from one row to the next
    std::size_t slice = 0;  ///< bytes from one layer to the next
  };
  Side to;
  Side from;
  std::size_t width = 0;
  std::size_t height = 1;
  std::size_t depth = 1;
};

/// Fills `height` rows of `width` elements with a value.
struct Fill {
  std::uint64_t to = 0;
  std::uint32_t value = 0;
  std::uint32_t element_bytes = 1;  ///< 1, 2 or 4
  std::size_t width = 0;
  std::size_t height = 1;
  std::size_t pitch = 0;  ///< bytes from one row to the next
};

/// A function of the program, which runs when all before it in its stream has.
struct HostCall {
  CUhostFn function = nullptr;
  void* data = nullptr;
};

struct EventRecord {
  CUevent event = nullptr;
};
struct EventWait {
  CUevent event = nullptr;
};
struct Nothing {};
/// A copy of a graph, which belongs to its node.
struct ChildGraph {
  CUgraph graph = nullptr;
};

using Operation = std::variant<Nothing, KernelLaunch, Copy, Fill, HostCall, EventRecord, EventWait, ChildGraph>;

/// Lets an operation come next in a stream. `known`: the host waits until it is done, and then knows that what came
/// before has ended. Not for HostCall and ChildGraph, which are added to graphs only.
CUresult submit(State& all, CUstream handle, const Operation& operation, bool known = false);

/// Performs copies and fills. What was launched must have run.
CUresult perform(GlobalMemory& memory, const Copy& copy);
CUresult perform(GlobalMemory& memory, const Fill& fill);

/// The copy that the driver's struct describes, and the struct for a copy. No copy when an array is part of it.
std::optional<Copy> copy_of(const CUDA_MEMCPY3D& parameters);
CUDA_MEMCPY3D parameters_of(const Copy& copy);

/// CUDA_SUCCESS, or the code with which a card refuses the launch.
CUresult check_launch(State& all, const KernelLaunch& launch);

/// Lets the machine accept a launch, and gives its number.
std::uint64_t enqueue(State& all, const KernelLaunch& launch, const LaunchOrder& order);

/// Gathers the arguments of a launch as the kernel's parameters lie. False if they are not given in a legal way.
bool gather_arguments(const Kernel& kernel, void** arguments, void** extra, std::vector<std::byte>& bytes);

/// Whether a call that waits for the stream, or asks about it, is legal: not while the stream is captured, which that
/// call then spoils; nor for the legacy stream while a stream that it waits for is captured.
CUresult check_not_captured(State& all, CUstream handle);

}  // namespace moesaic::emulator::driver
