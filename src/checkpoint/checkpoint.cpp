#include "checkpoint/checkpoint.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "checkpoint/json.hpp"
#include "spec/error.hpp"

namespace moesaic::checkpoint {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

/// A file of the directory itself: nothing that an index names may lead elsewhere.
std::filesystem::path file_in(const std::filesystem::path& directory, const std::string& index, const Json& name) {
  const std::string text = name.is_string() ? name.get<std::string>() : std::string();
  const std::filesystem::path path(text);
  if (text.empty() || text.find('\0') != std::string::npos || path.filename() != path || path == "." || path == "..") {
    throw Error(fmt::format("{}: weight_map names {}; must be the name of a file in the same directory", index,
                            name.dump(-1, ' ', true)));
  }
  return directory / path;
}

void add_file(Model& model, const std::filesystem::path& file) {
  for (Tensor& tensor : read_header(file)) {
    const std::string name = tensor.name;
    const auto [at, added] = model.tensors.try_emplace(name, StoredTensor{file, std::move(tensor)});
    if (!added) {
      throw Error(fmt::format("{}: {} is also in {}; each tensor may be in one file only", file.string(), name,
                              at->second.file.filename().string()));
    }
  }
}

void add_sharded(Model& model, const std::filesystem::path& index_file) {
  const std::string where = index_file.string();
  const Json index = read_object(index_file, kMaxHeaderBytes);
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object()) {
    throw Error(fmt::format("{}: weight_map must be an object of tensor names and file names", where));
  }
  std::set<std::filesystem::path> files;
  for (const auto& [name, file] : map->items()) files.insert(file_in(model.directory, where, file));
  for (const auto& file : files) add_file(model, file);
  for (const auto& [name, file] : map->items()) {
    const auto found = model.tensors.find(name);
    if (found == model.tensors.end() || found->second.file != file_in(model.directory, where, file)) {
      throw Error(fmt::format("{}: says that {} is in {}, but it is not", where, name, file.get<std::string>()));
    }
  }
}

std::string expand(std::string_view pattern, int number) {
  return fmt::format(fmt::runtime(pattern), number);
}

/// Reads the tensors of one layer and remembers which it has read.
class LayerReader {
 public:
  LayerReader(const Model& model, const std::string& prefix, const Progress& progress)
      : model_(model), prefix_(prefix), progress_(progress) {}

  /// The tensor of that name (relative to the layer) if it has one of `dtypes` and the shape; else throws Error.
  const StoredTensor& find(const std::string& name, std::initializer_list<std::string_view> dtypes,
                           std::initializer_list<std::uint64_t> shape) {
    const std::string full = prefix_ + name;
    const auto found = model_.tensors.find(full);
    if (found == model_.tensors.end()) {
      throw Error(fmt::format("{}: tensor {} is missing; it must be {}", model_.directory.string(), full,
                              describe(fmt::format("{}", fmt::join(dtypes, " or ")), std::span(shape))));
    }
    const Tensor& tensor = found->second.tensor;
    if (std::ranges::find(dtypes, tensor.dtype) == dtypes.end() || !std::ranges::equal(tensor.shape, shape)) {
      throw Error(fmt::format("{}: {} is {}, must be {}", found->second.file.string(), full,
                              describe(tensor.dtype, tensor.shape),
                              describe(fmt::format("{}", fmt::join(dtypes, " or ")), std::span(shape))));
    }
    used_.insert(found->first);
    total_ += tensor.end - tensor.begin;
    return found->second;
  }

  /// Throws when the layer has tensors that find() was not asked for: ignoring one (a bias, an input scale) would
  /// compute something else than the model means.
  void require_no_others() const {
    for (auto at = model_.tensors.lower_bound(prefix_); at != model_.tensors.end(); ++at) {
      if (!at->first.starts_with(prefix_)) break;
      if (!used_.contains(at->first)) {
        throw Error(fmt::format("{}: {} has no meaning in a {} layer of this scheme", at->second.file.string(),
                                at->first, model_.config.architecture->title));
      }
    }
  }

