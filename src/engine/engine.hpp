#pragma once

#include <memory>
#include <string>
#include <vector>

#include "spec/layer.hpp"

namespace moesaic::engine {

/// What a run keeps for its caller.
enum class Keep {
  output,  ///< Trace::output and Trace::routing alone
  trace,   ///< every field of Trace, for the reference to judge
};

/// Computes one MoE layer at one place (a cpu, a GPU or an emulated GPU). The layer given at construction must outlive
/// the engine. Not thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;

  /// The place as the user names it, with what stands behind it: "gpu:0 (NVIDIA H200)".
  virtual std::string place() const = 0;

  /// The GEMM variants that have run so far, by name; empty on the cpu.
  virtual std::vector<std::string> kernels() const { return {}; }

  /// Why the last run took its variants, a sentence for each GEMM; empty on the cpu.
  virtual std::vector<std::string> choices() const { return {}; }

  /// Runs the layer on `tokens` ([count, hidden] bf16; count may be 0).
  /// Throws Error when tokens.hidden is not the layer's, when a value is NaN or infinite, or when the place fails.
  virtual Trace run(const Tokens& tokens, Keep keep) = 0;
};

/// The engine on the host's own cores. `threads` 0: all of them.
std::unique_ptr<Engine> make_cpu_engine(const Layer& layer, int threads = 0);

}  // namespace moesaic::engine
