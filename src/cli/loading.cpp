#include "cli/loading.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "cli/activity.hpp"
#include "cli/say.hpp"

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
  const auto megabytes = [](std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  const std::uint64_t most = peak_bytes(plan, codes);
  say(fmt::format(
      "loading {}: {:.1f} MB to read, at most {:.1f} MB of memory for it{}\n", plan.layer.name,
      megabytes(plan.disk_bytes), megabytes(most),
      codes == Codes::on_host ? "" : fmt::format(", {:.1f} of them the card's", megabytes(plan.codes_bytes))));
  Activity activity("loading the layer");
  checkpoint::CodesSink sink;
  if (card != nullptr) {
    sink = [card](bool down, std::size_t first, std::span<const std::byte> part) { card->put(down, first, part); };
  }
  return checkpoint::load_layer(
      plan, [&](std::uint64_t done, std::uint64_t total) { activity.update(done, total); }, sink, cache);
}

}  // namespace moesaic::cli
