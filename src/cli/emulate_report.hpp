#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "emulator/machine.hpp"

namespace moesaic::cli {

/// What `moesaic emulate` says of a run.
struct EmulateReport {
  /// Values of a buffer after the kernel.
  struct Printed {
    std::size_t buffer = 0;
    std::string type;
    std::uint64_t count = 0;          ///< values in the buffer
    std::vector<std::string> values;  ///< the leading ones
  };

  std::string file;
  std::string kernel;
  std::string card;       ///< as the user names it
  std::string card_name;  ///< in full
  emulator::Launch launch;
  std::string registers;                           ///< "40 a thread (from the cubin)", or that nothing is known of them
  std::string checks;                              ///< as asked for
  std::uint64_t seed = 0;                          ///< of the run that is reported
  std::uint64_t runs = 1;                          ///< with seeds up to it
  int host_threads = 0;                            ///< 0: all of the host's
  std::optional<emulator::Statistics> statistics;  ///< absent when the kernel did not come to its end
  std::string fault;                               ///< what ended it, or empty
  std::string fault_kind;
  std::vector<emulator::Finding> findings;
  std::vector<Printed> printed;
  std::vector<std::string> written;  ///< files

  bool clean() const { return fault.empty() && findings.empty(); }
};

std::string as_text(const EmulateReport& report, bool colour);
std::string as_json(const EmulateReport& report);

/// One finding, as it stands in reports.
nlohmann::json finding_json(const emulator::Finding& finding);

}  // namespace moesaic::cli
