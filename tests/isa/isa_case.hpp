#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "device/driver.hpp"
#include "spec/split_mix.hpp"

/// Cases that run instructions on a card, real or emulated, over operands made from fixed seeds. silicon_record keeps
/// what a real card answers (isa_fixture.hpp); an emulated card of the same kind must answer the same.
namespace moesaic::isa {

using Words = std::vector<std::uint32_t>;

class Random : public SplitMix64 {
 public:
  using SplitMix64::SplitMix64;

  /// In [0, bound).
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>((next() >> 32) % bound); }
  std::uint32_t word() { return static_cast<std::uint32_t>(next() >> 32); }
};

/// Consecutive words of a case's output, and the rows of the table of instructions that they prove.
struct Part {
  std::string name;               ///< unique among all parts of all cases: the key of its fixture
  std::vector<std::string> rows;  ///< canonical names (emulator/instruction.hpp)
  std::size_t words = 0;
  /// The statements that make these words, when they depend on no others of the case; empty: on all.
  std::string statements;
};

/// A tensor map that a kernel gets as a parameter, over the case's input or output.
struct MapCase {
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_UINT8;
  std::vector<std::uint64_t> dims;           ///< elements, the contiguous dimension first
  std::vector<std::uint64_t> strides_bytes;  ///< of all dimensions but the first
  std::vector<std::uint32_t> box;
  std::vector<std::uint32_t> element_strides;
  CUtensorMapInterleave interleave = CU_TENSOR_MAP_INTERLEAVE_NONE;
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_NONE;
  CUtensorMapFloatOOBfill fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  bool over_output = false;
  std::size_t offset_bytes = 0;  ///< of the tensor in that buffer; a multiple of 16
};

/// One kernel and one launch of it.
struct Case {
  std::string name;  ///< a PTX identifier, unique among all cases
  /// PTX statements of the kernel. %in and %out (.b64) hold the global addresses of input and output, both aligned to
  /// 256 bytes; %thread (.b32) is the thread's number in the grid; map0, map1, ... are parameters of 128 bytes, one
  /// for each of `maps`. Whatever else it uses it declares.
  std::string body;
  std::string declarations;  ///< what stands before the entry: functions, variables
  Words input;
  std::vector<Part> parts;  ///< the output, from its first word on; it holds zeros before the launch
  std::vector<MapCase> maps;
  Words data;  ///< unless empty a last parameter: .param .align 16 .b8 data[]
  unsigned blocks = 1;
  unsigned threads = 32;
  unsigned shared_bytes = 0;  ///< dynamic
  bool cluster = false;       ///< launched in clusters of one block, as what addresses a cluster's memory wants it
};

/// What a card answered to a case.
struct Answer {
  const Case* of = nullptr;
  Words words;        ///< the output
  std::string error;  ///< empty, or why there is none
};

/// The text of a module for `target` ("sm_90a") that holds the kernels of these cases.
std::string module_text(const std::string& target, const std::vector<const Case*>& cases);

/// Runs all cases on device 0. A case that the driver rejects or that fails has an error and does not hinder the
/// others. Throws Error when there is no such device.
std::vector<Answer> run_cases(const device::Driver& driver, const std::string& target, const std::vector<Case>& cases);

/// A group of cases with a fixture of its own: isa_NAME.bin.
struct Family {
  std::string name;
  std::vector<Case> (*cases)();  ///< those that a card of capability 9.0 can run
};

/// All of them.
const std::vector<Family>& families();

// The families, each in a file of its own.
std::vector<Case> lanewise_cases();  ///< instructions of one lane, made from the table of instructions
std::vector<Case> memory_cases();    ///< ld and st
std::vector<Case> atomic_cases();    ///< atom and red
std::vector<Case> move_cases();      ///< mov, cvta, isspacep, mapa
std::vector<Case> control_cases();   ///< bra, exit, call, ret, brx
std::vector<Case> barrier_cases();   ///< bar and barrier
std::vector<Case> warp_cases();      ///< shfl, vote, match, redux, elect, bar.warp
std::vector<Case> matrix_cases();    ///< mma.sync, ldmatrix, stmatrix, movmatrix
std::vector<Case> async_cases();     ///< mbarriers, cp.async, bulk copies and reductions, groups, fences
std::vector<Case> tensor_cases();    ///< copies through tensor maps, tensormap.replace

}  // namespace moesaic::isa
