// What loading a layer takes: no more than was promised before it began. A program of its own, because it replaces
// operator new; sanitizers have theirs.

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "checkpoint/layer_plan.hpp"
#include "temporary_directory.hpp"
#include "tiny_checkpoint.hpp"

namespace {

std::atomic<std::int64_t> live{0};  // bytes that are allocated
std::atomic<std::int64_t> most{0};  // and the most there have been

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  void* const memory = std::malloc(bytes != 0 ? bytes : 1);
  if (memory == nullptr) throw std::bad_alloc();
  live += static_cast<std::int64_t>(::malloc_usable_size(memory));
  most = std::max(most.load(), live.load());
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  live -= static_cast<std::int64_t>(::malloc_usable_size(memory));
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  ::operator delete(memory);
}

namespace moesaic::checkpoint {
namespace {

constexpr int kExperts = 6;
constexpr int kHidden = 256;
constexpr int kWidth = 192;

/// gpt-oss in bf16, whose matrices must be put in order, or Qwen3-MoE, whose are read to where they stay.
TinyCheckpoint checkpoint_of(bool in_order) {
  TinyCheckpoint tiny;
  tiny.config = {{"model_type", in_order ? "qwen3_moe" : "gpt_oss"},
                 {"num_experts", kExperts},
                 {"num_experts_per_tok", 2},
                 {"hidden_size", kHidden},
                 {in_order ? "moe_intermediate_size" : "intermediate_size", kWidth},
                 {"hidden_act", "silu"},
                 {"num_hidden_layers", 1}};
  const std::string block = "model.layers.0.mlp.";
  if (in_order) {
    tiny.add(block + "gate.weight", "BF16", {kExperts, kHidden});
    tiny.add(block + "experts.gate_up_proj", "BF16", {kExperts, 2 * kWidth, kHidden});
    tiny.add(block + "experts.down_proj", "BF16", {kExperts, kHidden, kWidth});
    return tiny;
  }
  tiny.add(block + "router.weight", "BF16", {kExperts, kHidden});
  tiny.add(block + "router.bias", "BF16", {kExperts});
  tiny.add(block + "experts.gate_up_proj", "BF16", {kExperts, kHidden, 2 * kWidth});
  tiny.add(block + "experts.gate_up_proj_bias", "BF16", {kExperts, 2 * kWidth});
  tiny.add(block + "experts.down_proj", "BF16", {kExperts, kWidth, kHidden});
  tiny.add(block + "experts.down_proj_bias", "BF16", {kExperts, kHidden});
  return tiny;
}

TEST(LoadMemory, IsTheLayerAndAtMostOneExpert) {
  constexpr std::int64_t kRest = 16 << 10;  // names, open files and what the allocator rounds up
  for (const bool in_order : {true, false}) {
    const TemporaryDirectory directory;
    checkpoint_of(in_order).write(directory / "m");
    const Model model = open(directory / "m");
    const LayerPlan plan = plan_layer(model, 0);
    constexpr std::uint64_t kExpertBytes = 2 * kWidth * kHidden * 2;
    EXPECT_LT(plan.buffer_bytes, in_order ? kExpertBytes / 8 : kExpertBytes * 5 / 4);

    const std::int64_t before = live;
    most = before;
    const Layer layer = load_layer(plan);
    EXPECT_LE(most - before, static_cast<std::int64_t>(plan.memory_bytes + plan.buffer_bytes) + kRest) << in_order;
    EXPECT_GE(live - before, static_cast<std::int64_t>(plan.memory_bytes)) << "all of it was counted";
    EXPECT_LE(live - before, static_cast<std::int64_t>(plan.memory_bytes) + kRest) << in_order;
  }
}

TEST(LoadMemory, WithoutTheCodesThatAreTakenAsTheyAreRead) {
  constexpr std::int64_t kRest = 16 << 10;
  for (const bool in_order : {true, false}) {
    const TemporaryDirectory directory;
    checkpoint_of(in_order).write(directory / "m");
    const Model model = open(directory / "m");
    const LayerPlan plan = plan_layer(model, 0);
    const Layer whole = load_layer(plan);
    std::vector<std::uint8_t> taken[2];
    for (const bool down : {false, true}) taken[down].resize((down ? whole.down : whole.gate_up).codes.size());

    const std::int64_t before = live;
    most = before;
    const Layer layer = load_layer(plan, {}, [&](bool down, std::size_t first, std::span<const std::byte> codes) {
      ASSERT_LE(first + codes.size(), taken[down].size());
      std::memcpy(taken[down].data() + first, codes.data(), codes.size());
    });
    const std::uint64_t rest = plan.memory_bytes - plan.codes_bytes + plan.buffer_bytes + plan.matrix_bytes;
    EXPECT_LE(most - before, static_cast<std::int64_t>(rest) + kRest) << in_order;
    EXPECT_TRUE(layer.gate_up.codes.empty() && layer.down.codes.empty());
    EXPECT_EQ(taken[0], whole.gate_up.codes) << in_order;
    EXPECT_EQ(taken[1], whole.down.codes) << in_order;
  }
}

}  // namespace
}  // namespace moesaic::checkpoint
