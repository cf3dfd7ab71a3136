#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device/driver.hpp"

namespace moesaic::device {

class Gpu;

/// Memory on a card. Empty buffers hold no memory and have address 0.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Gpu& gpu, std::size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  CUdeviceptr address() const { return address_; }
  std::size_t bytes() const { return bytes_; }

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(address_);  // NOLINT(performance-no-int-to-ptr): a device address, never followed here
  }

 private:
  const Gpu* gpu_ = nullptr;
  CUdeviceptr address_ = 0;
  std::size_t bytes_ = 0;
};

/// How a kernel is launched.
struct Grid {
  unsigned blocks = 0;
  unsigned threads = 0;
  unsigned smem_bytes = 0;  ///< dynamic
  /// Programmatic dependent launch: may start before the kernel in front of it in the stream has finished, and waits
  /// for it by griddepcontrol.wait.
  bool dependent = false;
};

/// One card, real or emulated, with this process's primary context on it. Every function throws Error when the driver
/// reports a failure; the text has the driver's own words and, on an emulated card, what the emulator found.
class Gpu {
 public:
  explicit Gpu(const Place& place);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  /// What the driver reports of the card; `name` is the place's.
  const Device& device() const { return device_; }
  /// Whether its time says nothing.
  bool emulated() const { return emulated_; }

  /// A module from a fat binary or PTX text. It lives as long as the Gpu.
  CUmodule load(const void* image);
  CUfunction function(CUmodule module, const std::string& name) const;

  /// Allows the kernel `bytes` of dynamic shared memory; more than 48 KB have to be asked for.
  void allow_smem(CUfunction function, std::size_t bytes) const;
  /// Blocks of the kernel that one SM holds at a time.
  int blocks_per_sm(CUfunction function, const Grid& grid) const;

  /// Starts a kernel; `arguments` are its parameters, passed by value. Launches of one Gpu run in order.
  template <class... Arguments>
  void launch(CUfunction function, const Grid& grid, const Arguments&... arguments) const {
    const void* pointers[] = {&arguments...};
    launch_raw(function, grid, pointers);
  }
  /// Whether what is launched can be captured and timed by Graph and Stopwatch (device/graph.hpp).
  bool has_graphs() const { return driver_.cuGraphLaunch != nullptr; }
  /// The newest CUDA that the driver supports, as "13.0"; empty when it does not say.
  std::string driver_version() const;
  /// Waits for all launches; a fault of a kernel is reported here at the latest.
  void synchronize() const;

  Buffer allocate(std::size_t bytes) const { return Buffer(*this, bytes); }
  /// To byte `offset` of the buffer.
  void copy_to(const Buffer& to, const void* from, std::size_t bytes, std::size_t offset = 0) const;
  void copy_from(void* to, const Buffer& from, std::size_t bytes) const;
  void fill(const Buffer& buffer, unsigned char value) const;

  template <class T>
  Buffer upload(std::span<const T> values) const {
    Buffer buffer = allocate(values.size_bytes());
    copy_to(buffer, values.data(), values.size_bytes());
    return buffer;
  }
  template <class T>
  std::vector<T> download(const Buffer& buffer, std::size_t count) const {
    std::vector<T> values(count);
    copy_from(values.data(), buffer, count * sizeof(T));
    return values;
  }

  /// A map of a dense row-major tensor of bytes for swizzled copies; zero outside. `dims` and `box` start with the
  /// contiguous dimension, which must be a multiple of 16; box[0], 64 or 128, is the span of the swizzle.
  CUtensorMap tensor_map(const Buffer& buffer, std::span<const std::uint64_t> dims,
                         std::span<const std::uint32_t> box) const;

 private:
  friend class Buffer;
  friend class Graph;
  friend class Stopwatch;
  void check(CUresult result, const std::string& what) const;
  void launch_raw(CUfunction function, const Grid& grid, const void** arguments) const;
  int attribute(CUdevice_attribute which) const;
  void describe();

  Driver driver_;
  CUdevice handle_ = 0;
  CUstream stream_ = nullptr;  ///< where launches go: the default stream, or one that a Graph captures
  std::unique_ptr<CUctx_st, std::function<void(CUcontext)>> context_;
  std::vector<CUmodule> modules_;
  std::string place_name_;
  bool emulated_;
  std::string full_name_;
  Device device_;
};

}  // namespace moesaic::device
