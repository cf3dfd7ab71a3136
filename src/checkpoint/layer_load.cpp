#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "checkpoint/file_reader.hpp"
#include "checkpoint/layer_plan.hpp"
#include "checkpoint/values.hpp"
#include "spec/error.hpp"

/// Reads what a LayerPlan found. Memory is taken only here: the headers have shown that the files hold all of it.
namespace moesaic::checkpoint {
namespace {

/// Reads slices and counts them.
class Loader {
 public:
  Loader(std::uint64_t total, const Progress& progress, PageCache cache)
      : reader_(cache), total_(total), progress_(progress) {}

  void read(const Slice& slice, std::span<std::byte> out) {
    const StoredTensor& stored = *slice.stored;
    reader_.read(stored.file, stored.tensor.begin + slice.begin, out, stored.tensor.name);
    done_ += out.size();
    if (progress_) progress_(done_, total_);
  }

  /// The slice in a buffer that the next call overwrites.
  std::span<std::byte> read(const Slice& slice) {
    buffer_.resize(slice.bytes);
    read(slice, buffer_);
    return buffer_;
  }

  std::vector<float> positive(const Slice& slice) { return floats(slice, positive_floats); }
  std::vector<float> finite(const Slice& slice) { return floats(slice, finite_floats); }

 private:
  template <class Check>
  std::vector<float> floats(const Slice& slice, const Check& check) {
    const Tensor& tensor = slice.stored->tensor;
    const std::uint64_t first = slice.begin / element_bytes(tensor.dtype);
    return check(slice.stored->file.string(), tensor, first, read(slice));
  }

