#include "cli/program.hpp"

int main(int count, char** arguments) {
  return moesaic::cli::run_program(count, arguments);
}
