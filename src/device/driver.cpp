#include "device/driver.hpp"

#include <dlfcn.h>

#include "spec/error.hpp"

namespace moesaic::device {
namespace {

Driver open_libcuda() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw Error(
        "libcuda.so.1 cannot be opened: no NVIDIA driver on this machine; --device cpu and --device emulated:gb10 run "
        "without one");
  }
  Driver driver = make_driver([library](const char* name) { return dlsym(library, name); },
                              "the NVIDIA driver is too old: libcuda.so.1 has no ");
  driver.last_fault = [] { return std::string(); };
  driver.take_findings = [] { return std::string(); };
  return driver;
}

}  // namespace

Driver open_driver(const Place& place) {
  switch (place.kind) {
    case Place::Kind::gpu:
      return open_libcuda();
    case Place::Kind::emulated:
      return open_emulated_driver(place);
    case Place::Kind::cpu:
      break;
  }
  throw Error("the cpu has no CUDA driver");
}

}  // namespace moesaic::device
