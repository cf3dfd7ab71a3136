#pragma once

#include <string>

#include "spec/device.hpp"

namespace moesaic::cli {

/// A card from the table of spec/device.hpp or from a file. `device` refers to the two names.
class GpuModel {
 public:
  /// Reads the option --gpu: a name that is known, or a JSON file. Throws Error that says what is wrong with it.
  explicit GpuModel(const std::string& option);
  GpuModel(const GpuModel&) = delete;
  GpuModel& operator=(const GpuModel&) = delete;

  const Device& device() const { return device_; }

 private:
  std::string name_;
  std::string full_name_;
  Device device_;
};

/// How such a file is written, for --help.
extern const char* const kGpuFileHelp;

}  // namespace moesaic::cli
