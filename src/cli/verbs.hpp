#pragma once

#include <CLI/CLI.hpp>

/// The verbs of the command line. Each adds itself to the program and runs when it was given; what goes wrong is thrown
/// as Error (exit code 2) or DeviceError (3).
namespace moesaic::cli {

void add_bench(CLI::App& program);
void add_models(CLI::App& program);
void add_synth(CLI::App& program);
void add_inspect(CLI::App& program);
void add_list(CLI::App& program);

/// `exit_code` becomes kCheckFailed when a check fails.
void add_run(CLI::App& program, int& exit_code);

/// `exit_code` becomes kCheckFailed when choices cost more than --within allows.
void add_explain(CLI::App& program, int& exit_code);

/// `exit_code` becomes kFindings when the kernel did what it must not.
void add_emulate(CLI::App& program, int& exit_code);

}  // namespace moesaic::cli
