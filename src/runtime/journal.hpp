#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "emulator/finding.hpp"

/// What the libraries that stand in for CUDA's see of a program: written as it happens, so that a program that aborts
/// loses nothing, by every process that the program starts; read by `moesaic emulate` when it has ended.
namespace moesaic::runtime {

/// One thing seen.
struct Event {
  enum class Kind {
    started,         ///< a process has opened the emulated card
    finding,         ///< an observer's
    fault,           ///< a kernel failed
    missing,         ///< something was asked for that is not emulated; the process has said so
    refused,         ///< a call failed, and why
    static_runtime,  ///< the process has the CUDA runtime linked into it, and has said so
  };
  Kind kind = Kind::started;
  std::string text;           ///< the sentence; of a finding its sentence()
  emulator::Finding finding;  ///< of that kind alone
};

/// One line of a journal, without its end.
std::string to_line(const Event& event);

/// The events of a journal's text; lines that are cut off are skipped. Findings at the same two instructions are one
/// event, with their counts added.
std::vector<Event> read_journal(std::string_view text);

/// Appends to the journal that the environment names, or keeps the event for print_noted. Any thread may call it.
void note(const Event& event);

/// Says on stderr what went wrong in kernels, where there is no journal.
void print_noted();

/// An event as the user reads it.
std::string sentence_of(const Event& event);

}  // namespace moesaic::runtime
