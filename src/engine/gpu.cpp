#include "engine/gpu.hpp"

#include "engine/kernel_set.hpp"
#include "engine/router.hpp"
#include "spec/error.hpp"

namespace moesaic::engine {
namespace {

using device::Buffer;

/// Expert matrices on a card.
struct Matrices {
  Matrices(const device::Gpu& gpu, const Experts& experts)
      : problem{experts.experts, experts.rows, experts.cols},
        codes(gpu.upload<std::uint8_t>(experts.codes)),
        scales(gpu.upload<float>(experts.scales)),
        source(has_static_scale(experts.scheme.inputs) ? ScaleSource::checkpoint : ScaleSource::dynamic),
        input_scales(experts.input_scales) {}

  /// [R]: static scales for the rows of each expert; a buffer to be written when they are dynamic.
  Buffer row_scales(const device::Gpu& gpu, const Routing& routing) const {
    if (source == ScaleSource::dynamic) return gpu.allocate(routing.row.size() * sizeof(float));
    std::vector<float> of_row;
    for (std::size_t e = 0; e < input_scales.size(); ++e) {
      of_row.insert(of_row.end(), static_cast<std::size_t>(routing.first[e + 1] - routing.first[e]), input_scales[e]);
    }
    return gpu.upload<float>(of_row);
  }

  Problem problem;
  Buffer codes;
  Buffer scales;
  ScaleSource source;
  std::vector<float> input_scales;  ///< [E], static ones, on the host
};

/// The values between the kernels of one run.
struct Workspace {
  Workspace(const device::Gpu& gpu, const Shape& shape, std::size_t rows, std::size_t tokens, bool keep_h)
      : x_codes(gpu.allocate(rows * hidden(shape))),
        gate_up(gpu.allocate(rows * 2 * width(shape) * sizeof(float))),
        h(gpu.allocate(keep_h ? rows * width(shape) * sizeof(std::uint16_t) : 0)),
        h_codes(gpu.allocate(rows * width(shape))),
        down(gpu.allocate(rows * hidden(shape) * sizeof(float))),
        output(gpu.allocate(tokens * hidden(shape) * sizeof(float))) {}

  static std::size_t hidden(const Shape& shape) { return static_cast<std::size_t>(shape.hidden); }
  static std::size_t width(const Shape& shape) { return static_cast<std::size_t>(shape.width); }

  Buffer x_codes, gate_up, h, h_codes, down, output;
};

class GpuEngine : public Engine {
 public:
  GpuEngine(const Layer& layer, const device::Place& place, Wishes wishes)
      : layer_(layer),
        place_name_(place.name()),
        wishes_(std::move(wishes)),
        gpu_(place),
        kernels_(gpu_),
        gate_up_(gpu_, layer.gate_up),
        down_(gpu_, layer.down) {
    // Sizes that no variant takes, and a forced one that is not there, are said now and not in the first run.
    for (const Matrices* experts : {&gate_up_, &down_}) static_cast<void>(choice(*experts, 1));
  }

  std::string place() const override { return place_name_ + " (" + std::string(gpu_.device().full_name) + ")"; }

  std::vector<std::string> kernels() const override {
    std::vector<std::string> names;
    for (const auto& [name, count] : kernels_.launches()) names.push_back(name);
    return names;
  }

  std::vector<std::string> choices() const override { return choices_; }

  Trace run(const Tokens& tokens, Keep keep) override {
    choices_.clear();
    Trace trace;
    trace.routing = route(layer_, tokens);
    const Routing& routing = trace.routing;
    const Shape& shape = layer_.shape;
    const int rows = routing.tokens * routing.top_k;

    const Buffer x = gpu_.upload<std::uint16_t>(tokens.values);
    const Buffer first = gpu_.upload<std::int32_t>(routing.first);
    const Buffer row = gpu_.upload<std::int32_t>(routing.row);
    const Buffer weight = gpu_.upload<float>(routing.weight);
    const Workspace space(gpu_, shape, static_cast<std::size_t>(rows), static_cast<std::size_t>(tokens.count),
                          keep == Keep::trace);
    const RoutedTokens routed{routing.tokens, routing.top_k, shape.hidden, &row, &weight};

    const Buffer x_scales = gate_up_.row_scales(gpu_, routing);
    const Buffer h_scales = down_.row_scales(gpu_, routing);

    kernels_.quantize(routed, x, space.x_codes, x_scales, gate_up_.source);
    gemm(gate_up_, tokens.count, rows, first, space.x_codes, x_scales, space.gate_up);
    kernels_.swiglu(rows, shape.width, space.gate_up, space.h, space.h_codes, h_scales, down_.source);
    gemm(down_, tokens.count, rows, first, space.h_codes, h_scales, space.down);
    kernels_.combine(routed, space.down, space.output);
    gpu_.synchronize();

    download(space, static_cast<std::size_t>(rows), static_cast<std::size_t>(tokens.count), keep, trace);
    if (keep == Keep::trace) {
      trace.experts.x.scales = gpu_.download<float>(x_scales, static_cast<std::size_t>(rows));
      trace.experts.h_quantized.scales = gpu_.download<float>(h_scales, static_cast<std::size_t>(rows));
    }
    return trace;
  }

