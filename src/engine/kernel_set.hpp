#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "device/gpu.hpp"
#include "engine/card_router.hpp"
#include "spec/config.hpp"
#include "spec/gemm.hpp"

/// The shipped kernels, loaded on one card. Its source is the one file of the engine that sees the table of kernels.
namespace moesaic::engine {

/// The operands of a grouped GEMM on a card; see kernels/moe_fp8_gemm.cuh and spec/gemm.hpp.
struct GroupedGemm {
  Problem problem;
  int rows = 0;                              ///< R: rows of all experts together
  const device::Buffer* w = nullptr;         ///< [E, N, K] e4m3, or panels of it: as problem.layout says
  const device::Buffer* w_scales = nullptr;  ///< f32: [E, N], [E] or one, as w_scale_per says
  const device::Buffer* x = nullptr;         ///< [R, K] in problem.x_format, rows sorted by expert
  const device::Buffer* x_scales = nullptr;  ///< f32: [R], [E] or one, as x_scale_per says
  const device::Buffer* first = nullptr;  ///< [E + 1] i32: rows of expert e are [first[e], first[e + 1]); first[E] <= R
  const device::Buffer* out = nullptr;    ///< [R, N] in out_format
  const device::Buffer* bias = nullptr;   ///< [E, N] f32, added to the scaled sum; null: none
  ScalePer w_scale_per = ScalePer::vector;
  ScalePer x_scale_per = ScalePer::vector;
  OutFormat out_format = OutFormat::f32;
  Dependence dependence = Dependence::full;
};

/// Where the scales of quantized rows come from.
enum class ScaleSource {
  dynamic,     ///< each row's largest magnitude: the kernel writes them, [R]
  checkpoint,  ///< static: the kernel reads them, [E]
};

/// How a variant of the GEMM sits on an SM.
struct Residence {
  int blocks_per_sm = 0;       ///< as the driver says, at most as many as Config counts on
  std::size_t smem_bytes = 0;  ///< dynamic, of one block
};

/// Every launch is asynchronous and in order; a launch over no rows or no tokens does nothing, unless it says so.
class KernelSet {
 public:
  /// Loads the fat binary. Throws Error when the card has no code in it. `image`: another fat binary with the same
  /// entries, for measurements; null: the shipped one.
  explicit KernelSet(device::Gpu& gpu, const unsigned char* image = nullptr);

  /// The variants of the grouped GEMM that were compiled.
  static std::span<const Config> variants();

  /// Why the router's kernel does not take such a layer's router, as a sentence; empty when it does.
  static std::string why_not_routed(const Layer& layer);
  /// In how many ways the router's kernel shares out the logits; the bits are the same.
  static int route_shapes();

  void gemm(const Config& config, const GroupedGemm& gemm);
  /// Weights [experts, n, k] as a checkpoint has them -> panels (spec/panels.hpp), of panels_bytes().
  void pack(const Problem& problem, const device::Buffer& rows, const device::Buffer& panels);
  /// For measurements on a card with more shared memory than 12.x has: every GEMM takes as much of it as keeps an SM to
  /// the blocks that Config counts on, and blocks are held to the limit of 12.x.
  void hold_to_12x(bool hold) { held_to_12x_ = hold; }
  /// x [T, hidden] bf16 -> all of `routing`, also for no tokens. `shape`, below route_shapes(): the one to be taken, by
  /// default the one for so many tokens. The router is one that why_not_routed() has nothing to say of.
  void route(const CardRouter& router, const device::Buffer& x, const CardRouting& routing,
             std::optional<int> shape = {});
  /// x [T, hidden] bf16 -> codes [R, hidden], scales.
  void quantize(const CardRouting& routing, int hidden, const device::Buffer& x, const device::Buffer& codes,
                const device::Buffer& scales, ScaleSource source);
  /// gate_up [R, 2 * width] f32 -> codes [R, width], scales; h [R, width] bf16 too when that buffer is not empty.
  void swiglu(const CardRouting& routing, int width, const device::Buffer& gate_up, const device::Buffer& h,
              const device::Buffer& codes, const device::Buffer& scales, ScaleSource source);
  /// down [R, hidden] f32 -> out [T, hidden] f32.
  void combine(const CardRouting& routing, int hidden, const device::Buffer& down, const device::Buffer& out);

  /// How the variant sits on an SM of the card.
  Residence residence(const Config& config);

  /// How often each GEMM variant was launched, by name: proof that a forced one ran.
  const std::map<std::string, int>& launches() const { return launches_; }

 private:
  struct Variant {
    CUfunction function = nullptr;
    int blocks_per_sm = 0;  ///< resident, at most as many as Config counts on
    std::size_t smem_bytes = 0;
  };
  const Variant& variant(const Config& config);

  device::Gpu& gpu_;
  CUmodule module_;
  device::Buffer tickets_;  ///< one counter, 0 between launches: they run in order
  bool held_to_12x_ = false;
  std::map<std::string, Variant> variants_;
  std::map<std::string, int> launches_;
};

}  // namespace moesaic::engine
