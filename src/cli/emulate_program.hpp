#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace moesaic::cli {

/// Adds the form of the verb that runs a program: `moesaic emulate OPTIONS -- PROGRAM ARGUMENTS`. `command` is what
/// stands behind the dashes. `exit_code` becomes the program's, or kFindings when the kernels did what they must not.
void add_emulate_program(CLI::App& program, std::vector<std::string> command, int& exit_code);

}  // namespace moesaic::cli
