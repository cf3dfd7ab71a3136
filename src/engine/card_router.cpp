#include "engine/card_router.hpp"

#include <algorithm>

namespace moesaic::engine {
namespace {

std::size_t size(int count) {
  return static_cast<std::size_t>(count);
}

bool is_bf16(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](float value) { return decode_bf16(encode_bf16(value)) == value; });
}

device::Buffer upload_weight(const device::Gpu& gpu, const std::vector<float>& values) {
  if (!is_bf16(values)) return gpu.upload<float>(values);
  std::vector<std::uint16_t> codes(values.size());
  std::transform(values.begin(), values.end(), codes.begin(), encode_bf16);
  return gpu.upload<std::uint16_t>(codes);
}

}  // namespace

CardRouter::CardRouter(const device::Gpu& gpu, const Layer& layer)
    : shape(layer.shape),
      scoring(layer.router.scoring),
      renormalize(layer.router.renormalize),
      groups(layer.router.groups),
      top_groups(layer.router.top_groups),
      scale(layer.router.scale),
      bf16(is_bf16(layer.router.weight)),
      weight(upload_weight(gpu, layer.router.weight)),
      bias(gpu.upload<float>(layer.router.bias)),
      correction(gpu.upload<float>(layer.router.correction)),
      expert_scale(gpu.upload<float>(layer.router.expert_scale)) {}

CardRouting::CardRouting(const device::Gpu& gpu, const Shape& shape, int token_count)
    : tokens(token_count),
      experts(shape.experts),
      top_k(shape.top_k),
      expert(gpu.allocate(size(tokens) * size(top_k) * sizeof(std::int32_t))),
      weight(gpu.allocate(size(tokens) * size(top_k) * sizeof(float))),
      row(gpu.allocate(size(tokens) * size(top_k) * sizeof(std::int32_t))),
      first(gpu.allocate((size(experts) + 1) * sizeof(std::int32_t))),
      logits(gpu.allocate(size(tokens) * size(experts) * sizeof(float))),
      finished(gpu.allocate((size(tokens) + 2) * sizeof(std::uint32_t))) {
  gpu.fill(finished, 0);
}

Routing CardRouting::download(const device::Gpu& gpu) const {
  const std::size_t pairs = size(tokens) * size(top_k);
  Routing routing;
  routing.tokens = tokens;
  routing.top_k = top_k;
  routing.expert = gpu.download<std::int32_t>(expert, pairs);
  routing.weight = gpu.download<float>(weight, pairs);
  routing.row = gpu.download<std::int32_t>(row, pairs);
  routing.first = gpu.download<std::int32_t>(first, size(experts) + 1);
  return routing;
}

std::vector<float> CardRouting::download_logits(const device::Gpu& gpu) const {
  return gpu.download<float>(logits, size(tokens) * size(experts));
}

}  // namespace moesaic::engine
