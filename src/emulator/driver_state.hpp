#pragma once

#include <cuda.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "emulator/driver.hpp"
#include "emulator/driver_graph.hpp"
#include "emulator/driver_streams.hpp"
#include "emulator/machine.hpp"

/// What the functions of the driver share.
namespace moesaic::emulator::driver {

/// Default limit of a block's shared memory; more needs cuFuncSetAttribute (CUDA C++ Programming Guide, "Shared
/// Memory").
inline constexpr int kDefaultSharedBytes = 48 * 1024;
inline constexpr unsigned kMaxBlockThreads = 1024;

/// A module, and for which compute capabilities its code was compiled (120).
struct LoadedModule {
  const Module* module = nullptr;
  int ptx_version = 0;
  int code_version = 0;  ///< of machine code
};

/// A kernel that the program asked for by name.
struct Function {
  std::uintptr_t module = 0;
  const Kernel* kernel = nullptr;
  int max_dynamic_shared_bytes = 0;
};

/// Memory that host and card share under one address.
struct HostMemory {
  enum class Kind : std::uint8_t { managed, pinned, registered };
  Kind kind = Kind::managed;
  std::size_t bytes = 0;
  unsigned int flags = 0;
  std::unique_ptr<void, decltype(&std::free)> owned{nullptr, &std::free};  ///< not of registered memory
};

/// Live objects of one kind. Handles are numbers that no other object of the process ever had, so a stale handle is
/// always noticed.
template <typename Handle, typename T>
class Handles {
 public:
  Handle add(T value) {
    const std::uintptr_t number = next_number();
    objects_.emplace(number, std::move(value));
    return to_handle(number);
  }

  /// The object, or null if the handle is not live.
  T* find(Handle handle) {
    const auto found = objects_.find(reinterpret_cast<std::uintptr_t>(handle));
    return found == objects_.end() ? nullptr : &found->second;
  }

  bool remove(Handle handle) { return objects_.erase(reinterpret_cast<std::uintptr_t>(handle)) == 1; }

  /// The first handle whose object satisfies `matches`, or null.
  template <typename Matches>
  Handle find_if(Matches&& matches) const {
    for (const auto& [number, object] : objects_) {
      if (matches(object)) return to_handle(number);
    }
    return nullptr;
  }

  template <typename Matches>
  void remove_if(Matches&& matches) {
    std::erase_if(objects_, [&](const auto& entry) { return matches(entry.second); });
  }

  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const auto& entry : objects_) visit(entry.second);
  }
  template <typename Visit>
  void for_each(Visit&& visit) {
    for (auto& entry : objects_) visit(entry.second);
  }

  void clear() { objects_.clear(); }

 private:
  static Handle to_handle(std::uintptr_t number) {
    return reinterpret_cast<Handle>(number);  // NOLINT(performance-no-int-to-ptr): a number that is never dereferenced
  }

  static std::uintptr_t next_number() {
    static std::uintptr_t last = 0x1000;
    return last += 16;
  }

  std::map<std::uintptr_t, T> objects_;
};

/// The whole driver.
struct State {
  DriverOptions options;
  bool configured = false;
  bool initialized = false;
  int retained = 0;  ///< of the primary context
  std::unique_ptr<Machine> machine;
  Handles<CUcontext, int> contexts;
  Handles<CUmodule, LoadedModule> modules;
  Handles<CUfunction, Function> functions;
  Stream legacy;      ///< the default stream
  Stream per_thread;  ///< CU_STREAM_PER_THREAD: one for all threads of the host
  Handles<CUstream, Stream> streams;
  Handles<CUevent, Event> events;
  Handles<CUgraph, std::shared_ptr<Graph>> graphs;
  Handles<CUgraphNode, Node> nodes;
  Handles<CUgraphExec, std::shared_ptr<ReadyGraph>> ready_graphs;
  std::uint64_t captures = 0;  ///< begun
  std::map<CUdeviceptr, HostMemory> host_memory;
  Handles<CUmemoryPool, int> pools;
  unsigned int context_flags = 0;
  std::map<CUlimit, std::size_t> limits;
  GridSet known;                   ///< launches that have ended, as far as the host knows
  CUresult sticky = CUDA_SUCCESS;  ///< a kernel's fault, returned by every later call
  std::string fault;               ///< for last_fault
};