  void read(const StoredTensor& stored, std::span<std::byte> out) {
    read_tensor(stored.file, stored.tensor, out);
    done_ += out.size();
    if (progress_) progress_(done_, total_);
  }

  /// Reads BF16, F16 or F32 as float, exactly.
  std::vector<float> read_floats(const StoredTensor& stored) {
    const Tensor& tensor = stored.tensor;
    const std::uint64_t bytes = tensor.end - tensor.begin;
    if (tensor.dtype == "F32") {
      std::vector<float> values(bytes / sizeof(float));
      read(stored, std::as_writable_bytes(std::span(values)));
      return values;
    }
    std::vector<std::uint16_t> codes(bytes / sizeof(std::uint16_t));
    read(stored, std::as_writable_bytes(std::span(codes)));
    std::vector<float> values(codes.size());
    std::ranges::transform(codes, values.begin(), tensor.dtype == "F16" ? decode_f16 : decode_bf16);
    return values;
  }

 private:
  const Model& model_;
  const std::string& prefix_;
  const Progress& progress_;
  std::set<std::string_view> used_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

/// One projection of one expert, checked but not read, and the place where it goes.
struct Part {
  const StoredTensor* weight;
  const StoredTensor* scale;
  Experts* into;
  std::size_t row;  ///< first row in `into`, counted over all experts
  std::size_t rows;
};

void read_part(LayerReader& reader, const Part& part) {
  Experts& into = *part.into;
  const auto cols = static_cast<std::size_t>(into.cols);
  const std::span codes = std::span(into.codes).subspan(part.row * cols, part.rows * cols);
  reader.read(*part.weight, std::as_writable_bytes(codes));
  const auto nan = std::ranges::find_if(codes, [](std::uint8_t code) { return (code & 0x7fU) == 0x7f; });
  if (nan != codes.end()) {
    const auto at = static_cast<std::size_t>(nan - codes.begin());
    throw Error(fmt::format("{}: {} is NaN at [{}, {}]; weights must be numbers", part.weight->file.string(),
                            part.weight->tensor.name, at / cols, at % cols));
  }
  const std::vector<float> scales = reader.read_floats(*part.scale);
  const auto bad = std::ranges::find_if(scales, [](float s) { return !(s > 0) || !std::isfinite(s); });
  if (bad != scales.end()) {
    throw Error(fmt::format("{}: {} is {} at [{}, 0]; scales must be positive and finite", part.scale->file.string(),
                            part.scale->tensor.name, *bad, bad - scales.begin()));
  }
  std::ranges::copy(scales, into.scales.begin() + static_cast<std::ptrdiff_t>(part.row));
}

void read_router(LayerReader& reader, const StoredTensor& stored, std::vector<float>& router) {
  const std::vector<float> values = reader.read_floats(stored);
  router.reserve(values.size());
  for (const float value : values) {
    if (!std::isfinite(value) || decode_bf16(encode_bf16(value)) != value) {
      throw Error(fmt::format("{}: {} holds {}; router weights must be finite and exact in bf16", stored.file.string(),
                              stored.tensor.name, value));
    }
    router.push_back(value);
  }
}

void allocate(Experts& matrices, int experts, int rows, int cols, int parts) {
  const auto channels = static_cast<std::size_t>(experts) * static_cast<std::size_t>(rows);
  matrices.experts = experts;
  matrices.rows = rows;
  matrices.cols = cols;
  matrices.parts = parts;
  matrices.scheme = {WeightScheme::fp8_channel, InputScheme::fp8_token};
  matrices.codes.resize(channels * matrices.row_bytes());
  matrices.scales.resize(channels);
}

/// Finds the three projections of every expert and their scales.
std::vector<Part> find_parts(LayerReader& reader, const Architecture& names, Layer& layer) {
  const auto width = static_cast<std::uint64_t>(layer.shape.width);
  const auto hidden = static_cast<std::uint64_t>(layer.shape.hidden);
  std::vector<Part> parts;
  for (int e = 0; e < layer.shape.experts; ++e) {
    const auto add = [&](std::string_view pattern, Experts& into, std::uint64_t row, std::uint64_t rows,
                         std::uint64_t cols) {
      const std::string name = expand(pattern, e);
      const StoredTensor& weight = reader.find(name, {"F8_E4M3"}, {rows, cols});
      const StoredTensor& scale = reader.find(name + "_scale", {"BF16", "F32", "F16"}, {rows, 1});
      parts.push_back({&weight, &scale, &into, row, rows});
    };
    const auto expert = static_cast<std::uint64_t>(e);
    add(names.gate, layer.gate_up, expert * 2 * width, width, hidden);
    add(names.up, layer.gate_up, expert * 2 * width + width, width, hidden);
    add(names.down, layer.down, expert * hidden, hidden, width);
  }
  return parts;
}

/// "0 to 47", or all of them where some are left out.
std::string shown(const std::vector<int>& layers) {
  const bool contiguous = layers.back() - layers.front() + 1 == static_cast<int>(layers.size());
  if (contiguous && layers.size() > 2) return fmt::format("{} to {}", layers.front(), layers.back());
  return fmt::format("{}", fmt::join(layers, ", "));
}

}  // namespace

