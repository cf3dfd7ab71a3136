#include "engine/gpu.hpp"

#include "engine/kernel_set.hpp"
#include "engine/router.hpp"
#include "spec/error.hpp"

namespace moesaic::engine {
namespace {

using device::Buffer;

/// Expert matrices on a card.
struct Matrices {
  Matrices(const device::Gpu& gpu, const Experts& experts, Buffer codes_on_card)
      : problem{experts.experts, experts.rows, experts.cols},
        codes(std::move(codes_on_card)),
        scales(gpu.upload<float>(experts.scales)),
        source(has_static_scale(experts.scheme.inputs) ? ScaleSource::checkpoint : ScaleSource::dynamic),
        input_scales(gpu.upload<float>(experts.input_scales)) {}

  bool is_static() const { return source == ScaleSource::checkpoint; }
  /// What a kernel takes as scales: those of the experts, or these of the rows, to be written.
  const Buffer& scales_of(const Buffer& rows) const { return is_static() ? input_scales : rows; }
  /// [R]: the scales of the rows, when they have been found or are those of the experts.
  std::vector<float> download_scales(const device::Gpu& gpu, const Buffer& of_rows, const Routing& routing) const {
    if (!is_static()) return gpu.download<float>(of_rows, routing.row.size());
    const auto of_experts = gpu.download<float>(input_scales, static_cast<std::size_t>(problem.experts));
    std::vector<float> of_row;
    for (std::size_t e = 0; e < of_experts.size(); ++e) {
      of_row.insert(of_row.end(), static_cast<std::size_t>(routing.first[e + 1] - routing.first[e]), of_experts[e]);
    }
    return of_row;
  }

  Problem problem;
  Buffer codes;
  Buffer scales;
  ScaleSource source;
  Buffer input_scales;  ///< [E], static ones
};

/// The values between the kernels of one run.
struct Workspace {
  Workspace(const device::Gpu& gpu, const Shape& shape, std::size_t rows, std::size_t tokens, bool keep_h)
      : x_codes(gpu.allocate(rows * hidden(shape))),
        gate_up(gpu.allocate(rows * 2 * width(shape) * sizeof(float))),
        h(gpu.allocate(keep_h ? rows * width(shape) * sizeof(std::uint16_t) : 0)),
        h_codes(gpu.allocate(rows * width(shape))),
        x_scales(gpu.allocate(rows * sizeof(float))),
        h_scales(gpu.allocate(rows * sizeof(float))),
        down(gpu.allocate(rows * hidden(shape) * sizeof(float))),
        output(gpu.allocate(tokens * hidden(shape) * sizeof(float))) {}

  static std::size_t hidden(const Shape& shape) { return static_cast<std::size_t>(shape.hidden); }
  static std::size_t width(const Shape& shape) { return static_cast<std::size_t>(shape.width); }

  Buffer x_codes, gate_up, h, h_codes, x_scales, h_scales, down, output;
};

class GpuEngine : public Engine {
 public:
  GpuEngine(const Layer& layer, std::unique_ptr<CardWeights> weights, Wishes wishes)
      : layer_(layer),
        weights_(std::move(weights)),
        wishes_(std::move(wishes)),
        gpu_(weights_->gpu),
        kernels_(gpu_),
        router_(gpu_, layer),
        gate_up_(gpu_, layer.gate_up, std::move(weights_->gate_up)),
        down_(gpu_, layer.down, std::move(weights_->down)) {
    // Sizes that no variant takes, and a forced one that is not there, are said now and not in the first run.
    for (const Matrices* experts : {&gate_up_, &down_}) static_cast<void>(choice(*experts, 1));
  }

  std::string place() const override {
    return weights_->place_name + " (" + std::string(gpu_.device().full_name) + ")";
  }

  std::vector<std::string> kernels() const override {
    std::vector<std::string> names;
    for (const auto& [name, count] : kernels_.launches()) names.push_back(name);
    return names;
  }

  std::vector<std::string> choices() const override { return choices_; }

  Trace run(const Tokens& tokens, Keep keep) override {
    choices_.clear();
    check_tokens(layer_, tokens);
    const Shape& shape = layer_.shape;
    const auto count = static_cast<std::size_t>(tokens.count);
    const Buffer x = gpu_.upload<std::uint16_t>(tokens.values);
    const CardRouting routing(gpu_, shape, tokens.count);
    const Workspace space(gpu_, shape, count * static_cast<std::size_t>(shape.top_k), count, keep == Keep::trace);
    const Buffer& x_scales = gate_up_.scales_of(space.x_scales);
    const Buffer& h_scales = down_.scales_of(space.h_scales);

    // Where tokens go is known on the card alone until the last of these has been launched.
    kernels_.route(router_, x, routing);
    kernels_.quantize(routing, shape.hidden, x, space.x_codes, x_scales, gate_up_.source);
    gemm(gate_up_, routing, space.x_codes, x_scales, space.gate_up);
    kernels_.swiglu(routing, shape.width, space.gate_up, space.h, space.h_codes, h_scales, down_.source);
    gemm(down_, routing, space.h_codes, h_scales, space.down);
    kernels_.combine(routing, shape.hidden, space.down, space.output);
    gpu_.synchronize();
    return download(space, routing, keep);
  }

