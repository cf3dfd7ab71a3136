#include "cli/loading.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "cli/activity.hpp"

namespace moesaic::cli {

Layer load(const checkpoint::LayerPlan& plan) {
  fmt::print(stderr, "loading {}: {:.1f} MB to read, at most {:.1f} MB of memory for it\n", plan.layer.name,
             static_cast<double>(plan.disk_bytes) / 1e6,
             static_cast<double>(plan.memory_bytes + plan.buffer_bytes) / 1e6);
  Activity activity("loading the layer");
  return checkpoint::load_layer(plan, [&](std::uint64_t done, std::uint64_t total) { activity.update(done, total); });
}

}  // namespace moesaic::cli
