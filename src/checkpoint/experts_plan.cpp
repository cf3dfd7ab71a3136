#include "checkpoint/experts_plan.hpp"

#include <fmt/format.h>

#include <string>

#include "spec/error.hpp"

namespace moesaic::checkpoint {
namespace {

std::uint64_t extent(int value) {
  return static_cast<std::uint64_t>(value);
}

std::uint64_t blocks(int value) {
  return extent((value + kBlockSide - 1) / kBlockSide);
}

/// Weights in one element of a stored matrix: two e2m1 in a byte.
int per_element(const Format& format) {
  return weight_bits(format.scheme.weights) == 4 ? 2 : 1;
}

/// Columns that share a group scale; 1 when there are none.
int group_of(const Format& format) {
  switch (format.scheme.weights) {
    case WeightScheme::nvfp4:
      return kNvfp4Group;
    case WeightScheme::mxfp4:
      return kMxGroup;
    default:
      return 1;
  }
}

/// Why a tensor must be as it must, for errors.
std::string reason(const Format& format) {
  if (&format == &kPlainFormat) return "since quantization_config does not quantize it";
  return fmt::format("since quantization_config makes it {} ({})", format.name, format.origin);
}

Slice whole(const StoredTensor& stored) {
  return {&stored, 0, stored.tensor.end - stored.tensor.begin};
}

/// The part of expert e, where the tensor's first dimension counts experts.
Slice of_expert(const StoredTensor& stored, int e, int experts) {
  const std::uint64_t bytes = (stored.tensor.end - stored.tensor.begin) / extent(experts);
  return {&stored, bytes * extent(e), bytes};
}

void require_whole_groups(const TensorFinder& finder, const std::string& module, const Format& format, int cols) {
  if (cols % group_of(format) != 0) {
    throw Error(fmt::format("{}: {}{} has {} columns, must have a multiple of {}: so many share a scale in {}",
                            finder.model().directory.string(), finder.block(), module, cols, group_of(format),
                            format.name));
  }
}

/// The tensors of one linear layer [rows, cols], without codes' place in an Experts.
Source find_linear(TensorFinder& finder, const std::string& module, const Format& format, bool bias, int rows,
                   int cols) {
  require_whole_groups(finder, module, format, cols);
  const std::string because = reason(format);
  const auto name = [&](std::string_view suffix) { return fmt::format("{}.{}", module, suffix); };
  const auto n = extent(rows);
  Source source;
  source.rows = rows;
  source.codes =
      whole(finder.find(name(format.weight), {{format.dtype}, {{n, extent(cols / per_element(format))}}, because}));
  if (format.scales == Granularity::channel) {
    source.scale = whole(finder.find(name(format.scale), floats({{n, 1}, {n}}, because)));
  } else if (format.scales == Granularity::tensor) {
    source.scale = whole(finder.find(name(format.scale), floats({{1}, {}}, because)));
  } else if (format.scales == Granularity::block) {
    source.scale = whole(finder.find(name(format.scale), floats({{blocks(rows), blocks(cols)}}, because)));
  }
  if (!format.group_scale.empty()) {
    source.group_scale = whole(
        finder.find(name(format.group_scale), {{format.group_dtype}, {{n, extent(cols / group_of(format))}}, because}));
  }
  const auto scalar = [&](std::string_view suffix) -> Slice {
    if (suffix.empty()) return {};
    return whole(finder.find(name(suffix), floats({{1}, {}}, because)));
  };
  source.global_scale = scalar(format.global_scale);
  source.input_scale = scalar(format.input_scale);
  if (bias) source.bias = whole(finder.find(name("bias"), floats({{n}})));
  return source;
}

/// What one tensor for all experts may be: bf16; ModelOpt's NVFP4, packed along the input channels; MXFP4.
struct FusedTensors {
  const StoredTensor* codes = nullptr;
  const StoredTensor* group_scale = nullptr;
  const StoredTensor* global_scale = nullptr;
  const StoredTensor* input_scale = nullptr;
  const StoredTensor* bias = nullptr;
};

FusedTensors find_fused(TensorFinder& finder, std::string_view base, const Format& format, bool transposed, bool bias,
                        const Experts& into) {
  const std::string because = reason(format);
  const auto name = [&](std::string_view suffix) { return fmt::format("{}_{}", base, suffix); };
  const auto e = extent(into.experts);
  const auto n = extent(into.rows);
  const auto k = extent(into.cols);
  FusedTensors found;
  if (format.scheme.weights == WeightScheme::mxfp4) {
    const std::uint64_t groups = k / kMxGroup;
    found.codes = &finder.find(name(format.weight), {{format.dtype}, {{e, n, groups, kMxGroup / 2}}, because});
    found.group_scale = &finder.find(name(format.group_scale), {{format.group_dtype}, {{e, n, groups}}, because});
  } else {
    const auto matrix = [&](std::uint64_t cols) -> std::vector<std::uint64_t> {
      return transposed ? std::vector{e, cols, n} : std::vector{e, n, cols};
    };
    found.codes =
        &finder.find(base, {{format.dtype}, {matrix(k / static_cast<unsigned>(per_element(format)))}, because});
    if (format.scheme.weights == WeightScheme::nvfp4) {
      found.group_scale =
          &finder.find(name(format.group_scale), {{format.group_dtype}, {matrix(k / kNvfp4Group)}, because});
      found.global_scale = &finder.find(name("weight_scale_2"), floats({{1}, {}}, because));
      if (!format.input_scale.empty()) {
        found.input_scale = &finder.find(name(format.input_scale), floats({{1}, {}}, because));
      }
    }
  }
  if (bias) found.bias = &finder.find(name("bias"), floats({{e, n}}));
  return found;
}

}  // namespace

ExpertsPlan plan_experts(TensorFinder& finder, std::span<const std::string_view> modules, bool bias,
                         const Experts& into) {
  const Quantization& quantization = finder.model().config.quantization;
  ExpertsPlan plan;
  std::string first;
  const int part_rows = into.rows / into.parts;
  for (int e = 0; e < into.experts; ++e) {
    int row = 0;
    for (const std::string_view pattern : modules) {
      const std::string module = fmt::format(fmt::runtime(pattern), e);
      const Format& format = quantization.format_of(finder.block() + module, Quantization::Kind::linear);
      if (plan.format == nullptr) {
        plan.format = &format;
        first = module;
      } else if (plan.format != &format) {
        throw Error(fmt::format("{}: quantization_config makes {}{} {}, but {} {}; one projection must be of one kind",
                                finder.model().directory.string(), finder.block(), module, format.name, first,
                                plan.format->name));
      }
      Source source = find_linear(finder, module, format, bias, part_rows, into.cols);
      source.expert = e;
      source.row = row;
      row += part_rows;
      plan.sources.push_back(source);
    }
  }
  return plan;
}

ExpertsPlan plan_fused(TensorFinder& finder, std::string_view name, Fused fused, bool bias, const Experts& into) {
  const std::string module = finder.block() + std::string(name);
  const Format& format = finder.model().config.quantization.format_of(module, Quantization::Kind::fused);
  const bool readable = &format == &kPlainFormat || format.scheme.weights == WeightScheme::mxfp4 ||
                        (format.scheme.weights == WeightScheme::nvfp4 && format.origin == kModelOpt);
  if (!readable) {
    throw Error(fmt::format(
        "{}: {} holds all experts in one tensor, which is read as bf16, ModelOpt's NVFP4 or MXFP4; quantization_config "
        "says {} ({})",
        finder.model().directory.string(), module, format.name, format.origin));
  }
  require_whole_groups(finder, std::string(name), format, into.cols);
  const bool transposed = fused == Fused::transposed && format.scheme.weights != WeightScheme::mxfp4;
  const FusedTensors found = find_fused(finder, name, format, transposed, bias, into);
  ExpertsPlan plan{&format, {}};
  for (int e = 0; e < into.experts; ++e) {
    Source source;
    source.expert = e;
    source.rows = into.rows;
    source.order = {transposed, fused == Fused::transposed ? into.parts : 1};
    source.codes = of_expert(*found.codes, e, into.experts);
    if (found.group_scale != nullptr) source.group_scale = of_expert(*found.group_scale, e, into.experts);
    if (found.global_scale != nullptr) source.global_scale = whole(*found.global_scale);
    if (found.input_scale != nullptr) source.input_scale = whole(*found.input_scale);
    if (found.bias != nullptr) source.bias = of_expert(*found.bias, e, into.experts);
    plan.sources.push_back(source);
  }
  return plan;
}

ExpertsSizes sizes_of(const Experts& experts, bool bias) {
  const auto channels = static_cast<std::size_t>(experts.experts) * static_cast<std::size_t>(experts.rows);
  const auto cols = static_cast<std::size_t>(experts.cols);
  ExpertsSizes sizes;
  sizes.codes = channels * experts.row_bytes();
  switch (experts.scheme.weights) {
    case WeightScheme::bf16:
      break;
    case WeightScheme::fp8_channel:
      sizes.scales = channels;
      break;
    case WeightScheme::fp8_block:
      sizes.scales = static_cast<std::size_t>(experts.experts) *
                     static_cast<std::size_t>(experts.parts * experts.part_blocks()) * blocks(experts.cols);
      break;
    case WeightScheme::nvfp4:
      sizes.scales = channels;
      sizes.group_scales = channels * (cols / kNvfp4Group);
      break;
    case WeightScheme::mxfp4:
      sizes.group_scales = channels * (cols / kMxGroup);
      break;
  }
  if (has_static_scale(experts.scheme.inputs)) sizes.input_scales = static_cast<std::size_t>(experts.experts);
  if (bias) sizes.bias = channels;
  return sizes;
}

}  // namespace moesaic::checkpoint