 private:
  Choice choice(const Matrices& experts, int tokens) const {
    const Work work{.problem = experts.problem, .tokens = tokens, .top_k = layer_.shape.top_k};
    return choose(kernels_.variants(), work, gpu_.device(), wishes_);
  }

  void gemm(const Matrices& experts, const CardRouting& routing, const Buffer& x, const Buffer& x_scales,
            const Buffer& out) {
    const Choice chosen = choice(experts, routing.tokens);
    choices_.push_back(variant_name(chosen.config) + ": " + chosen.reason);
    kernels_.gemm(chosen.config, {.problem = experts.problem,
                                  .rows = routing.tokens * routing.top_k,
                                  .w = &experts.codes,
                                  .w_scales = &experts.scales,
                                  .x = &x,
                                  .x_scales = &x_scales,
                                  .first = &routing.first,
                                  .out = &out,
                                  .x_scale_per = experts.is_static() ? ScalePer::expert : ScalePer::vector,
                                  // In front stand quantize or swiglu, which have waited for the router.
                                  .dependence = Dependence::early});
  }

  Trace download(const Workspace& space, const CardRouting& routing, Keep keep) const {
    const std::size_t hidden = Workspace::hidden(layer_.shape);
    const std::size_t width = Workspace::width(layer_.shape);
    Trace trace;
    trace.routing = routing.download(gpu_);
    trace.output = gpu_.download<float>(space.output, static_cast<std::size_t>(routing.tokens) * hidden);
    if (keep != Keep::trace) return trace;
    const std::size_t rows = trace.routing.row.size();
    trace.logits = routing.download_logits(gpu_);
    trace.experts.x.codes = gpu_.download<std::uint8_t>(space.x_codes, rows * hidden);
    trace.experts.x.scales = gate_up_.download_scales(gpu_, space.x_scales, trace.routing);
    trace.experts.gate_up = gpu_.download<float>(space.gate_up, rows * 2 * width);
    trace.experts.h = gpu_.download<std::uint16_t>(space.h, rows * width);
    trace.experts.h_quantized.codes = gpu_.download<std::uint8_t>(space.h_codes, rows * width);
    trace.experts.h_quantized.scales = down_.download_scales(gpu_, space.h_scales, trace.routing);
    trace.experts.down = gpu_.download<float>(space.down, rows * hidden);
    return trace;
  }

  const Layer& layer_;
  std::unique_ptr<CardWeights> weights_;
  Wishes wishes_;
  std::vector<std::string> choices_;
  device::Gpu& gpu_;
  KernelSet kernels_;
  CardRouter router_;
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
  if (!layer.router.input_scale.empty()) return "a router with a norm of its own";
  return "";
}

/// Throws Error when there are no kernels for the layer.
void require_kernels(const Layer& layer) {
  for (const std::string& reason : {why_not_gpu(layer), KernelSet::why_not_routed(layer)}) {
    if (!reason.empty()) throw Error(layer.name + ": " + reason);
  }
}

}  // namespace

std::string why_not_gpu(const Layer& layer) {
  const std::string part = foreign_part(layer);
  if (part.empty()) return "";
  return "there are no GPU kernels for " + part +
         " yet; they take FP8 weights with a scale per tensor or per channel, FP8 inputs with a scale per token or a "
         "static one, SwiGLU and no shared expert";
}

std::string why_not_on(const Layer& layer, const Device& card) {
  if (std::string reason = why_not_gpu(layer); !reason.empty()) return reason;
  if (std::string reason = KernelSet::why_not_routed(layer); !reason.empty()) return reason;
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

CardWeights::CardWeights(const device::Place& place, const Layer& outline) : place_name(place.name()), gpu(place) {
  const auto codes = [&](const Experts& experts) {
    return gpu.allocate(static_cast<std::size_t>(experts.experts) * static_cast<std::size_t>(experts.rows) *
                        experts.row_bytes());
  };
  gate_up = codes(outline.gate_up);
  down = codes(outline.down);
}

void CardWeights::put(bool to_down, std::size_t first, std::span<const std::byte> codes) {
  gpu.copy_to(to_down ? down : gate_up, codes.data(), codes.size(), first);
}

std::unique_ptr<Engine> make_gpu_engine(const Layer& layer, std::unique_ptr<CardWeights> weights, Wishes wishes) {
  require_kernels(layer);
  return std::make_unique<GpuEngine>(layer, std::move(weights), std::move(wishes));
}

std::unique_ptr<Engine> make_gpu_engine(const Layer& layer, const device::Place& place, Wishes wishes) {
  require_kernels(layer);  // before its codes take memory of the card
  auto weights = std::make_unique<CardWeights>(place, layer);
  weights->put(false, 0, std::as_bytes(std::span(layer.gate_up.codes)));
  weights->put(true, 0, std::as_bytes(std::span(layer.down.codes)));
  return make_gpu_engine(layer, std::move(weights), std::move(wishes));
}

}  // namespace moesaic::engine
