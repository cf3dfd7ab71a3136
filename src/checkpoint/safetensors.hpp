#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The safetensors container: 8 bytes little-endian header length, a JSON header, then the tensors back to back.
/// Source: the format's description in the README of huggingface/safetensors.
namespace moesaic::checkpoint {

/// Longest header that is read; the limit of the format's own library.
inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

/// One tensor of a file. Row-major, little-endian.
struct Tensor {
  std::string name;
  std::string_view dtype;  ///< as the format spells it ("F8_E4M3"); points into static data
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;  ///< first byte, counted from the start of the file
  std::uint64_t end = 0;    ///< one past the last byte
};

/// "F8_E4M3 [768, 2048]"
std::string describe(std::string_view dtype, std::span<const std::uint64_t> shape);

/// The bytes of a dense tensor. Throws Error when they are no whole number that fits 64 bits, or the dtype is not one
/// of the format's.
std::uint64_t stored_bytes(std::string_view dtype, std::span<const std::uint64_t> shape);

/// Reads and checks the header of a file: its length, syntax, names, dtypes, that each tensor's bytes are those of its
/// shape, and that the tensors fill the file without holes or overlaps. Ordered by position in the file.
/// Throws Error that names the file, the tensor and what would be right.
std::vector<Tensor> read_header(const std::filesystem::path& file);

/// Writes a file without holding the tensors in memory.
class SafetensorsWriter {
 public:
  /// Writes the header. Of each tensor name, dtype and shape count; offsets are assigned in the order given.
  /// Throws Error when the file cannot be written or the declarations are not legal.
  SafetensorsWriter(const std::filesystem::path& file, const std::vector<Tensor>& tensors);

  /// Writes the next bytes of a tensor, which may come in pieces, and between those of others. Throws Error when they
  /// are more than it has left.
  void append(std::string_view name, std::span<const std::byte> bytes);

  /// Must be called at the end. Throws Error when a tensor is not complete or the disk is full.
  void finish();

 private:
  /// What of a tensor is not written yet.
  struct Rest {
    std::uint64_t position;  ///< in the file
    std::uint64_t bytes;
  };

  std::filesystem::path file_;
  std::map<std::string, Rest, std::less<>> unwritten_;
  std::ofstream stream_;
};

}  // namespace moesaic::checkpoint
