#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Fat binaries: the container in which nvcc puts PTX and machine code for several targets. The layout is not
/// documented; it was read off what nvcc 12.9 to 13.0 write.
namespace moesaic::emulator {

/// One entry of a fat binary. `payload` points into the image.
struct FatBinaryEntry {
  enum class Kind { kPtx, kElf, kOther };
  enum class Compression { kNone, kZstd, kLz4 };

  Kind kind = Kind::kOther;
  int arch = 0;     ///< 90, 120
  char suffix = 0;  ///< 'a': that very capability; 'f': its family, from it on; 0: it and everything after
  Compression compression = Compression::kNone;
  std::size_t uncompressed_bytes = 0;  ///< 0 when not compressed
  std::span<const std::byte> payload;  ///< without padding

  /// As nvcc spells it: "compute_90a".
  std::string target() const;

  /// Whether a card of that compute capability (90, 121) can run code of this target: machine code of one capability
  /// runs on later ones of the same major number.
  bool runs_on(int capability) const;
};

/// The size of the container that begins at `image`, of which 16 bytes must be readable; 0 if it is no fat binary.
std::size_t fat_binary_bytes(const void* image);

/// Lists the entries. Throws Error when the container is malformed.
std::vector<FatBinaryEntry> read_fat_binary(std::span<const std::byte> image);

/// The PTX that a card of that compute capability would compile: the highest target that runs there, of equal ones the
/// more specific. Throws Error when there is none, naming what there is, or when it cannot be unpacked.
std::string ptx_for(std::span<const std::byte> image, int capability);

/// The machine code that such a card would run, unpacked: the highest target that it can run, of equal ones the more
/// specific. Empty when there is none. `arch`, unless null, gets its number (120).
std::string cubin_for(std::span<const std::byte> image, int capability, int* arch = nullptr);

}  // namespace moesaic::emulator
