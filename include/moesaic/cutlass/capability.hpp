#pragma once

namespace moesaic::sm120 {

/// Whether the collectives run on a card, and why not.
struct Support {
  enum class Answer { yes, no, unknown } answer;
  const char* reason;

  /// Unknown is not yes.
  constexpr explicit operator bool() const { return answer == Answer::yes; }
};

/// For compute capability major.minor, of code built for sm_120f. Source: CUDA programming guide, "Family-specific
/// features": the family of 12.0 is 12.0 and 12.1.
constexpr Support support(int major, int minor) {
  using Answer = Support::Answer;
  if (major == 12 && (minor == 0 || minor == 1)) return {Answer::yes, "compute capability 12.0 or 12.1"};
  if (major == 12) return {Answer::unknown, "a compute capability 12.x that this code has not heard of"};
  if (major > 12) return {Answer::unknown, "a compute capability above 12 that this code has not heard of"};
  return {Answer::no, "compute capability 12.0 or 12.1 is required: kind::f8f6f4 and the block-scaled mma.sync"};
}

/// As vLLM's cutlass_group_gemm_supported takes it: 120 for 12.0.
constexpr Support support(int capability) {
  return support(capability / 10, capability % 10);
}

}  // namespace moesaic::sm120