State& state();
std::mutex& state_mutex();

/// The calling thread's current context, whether or not it is still alive.
CUcontext& current_context();

/// The code for an exception in flight, whose text becomes the last fault; `code` is the one for a plain Error.
CUresult report_exception(CUresult code);

/// The code of a fault in a running kernel, as CUDA has it.
CUresult fault_code(Fault::Kind kind);

/// Records why a call fails, and gives its code back.
CUresult refuse(CUresult code, const std::string& why);

/// Runs what has been launched. The code of the fault if there is one; it stays.
CUresult run_pending(State& all);

/// Runs the body of a function that needs cuInit. `code` is what an Error thrown by the body means.
template <typename Body>
CUresult with_driver(Body&& body, CUresult code = CUDA_ERROR_INVALID_VALUE) {
  const std::lock_guard lock(state_mutex());
  State& all = state();
  if (all.sticky == CUDA_SUCCESS) all.fault.clear();
  if (!all.initialized) return CUDA_ERROR_NOT_INITIALIZED;
  try {
    return body(all);
  } catch (...) {
    return report_exception(code);
  }
}

/// Runs the body of a function that needs a current context in which no kernel has failed.
template <typename Body>
CUresult with_context(Body&& body, CUresult code = CUDA_ERROR_INVALID_VALUE) {
  return with_driver(
      [&](State& all) {
        if (all.contexts.find(current_context()) == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
        return all.sticky != CUDA_SUCCESS ? all.sticky : body(all);
      },
      code);
}

/// Runs the body when all that was launched has run. A fault of a kernel is reported here, as by every later call.
template <typename Body>
CUresult with_idle_card(Body&& body, CUresult code = CUDA_ERROR_INVALID_VALUE) {
  return with_context(
      [&](State& all) {
        const CUresult ran = run_pending(all);
        return ran != CUDA_SUCCESS ? ran : body(all);
      },
      code);
}

/// The stream of a handle: the default streams (null, and the two special values) or a live one; null if it is none.
Stream* find_stream(State& all, CUstream stream);

/// All that has been launched into a stream, and into those that it waits for.
Point point_of(State& all, const Stream& stream);

/// Ends memory of that kind; CUDA_ERROR_INVALID_VALUE if the address is not the begin of such.
CUresult release_host_memory(State& all, CUdeviceptr address, HostMemory::Kind kind);

/// A driver function under the name that libcuda exports.
struct NamedFunction {
  std::string_view name;
  void* function;
};

/// The table entry of `function`, whose type must be the one that cuda.h declares under that name.
template <typename Declared, typename Function>
NamedFunction named(std::string_view name, Function* function) {
  static_assert(std::is_same_v<Declared, Function*>);
  return {name, reinterpret_cast<void*>(function)};
}

// Two steps, so that cuda.h's versioned names (cuMemAlloc is cuMemAlloc_v2) are put in before the name becomes a
// string.
#define MOESAIC_NAME_TEXT(name) #name
#define MOESAIC_NAMED_FUNCTION(name, function) named<decltype(&::name)>(MOESAIC_NAME_TEXT(name), &(function))

std::span<const NamedFunction> device_functions();
std::span<const NamedFunction> memory_functions();
std::span<const NamedFunction> module_functions();
std::span<const NamedFunction> launch_functions();
std::span<const NamedFunction> stream_functions();
std::span<const NamedFunction> copy_functions();
std::span<const NamedFunction> host_memory_functions();
std::span<const NamedFunction> pool_functions();
std::span<const NamedFunction> context_functions();
std::span<const NamedFunction> entry_functions();
std::span<const NamedFunction> library_functions();
std::span<const NamedFunction> capture_functions();
std::span<const NamedFunction> graph_functions();
std::span<const NamedFunction> graph_node_functions();

}  // namespace moesaic::emulator::driver
