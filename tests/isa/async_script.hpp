#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "isa/isa_case.hpp"

namespace moesaic::isa {

/// Bytes of the `tile` of a script, and what its input holds: the tile's first contents, then twice as much data for
/// copies to read (at kDataBytes).
inline constexpr std::size_t kTileBytes = 8192;
inline constexpr std::size_t kDataBytes = kTileBytes;
inline constexpr std::size_t kInputWords = 3 * kTileBytes / 4;

/// The body of a case about asynchronous operations of one warp. %tile and %bar (.b32) are shared addresses of
/// kTileBytes, which hold the input's first words, and of eight mbarriers; %t is the thread, %one holds for thread 0;
/// %data (.b64) is the global address of the input's data. %r0-7, %w0-3 (.b32), %d0-7 (.b64) and %p0-3 are free.
class AsyncScript {
 public:
  AsyncScript();

  /// Adds statements, a semicolon behind each.
  AsyncScript& operator<<(const std::string& statement);
  /// Thread 0 executes it.
  AsyncScript& by_one(const std::string& statement);
  /// The threads wait for each other; what they wrote is visible to copies.
  AsyncScript& meet();
  /// Initializes mbarrier `number` for so many arrivals; all threads may use it afterwards.
  AsyncScript& init(int number, int arrivals);
  /// Thread 0 arrives and expects bytes.
  AsyncScript& expect(int number, std::size_t bytes);
  /// All threads wait for the phase of that parity.
  AsyncScript& wait(int number, int parity);
  /// "[%bar+8]"
  static std::string barrier(int number);
  /// Adds the tile to the output.
  AsyncScript& dump_tile();
  /// Fills all of the output so far unused, up to `words`, with the input from its first word on, before anything else.
  AsyncScript& fill_output(std::size_t words);
  /// Stores a 32-bit register of each thread, or a predicate as 0 or 1.
  AsyncScript& show(const std::string& word);
  AsyncScript& show_predicate(const std::string& predicate);

  /// The case. Its part proves every row of asynchronous instructions, fences and tensor maps in the statements.
  Case finish(const std::string& name, std::uint64_t seed) const;

 private:
  std::string text_;
  std::size_t words_ = 0;
};

/// Random words for inputs: any bits, small numbers, f32 and f16 values with subnormal ones.
Words random_words(std::uint64_t seed, std::size_t count);

}  // namespace moesaic::isa