  FileReader reader_;
  std::vector<std::byte> buffer_;
  std::uint64_t done_ = 0;
  std::uint64_t total_;
  const Progress& progress_;
};

/// Puts a stored matrix in order: out is [rows, row_bytes], its elements of `element` bytes each.
void arrange(std::span<const std::byte> in, std::span<std::byte> out, int rows, std::size_t element, Order order) {
  const std::size_t row_bytes = out.size() / static_cast<std::size_t>(rows);
  if (!order.transposed) {
    for (int row = 0; row < rows; ++row) {
      const auto from = static_cast<std::size_t>(order.stored_row(row, rows));
      std::memcpy(out.data() + static_cast<std::size_t>(row) * row_bytes, in.data() + from * row_bytes, row_bytes);
    }
    return;
  }
  constexpr std::size_t kTile = 64;  // columns at a time, so that the file's rows stay in the cache
  const std::size_t cols = row_bytes / element;
  for (std::size_t begin = 0; begin < cols; begin += kTile) {
    const std::size_t end = std::min(begin + kTile, cols);
    for (int row = 0; row < rows; ++row) {
      const auto from = static_cast<std::size_t>(order.stored_row(row, rows));
      std::byte* to = out.data() + static_cast<std::size_t>(row) * row_bytes;
      for (std::size_t col = begin; col < end; ++col) {
        std::memcpy(to + col * element, in.data() + (col * static_cast<std::size_t>(rows) + from) * element, element);
      }
    }
  }
}

using Check = void (*)(const std::string&, const Tensor&, std::uint64_t, std::span<const std::byte>);

/// Reads a matrix of codes, checks it as the file has it, and puts it in order. `out` is [rows, ...].
void read_codes(Loader& loader, const Source& source, const Slice& slice, Check check, std::span<std::byte> out) {
  const StoredTensor& stored = *slice.stored;
  const std::uint64_t element = element_bytes(stored.tensor.dtype);
  if (source.order.as_stored()) {
    loader.read(slice, out);
    check(stored.file.string(), stored.tensor, slice.begin / element, out);
    return;
  }
  const std::span<const std::byte> raw = loader.read(slice);
  check(stored.file.string(), stored.tensor, slice.begin / element, raw);
  arrange(raw, out, source.rows, element, source.order);
}

/// The scales that a source has, to where Experts::scales wants them.
void read_scales(Loader& loader, const Source& source, const Format& format, Experts& into) {
  const auto first = static_cast<std::size_t>(source.expert) * static_cast<std::size_t>(into.rows) +
                     static_cast<std::size_t>(source.row);
  const std::span scales(into.scales);
  const auto rows = static_cast<std::size_t>(source.rows);
  if (format.scales == Granularity::block) {
    const std::vector<float> values = loader.positive(source.scale);
    std::ranges::copy(values,
                      scales.begin() + static_cast<std::ptrdiff_t>(into.block_index(source.expert, source.row, 0)));
  } else if (format.scales != Granularity::none) {
    const std::vector<float> values = loader.positive(source.scale);
    for (std::size_t i = 0; i < rows; ++i) scales[first + i] = values[values.size() == 1 ? 0 : i];
  }
  const auto factor = [&](const Slice& slice) {
    const float value = loader.positive(slice).front();
    const float result = format.reciprocal ? 1.0F / value : value;
    if (!std::isfinite(result) || !(result > 0)) {
      throw Error(fmt::format("{}: {} is {}; its reciprocal must be positive and finite", slice.stored->file.string(),
                              slice.stored->tensor.name, value));
    }
    return result;
  };
  if (source.global_scale.stored != nullptr) {
    std::ranges::fill(scales.subspan(first, rows), factor(source.global_scale));
  }
  if (source.input_scale.stored != nullptr) {
    float& scale = into.input_scales[static_cast<std::size_t>(source.expert)];
    scale = std::max(scale, factor(source.input_scale));
  }
}

/// Where the codes of one Experts go as they are read; nothing when they stay in it.
using Sink = std::function<void(std::size_t first, std::span<const std::byte> codes)>;

void read_source(Loader& loader, const Source& source, const Format& format, const Sink& sink,
                 std::vector<std::byte>& matrix, Experts& into) {
  const auto first = static_cast<std::size_t>(source.expert) * static_cast<std::size_t>(into.rows) +
                     static_cast<std::size_t>(source.row);
  const auto rows = static_cast<std::size_t>(source.rows);
  const auto part = [&](std::vector<std::uint8_t>& all) {
    const std::size_t row_bytes =
        all.size() / (static_cast<std::size_t>(into.experts) * static_cast<std::size_t>(into.rows));
    return std::as_writable_bytes(std::span(all).subspan(first * row_bytes, rows * row_bytes));
  };
  if (sink) {
    matrix.resize(rows * into.row_bytes());
    read_codes(loader, source, source.codes, require_weights, matrix);
    sink(first * into.row_bytes(), matrix);
  } else {
    read_codes(loader, source, source.codes, require_weights, part(into.codes));
  }
  if (source.group_scale.stored != nullptr) {
    read_codes(loader, source, source.group_scale, require_group_scales, part(into.group_scales));
  }
  read_scales(loader, source, format, into);
  if (source.bias.stored != nullptr) {
    const std::vector<float> values = loader.finite(source.bias);
    for (int row = 0; row < source.rows; ++row) {
      into.bias[first + static_cast<std::size_t>(row)] =
          values[static_cast<std::size_t>(source.order.stored_row(row, source.rows))];
    }
  }
}

void read_experts(Loader& loader, const ExpertsPlan& plan, Experts& into, const Sink& sink = {}) {
  if (plan.format == nullptr) return;
  const ExpertsSizes sizes = sizes_of(into, plan.sources.front().bias.stored != nullptr);
  if (!sink) into.codes.resize(sizes.codes);
  into.scales.resize(sizes.scales);
  into.group_scales.resize(sizes.group_scales);
  into.input_scales.resize(sizes.input_scales);
  into.bias.resize(sizes.bias);
  std::vector<std::byte> matrix;
  for (const Source& source : plan.sources) read_source(loader, source, *plan.format, sink, matrix, into);
}

std::uint64_t bytes_to_read(const LayerPlan& plan) {
  std::uint64_t total = 0;
  for (const ExpertsPlan* experts : {&plan.gate_up, &plan.down, &plan.shared_gate_up, &plan.shared_down}) {
    for (const Source& s : experts->sources) {
      for (const Slice* slice : {&s.codes, &s.scale, &s.group_scale, &s.global_scale, &s.input_scale, &s.bias}) {
        total += slice->bytes;
      }
    }
  }
  for (const VectorPlan& vector : plan.vectors) total += vector.stored->tensor.end - vector.stored->tensor.begin;
  return total;
}

}  // namespace

Layer load_layer(const LayerPlan& plan, const Progress& progress, const CodesSink& sink, PageCache cache) {
  Loader loader(bytes_to_read(plan), progress, cache);
  Layer layer = plan.layer;
  for (const VectorPlan& vector : plan.vectors) {
    const Tensor& tensor = vector.stored->tensor;
    vector.place(layer) = loader.finite({vector.stored, 0, tensor.end - tensor.begin});
  }
  const auto sink_of = [&](bool down) -> Sink {
    if (!sink) return {};
    return [&sink, down](std::size_t first, std::span<const std::byte> codes) { sink(down, first, codes); };
  };
  read_experts(loader, plan.gate_up, layer.gate_up, sink_of(false));
  read_experts(loader, plan.down, layer.down, sink_of(true));
  read_experts(loader, plan.shared_gate_up, layer.shared_gate_up);
  read_experts(loader, plan.shared_down, layer.shared_down);
  return layer;
}

}  // namespace moesaic::checkpoint