 private:
  Choice choice(const Matrices& experts, int tokens) const {
    const Work work{.problem = experts.problem, .tokens = tokens, .top_k = layer_.shape.top_k};
    return choose(kernels_.variants(), work, gpu_.device(), wishes_);
  }

  void gemm(const Matrices& experts, int tokens, int rows, const Buffer& first, const Buffer& x, const Buffer& x_scales,
            const Buffer& out) {
    const Choice chosen = choice(experts, tokens);
    choices_.push_back(variant_name(chosen.config) + ": " + chosen.reason);
    kernels_.gemm(chosen.config, {.problem = experts.problem,
                                  .rows = rows,
                                  .w = &experts.codes,
                                  .w_scales = &experts.scales,
                                  .x = &x,
                                  .x_scales = &x_scales,
                                  .first = &first,
                                  .out = &out});
  }

  void download(const Workspace& space, std::size_t rows, std::size_t tokens, Keep keep, Trace& trace) const {
    const std::size_t hidden = Workspace::hidden(layer_.shape);
    const std::size_t width = Workspace::width(layer_.shape);
    trace.output = gpu_.download<float>(space.output, tokens * hidden);
    if (keep != Keep::trace) return;
    trace.experts.x.codes = gpu_.download<std::uint8_t>(space.x_codes, rows * hidden);
    trace.experts.gate_up = gpu_.download<float>(space.gate_up, rows * 2 * width);
    trace.experts.h = gpu_.download<std::uint16_t>(space.h, rows * width);
    trace.experts.h_quantized.codes = gpu_.download<std::uint8_t>(space.h_codes, rows * width);
    trace.experts.down = gpu_.download<float>(space.down, rows * hidden);
  }

  const Layer& layer_;
  std::string place_name_;
  Wishes wishes_;
  std::vector<std::string> choices_;
  device::Gpu gpu_;
  KernelSet kernels_;
  Matrices gate_up_;
  Matrices down_;
};

/// What a scheme of experts is called, when there are no kernels for it; empty when there are.
std::string foreign_scheme(const Scheme& scheme) {
  if (scheme.weights == WeightScheme::fp8_channel &&
      (scheme.inputs == InputScheme::fp8_token || scheme.inputs == InputScheme::fp8_static)) {
    return "";
  }
  switch (scheme.weights) {
    case WeightScheme::bf16:
      return "bf16 weights";
    case WeightScheme::fp8_channel:
      return "inputs that are not FP8 with a scale per token or a static one";
    case WeightScheme::fp8_block:
      return "FP8 weights with block scales";
    case WeightScheme::nvfp4:
      return "NVFP4 weights";
    case WeightScheme::mxfp4:
      return "MXFP4 weights";
  }
  return "an unknown scheme";
}

std::string foreign_part(const Layer& layer) {
  for (const Experts* experts : {&layer.gate_up, &layer.down}) {
    if (std::string name = foreign_scheme(experts->scheme); !name.empty()) return name;
    if (!experts->bias.empty()) return "biases";
  }
  if (layer.activation == Activation::geglu_tanh) return "the activation GeGLU";
  if (layer.activation == Activation::swiglu_clamped) return "the clamped SwiGLU";
  if (layer.norms) return "norms around the experts";
  if (layer.shape.shared_width > 0) return "a shared expert";
  if (layer.router.scoring != Scoring::softmax) return "a router that is not softmax, then top-k";
  return "";
}

}  // namespace

std::string why_not_gpu(const Layer& layer) {
  const std::string part = foreign_part(layer);
  if (part.empty()) return "";
  return "there are no GPU kernels for " + part +
         " yet; they take FP8 weights with a scale per tensor or per channel, FP8 inputs with a scale per token or a "
         "static one, SwiGLU, a softmax router and no shared expert";
}

std::string why_not_on(const Layer& layer, const Device& card) {
  if (std::string reason = why_not_gpu(layer); !reason.empty()) return reason;
  for (const Experts* experts : {&layer.gate_up, &layer.down}) {
    const Problem problem{experts->experts, experts->rows, experts->cols};
    std::string reason = "this build has no variant of the grouped GEMM";
    for (const Config& variant : KernelSet::variants()) {
      reason = valid(variant, problem, card);
      if (reason.empty()) break;
    }
    if (!reason.empty()) return reason;
  }
  return "";
}

std::unique_ptr<Engine> make_gpu_engine(const Layer& layer, const device::Place& place, Wishes wishes) {
  if (const std::string reason = why_not_gpu(layer); !reason.empty()) throw Error(layer.name + ": " + reason);
  return std::make_unique<GpuEngine>(layer, place, std::move(wishes));
}

}  // namespace moesaic::engine
