#include "checkpoint/models.hpp"

#include <array>

namespace moesaic::checkpoint {
namespace {

constexpr std::array kSchemes{
    PublishedScheme{Published::bf16, "bf16", "not quantized, in the layout of the original release"},
    PublishedScheme{Published::fp8_dynamic, "fp8-dynamic",
                    "llm-compressor FP8_DYNAMIC: e4m3, a scale per output channel; activations per token"},
    PublishedScheme{Published::fp8_static, "fp8-static",
                    "llm-compressor FP8: e4m3, a scale per tensor; activations by calibrated scales"},
    PublishedScheme{Published::fp8_modelopt, "fp8-modelopt",
                    "ModelOpt FP8: e4m3, a scale per tensor; activations by calibrated scales"},
    PublishedScheme{Published::fp8_block, "fp8-block",
                    "DeepSeek and Qwen: e4m3, a scale per 128x128 block (weight_scale_inv); activations per 128"},
    PublishedScheme{Published::fp8_block_compressed, "fp8-block-ct",
                    "llm-compressor FP8_BLOCK: e4m3, a scale per 128x128 block; activations per 128"},
    PublishedScheme{Published::nvfp4, "nvfp4",
                    "llm-compressor NVFP4: e2m1, a scale per 16 and one per tensor; activations likewise"},
    PublishedScheme{Published::nvfp4_a16, "nvfp4-a16",
                    "llm-compressor NVFP4A16: e2m1, a scale per 16 and one per tensor; activations bf16"},
    PublishedScheme{Published::nvfp4_modelopt, "nvfp4-modelopt",
                    "ModelOpt NVFP4: e2m1, a scale per 16 and one per tensor; activations likewise"},
    PublishedScheme{Published::mxfp4, "mxfp4", "gpt-oss: e2m1, a power of two per 32; activations bf16 or MXFP8"},
};

constexpr std::array kMixtral{Published::bf16, Published::fp8_dynamic, Published::fp8_static, Published::fp8_modelopt};
constexpr std::array kQwen3{Published::bf16,         Published::fp8_dynamic, Published::fp8_static,
                            Published::fp8_modelopt, Published::fp8_block,   Published::fp8_block_compressed,
                            Published::nvfp4,        Published::nvfp4_a16,   Published::nvfp4_modelopt};
/// Qwen3.5, DeepSeek and GLM.
constexpr std::array kBlockAndFp4{
    Published::bf16,  Published::fp8_dynamic, Published::fp8_block,     Published::fp8_block_compressed,
    Published::nvfp4, Published::nvfp4_a16,   Published::nvfp4_modelopt};
constexpr std::array kGemma4{Published::bf16, Published::fp8_dynamic, Published::nvfp4, Published::nvfp4_a16,
                             Published::nvfp4_modelopt};
constexpr std::array kGptOss{Published::bf16, Published::fp8_dynamic, Published::nvfp4_modelopt, Published::mxfp4};

constexpr std::array kModels{
    KnownModel{"qwen3-small", Family::qwen3, {.experts = 16, .top_k = 4, .hidden = 512, .width = 704}, 1},
    KnownModel{"qwen3-30b-a3b", Family::qwen3, {.experts = 128, .top_k = 8, .hidden = 2048, .width = 768}, 48},
    KnownModel{"qwen3-235b-a22b", Family::qwen3, {.experts = 128, .top_k = 8, .hidden = 4096, .width = 1536}, 94},
    KnownModel{"qwen3-coder-480b", Family::qwen3, {.experts = 160, .top_k = 8, .hidden = 6144, .width = 2560}, 62},
    KnownModel{"qwen3.5-35b-a3b",
               Family::qwen3_5,
               {.experts = 256, .top_k = 8, .hidden = 2048, .width = 512, .shared_width = 512},
               40},
    KnownModel{"qwen3.5-397b-a17b",
               Family::qwen3_5,
               {.experts = 512, .top_k = 10, .hidden = 4096, .width = 1024, .shared_width = 1024},
               60},
    KnownModel{"mixtral-8x7b", Family::mixtral, {.experts = 8, .top_k = 2, .hidden = 4096, .width = 14336}, 32},
    KnownModel{"mixtral-8x22b", Family::mixtral, {.experts = 8, .top_k = 2, .hidden = 6144, .width = 16384}, 56},
    KnownModel{"gemma-4-26b-a4b",
               Family::gemma4,
               {.experts = 128, .top_k = 8, .hidden = 2816, .width = 704, .shared_width = 2112},
               30},
    KnownModel{"deepseek-v3",
               Family::deepseek_v3,
               {.experts = 256, .top_k = 8, .hidden = 7168, .width = 2048, .shared_width = 2048},
               58,
               8,
               4},
    KnownModel{
        "glm-4.7", Family::glm4, {.experts = 160, .top_k = 8, .hidden = 5120, .width = 1536, .shared_width = 1536}, 89},
    KnownModel{"glm-4.7-flash",
               Family::glm4_lite,
               {.experts = 64, .top_k = 4, .hidden = 2048, .width = 1536, .shared_width = 1536},
               46},
    KnownModel{"gpt-oss-20b", Family::gpt_oss, {.experts = 32, .top_k = 4, .hidden = 2880, .width = 2880}, 24},
    KnownModel{"gpt-oss-120b", Family::gpt_oss, {.experts = 128, .top_k = 4, .hidden = 2880, .width = 2880}, 36},
};

}  // namespace

std::span<const PublishedScheme> published_schemes() {
  return kSchemes;
}

const PublishedScheme& describe(Published scheme) {
  return kSchemes[static_cast<std::size_t>(scheme)];
}

std::span<const Published> published(Family family) {
  switch (family) {
    case Family::mixtral:
      return kMixtral;
    case Family::qwen3:
      return kQwen3;
    case Family::qwen3_5:
    case Family::deepseek_v3:
    case Family::glm4:
    case Family::glm4_lite:
      return kBlockAndFp4;
    case Family::gemma4:
      return kGemma4;
    case Family::gpt_oss:
      return kGptOss;
  }
  return {};
}

std::string_view title(Family family) {
  switch (family) {
    case Family::mixtral:
      return "Mixtral";
    case Family::qwen3:
      return "Qwen3-MoE";
    case Family::qwen3_5:
      return "Qwen3.5-MoE";
    case Family::gemma4:
      return "Gemma 4";
    case Family::deepseek_v3:
      return "DeepSeek-V3";
    case Family::glm4:
      return "GLM-4 MoE";
    case Family::glm4_lite:
      return "GLM-4 MoE Lite";
    case Family::gpt_oss:
      return "gpt-oss";
  }
  return "";
}

std::span<const KnownModel> known_models() {
  return kModels;
}

}  // namespace moesaic::checkpoint
