#include "emulator/driver.hpp"

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

bool is_stream(State& all, CUstream stream) {
  return stream == nullptr || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD ||
         all.streams.find(stream) != nullptr;
}

}  // namespace driver

void configure(const DriverOptions& options) {
  const std::lock_guard lock(driver::state_mutex());
  driver::state() = driver::State{};
  driver::state().options = options;
  driver::state().configured = true;
}

void* find_function(std::string_view name) {
  for (const auto functions : {driver::device_functions(), driver::memory_functions(), driver::module_functions(),
                               driver::launch_functions()}) {
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
  return machine != nullptr ? machine->take_findings() : std::vector<Finding>{};
}

}  // namespace moesaic::emulator
