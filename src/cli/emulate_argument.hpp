#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/emulate_value.hpp"
#include "emulator/machine.hpp"
#include "emulator/tensor_map.hpp"

/// What `moesaic emulate --arg` describes: values, buffers, tensor maps and structs of them.
namespace moesaic::cli {

/// How --arg is written, for --help.
extern const std::string_view kArgumentHelp;

/// One argument of a kernel, or a member of one.
struct Argument {
  enum class Kind : std::uint8_t { value, buffer, map, structure };

  std::string text;  ///< as the user wrote it
  Kind kind = Kind::value;
  std::vector<std::byte> bytes;  ///< of a value; what a buffer holds, when it is filled
  std::size_t alignment = 1;     ///< within a struct

  // A buffer.
  const ValueType* type = nullptr;
  std::uint64_t size_bytes = 0;
  bool filled = false;  ///< else nobody has written it
  std::string out;      ///< file to write after the kernel, or empty

  // A tensor map.
  std::size_t buffer = 0;  ///< number of the buffer that it maps
  emulator::TensorMap map;

  std::vector<Argument> members;  ///< of a struct
};

/// Reads one --arg. Throws Error that says what is wrong and what would be right.
Argument parse_argument(const std::string& text);

/// A buffer on a card.
struct PlacedBuffer {
  const Argument* argument = nullptr;
  std::uint64_t address = 0;
};

/// The arguments of a kernel on a card: their buffers allocated and filled, their bytes as the kernel takes them.
/// Throws Error when the kernel takes other arguments.
class PlacedArguments {
 public:
  PlacedArguments(const std::vector<Argument>& arguments, const emulator::Kernel& kernel, emulator::Machine& machine);

  const std::vector<std::byte>& parameters() const { return parameters_; }
  /// In the order in which they were given, members of structs included.
  const std::vector<PlacedBuffer>& buffers() const { return buffers_; }

 private:
  void place(const std::vector<Argument>& arguments, emulator::Machine& machine);
  std::vector<std::byte> bytes_of(const Argument& argument);

  std::vector<PlacedBuffer> buffers_;
  std::size_t next_buffer_ = 0;  // whose address is taken next
  std::vector<std::byte> parameters_;
};

}  // namespace moesaic::cli
