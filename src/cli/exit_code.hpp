#pragma once

#include <string_view>

#include "spec/error.hpp"

namespace moesaic::cli {

/// What the program tells its caller.
enum ExitCode : int {
  kOk = 0,
  kCheckFailed = 1,   ///< values outside their bounds
  kBadInput = 2,      ///< usage, files, models
  kDeviceFailed = 3,  ///< the place to run is not there, or failed
  kFindings = 4,      ///< an emulated kernel did what it must not
};

inline constexpr std::string_view kExitCodesHelp =
    "Exit codes:\n"
    "  0  all went well\n"
    "  1  a check failed: values outside their bounds\n"
    "  2  wrong usage, or a file that cannot be used\n"
    "  3  the device is not there, lacks memory or failed\n"
    "  4  an emulated kernel did what it must not (emulate)\n";

/// An Error whose cause is the place to run, not what the user gave.
struct DeviceError : Error {
  using Error::Error;
};

}  // namespace moesaic::cli