Model open(const std::filesystem::path& directory) {
  if (!std::filesystem::is_directory(directory)) {
    throw Error(fmt::format("{}: no such directory; a model is a directory with config.json and *.safetensors",
                            directory.string()));
  }
  Model model{directory, read_config(directory / "config.json"), {}};
  const std::filesystem::path single = directory / kSingleFile;
  const std::filesystem::path index = directory / kIndexFile;
  // transformers looks for them in this order.
  if (std::filesystem::exists(single)) {
    add_file(model, single);
  } else if (std::filesystem::exists(index)) {
    add_sharded(model, index);
  } else {
    throw Error(fmt::format("{}: holds neither {} nor {}", directory.string(), kSingleFile, kIndexFile));
  }
  return model;
}

std::uint64_t layer_bytes(const Shape& shape) {
  const auto experts = static_cast<std::uint64_t>(shape.experts);
  const auto hidden = static_cast<std::uint64_t>(shape.hidden);
  const auto width = static_cast<std::uint64_t>(shape.width);
  const std::uint64_t codes = 3 * width * hidden;
  const std::uint64_t scales = (2 * width + hidden) * sizeof(float);
  return experts * (codes + scales + hidden * sizeof(float));
}

Layer load_layer(const Model& model, int index, const Progress& progress) {
  const Config& config = model.config;
  if (!std::ranges::binary_search(config.moe_layers, index)) {
    throw Error(fmt::format("{}: layer {} has no experts; those that have: {}", model.directory.string(), index,
                            shown(config.moe_layers)));
  }
  Layer layer;
  layer.name = expand(config.architecture->layer, index);
  layer.shape = config.shape;
  layer.router.renormalize = config.renormalize;

  const std::string prefix = layer.name + ".";
  LayerReader reader(model, prefix, progress);
  const StoredTensor& router =
      reader.find(std::string(config.architecture->router), {"BF16", "F32", "F16"},
                  {static_cast<std::uint64_t>(layer.shape.experts), static_cast<std::uint64_t>(layer.shape.hidden)});
  const std::vector<Part> parts = find_parts(reader, *config.architecture, layer);
  reader.require_no_others();

  // Only now that the file is known to hold all of it is memory taken.
  allocate(layer.gate_up, layer.shape.experts, 2 * layer.shape.width, layer.shape.hidden, 2);
  allocate(layer.down, layer.shape.experts, layer.shape.hidden, layer.shape.width, 1);
  read_router(reader, router, layer.router.weight);
  for (const Part& part : parts) read_part(reader, part);
  return layer;
}

}  // namespace moesaic::checkpoint
