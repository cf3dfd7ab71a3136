#include "cli/loading.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "cli/activity.hpp"
#include "cli/say.hpp"
#include "cli/size_words.hpp"

namespace moesaic::cli {

std::uint64_t peak_bytes(const checkpoint::LayerPlan& plan, Codes codes) {
  const std::uint64_t once = plan.memory_bytes + plan.buffer_bytes;
  switch (codes) {
    case Codes::on_host:
      return once;
    case Codes::on_card:
      return once + plan.matrix_bytes;
    case Codes::on_both:
      return once + plan.codes_bytes;
  }
  return once;
}

Layer load(const checkpoint::LayerPlan& plan, Codes codes, engine::CardWeights* card, checkpoint::PageCache cache) {
  say(fmt::format("loading {}: {} to read, at most {} of memory for it{}\n", plan.layer.name,
                  size_words(plan.disk_bytes), size_words(peak_bytes(plan, codes)),
                  codes == Codes::on_host ? "" : fmt::format(", {} of it the card's", size_words(plan.codes_bytes))));
  Activity activity("loading the layer");
  checkpoint::CodesSink sink;
  if (card != nullptr) {
    sink = [card](bool down, std::size_t first, std::span<const std::byte> part) { card->put(down, first, part); };
  }
  return checkpoint::load_layer(
      plan, [&](std::uint64_t done, std::uint64_t total) { activity.update(done, total); }, sink, cache);
}

}  // namespace moesaic::cli
