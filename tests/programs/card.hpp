#pragma once

#include <cuda.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "device/driver.hpp"

namespace moesaic::programs {

using Words = std::vector<std::uint32_t>;

/// How a kernel of a program is launched.
struct Launch {
  unsigned grid_x = 1;
  unsigned grid_y = 1;
  unsigned threads = 0;
  unsigned shared_bytes = 0;  ///< dynamic
  bool programmatic = false;  ///< may start while the kernel before it still runs
};

/// Device 0 of a driver, real or emulated, with the programs' kernels. Every function throws Error when the driver
/// reports a failure. Memory lives as long as the card.
class Card {
 public:
  explicit Card(const device::Driver& driver);
  ~Card();
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;

  template <typename T>
  CUdeviceptr upload(const std::vector<T>& values) const {
    return upload_bytes(values.data(), values.size() * sizeof(T));
  }
  /// So many words of zeros.
  CUdeviceptr zeros(std::size_t words) const { return upload(Words(words)); }
  /// So many words that nobody has written.
  CUdeviceptr allocate(std::size_t words) const;
  Words download(CUdeviceptr address, std::size_t words) const;

  /// A row-major tensor of two dimensions; `columns`, `rows` and the box in elements.
  CUtensorMap tensor_map(CUtensorMapDataType type, CUdeviceptr address, std::uint64_t columns, std::uint64_t rows,
                         std::uint32_t box_columns, std::uint32_t box_rows, CUtensorMapSwizzle swizzle) const;

  /// Starts a kernel after those started before.
  template <typename... Arguments>
  void launch(const char* kernel, const Launch& how, const Arguments&... arguments) const {
    void* pointers[] = {const_cast<Arguments*>(&arguments)...};  // NOLINT: the driver only reads them
    launch_raw(kernel, how, pointers);
  }
  /// Waits for all kernels.
  void synchronize() const;

 private:
  void check(CUresult code, const std::string& what) const;
  CUdeviceptr upload_bytes(const void* from, std::size_t bytes) const;
  void launch_raw(const char* kernel, const Launch& how, void** arguments) const;

  const device::Driver& driver_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  CUmodule module_ = nullptr;
};

}  // namespace moesaic::programs
