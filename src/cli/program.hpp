#pragma once

namespace moesaic::cli {

/// The whole program: reads the command line, runs the verb, says on stderr what went wrong. Returns the exit code.
int run_program(int count, const char* const* arguments);

}  // namespace moesaic::cli
