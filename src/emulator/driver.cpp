#include "emulator/driver.hpp"

#include <fmt/format.h>

#include <array>
#include <new>

#include "emulator/driver_state.hpp"
#include "spec/error.hpp"

namespace moesaic::emulator {
namespace driver {

State& state() {
  static State all;
  return all;
}

std::mutex& state_mutex() {
  static std::mutex mutex;
  return mutex;
}

CUcontext& current_context() {
  thread_local CUcontext context = nullptr;
  return context;
}

CUresult fault_code(Fault::Kind kind) {
  switch (kind) {
    case Fault::Kind::out_of_bounds:
      return CUDA_ERROR_ILLEGAL_ADDRESS;
    case Fault::Kind::misaligned:
      return CUDA_ERROR_MISALIGNED_ADDRESS;
    case Fault::Kind::deadlock:
    case Fault::Kind::livelock:
      return CUDA_ERROR_LAUNCH_TIMEOUT;
    case Fault::Kind::unsupported:
      return CUDA_ERROR_NOT_SUPPORTED;
    case Fault::Kind::invalid:
      return CUDA_ERROR_ILLEGAL_INSTRUCTION;
    case Fault::Kind::trap:
      return CUDA_ERROR_LAUNCH_FAILED;
    case Fault::Kind::assertion:
      return CUDA_ERROR_ASSERT;
    case Fault::Kind::resources:
      return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    case Fault::Kind::launch:
      return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_ERROR_UNKNOWN;
}

CUresult refuse(CUresult code, const std::string& why) {
  state().fault = why;
  return code;
}

CUresult report_exception(CUresult code) {
  try {
    throw;
  } catch (const Fault& fault) {
    return refuse(fault_code(fault.kind), fault.what());
  } catch (const Error& error) {
    return refuse(code, error.what());
  } catch (const std::bad_alloc&) {
    return refuse(CUDA_ERROR_OUT_OF_MEMORY, "the host has no memory left for the emulated card");
  } catch (const std::exception& error) {
    return refuse(CUDA_ERROR_UNKNOWN, error.what());
  }
}

CUresult run_pending(State& all) {
  try {
    all.machine->run();
  } catch (const Fault& fault) {
    refuse(CUDA_SUCCESS, fault.what());
    all.sticky = fault_code(fault.kind);
    if (all.options.failed) all.options.failed(fmt::format("{}: {}", name_of(fault.kind), fault.what()));
  }
  if (all.options.found) {
    for (const Finding& finding : all.machine->take_findings()) all.options.found(finding);
  }
  return all.sticky;
}

Stream* find_stream(State& all, CUstream stream) {
  if (stream == nullptr || stream == CU_STREAM_LEGACY) return &all.legacy;
  return stream == CU_STREAM_PER_THREAD ? &all.per_thread : all.streams.find(stream);
}

Point point_of(State& all, const Stream& stream) {
  Point point = stream.point;
  const auto add = [&](const Stream& other) {
    if (&other == &stream || !other.blocking) return;
    point.launches.add(other.point.launches);
    point.programmatic.insert(point.programmatic.end(), other.point.programmatic.begin(),
                              other.point.programmatic.end());
  };
  if (&stream == &all.legacy) {
    add(all.per_thread);
    all.streams.for_each(add);
  } else if (stream.blocking) {
    add(all.legacy);
  }
  return point;
}

}  // namespace driver

void configure(const DriverOptions& options) {
  const std::lock_guard lock(driver::state_mutex());
  driver::state() = driver::State{};
  driver::state().options = options;
  driver::state().configured = true;
}

void* find_function(std::string_view name) {
  for (const auto functions : {driver::device_functions(), driver::context_functions(), driver::memory_functions(),
                               driver::copy_functions(), driver::host_memory_functions(), driver::pool_functions(),
                               driver::module_functions(), driver::library_functions(), driver::launch_functions(),
                               driver::stream_functions(), driver::capture_functions(), driver::graph_functions(),
                               driver::graph_node_functions(), driver::entry_functions()}) {
    for (const driver::NamedFunction& entry : functions) {
      if (entry.name == name) return entry.function;
    }
  }
  return nullptr;
}

std::string last_fault() {
  const std::lock_guard lock(driver::state_mutex());
  return driver::state().fault;
}

std::vector<Finding> take_findings() {
  const std::lock_guard lock(driver::state_mutex());
  Machine* machine = driver::state().machine.get();
  if (machine != nullptr) driver::run_pending(driver::state());
  return machine != nullptr ? machine->take_findings() : std::vector<Finding>{};
}

}  // namespace moesaic::emulator
