#include "checkpoint/synth_layer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>

#include "checkpoint/synth_expert.hpp"
#include "checkpoint/synth_plain.hpp"
#include "checkpoint/synth_quantize.hpp"
#include "spec/parallel.hpp"

namespace moesaic::checkpoint {
namespace {

/// How the experts of a layer lie in the file.
enum class Storage : std::uint8_t {
  per_expert,   ///< experts.E.gate_proj.*
  stacked,      ///< experts.gate_up_proj [E, 2I, H], gate on top of up; experts.down_proj [E, H, I]
  interleaved,  ///< the same with gate in the even rows; but for mxfp4 rows and columns are exchanged
};

Storage storage(const Synth& synth) {
  if (synth.family == Family::gpt_oss && synth.scheme != Published::fp8_dynamic) return Storage::interleaved;
  const bool stacked = synth.family == Family::qwen3_5 || synth.family == Family::gemma4;
  return stacked && synth.scheme == Published::bf16 ? Storage::stacked : Storage::per_expert;
}

bool exchanges(const Synth& synth) {
  return storage(synth) == Storage::interleaved && synth.scheme != Published::mxfp4;
}

bool has_bias(const Synth& synth) {
  return synth.family == Family::gpt_oss;
}

constexpr std::array<std::string_view, 3> kProjections{"gate", "up", "down"};

/// The modules of gate, up and down. llm-compressor gives Mixtral's the names that all others have.
std::array<std::string, 3> modules(const Synth& synth, int layer, int expert) {
  std::string prefix = layer_prefix(synth.family, layer);
  if (expert != kShared) {
    prefix += fmt::format("experts.{}.", expert);
    const bool own = synth.scheme == Published::bf16 || synth.scheme == Published::fp8_modelopt;
    if (synth.family == Family::mixtral && own) return {prefix + "w1", prefix + "w3", prefix + "w2"};
  } else if (synth.family == Family::gemma4) {
    prefix += "mlp.";
  } else {
    prefix += synth.family == Family::qwen3_5 ? "shared_expert." : "shared_experts.";
  }
  return {prefix + "gate_proj", prefix + "up_proj", prefix + "down_proj"};
}

/// "experts.gate_up_proj", "experts.gate_up_proj_weight_scale", ...
std::string stacked_name(const Synth& synth, int layer, std::string_view projection, std::string_view suffix) {
  std::string module = layer_prefix(synth.family, layer) + fmt::format("experts.{}_proj", projection);
  if (suffix == ".weight") return module;
  return module + "_" + std::string(suffix.substr(1));
}

std::uint64_t extent(int size) {
  return static_cast<std::uint64_t>(size);
}

void declare_expert(const Synth& synth, int layer, int expert, std::vector<Tensor>& tensors) {
  const int width = expert == kShared ? synth.shape.shared_width : synth.shape.width;
  const auto names = modules(synth, layer, expert);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto [rows, cols] = i < 2 ? std::pair(width, synth.shape.hidden) : std::pair(synth.shape.hidden, width);
    for (const StoredAs& stored : stored_as(synth.scheme, rows, cols)) {
      tensors.push_back({names[i] + std::string(stored.suffix), stored.dtype, stored.shape});
    }
    if (has_bias(synth)) tensors.push_back({names[i] + ".bias", "BF16", {extent(rows)}});
  }
}

void declare_stacked(const Synth& synth, int layer, std::vector<Tensor>& tensors) {
  const Shape& s = synth.shape;
  for (const auto& [projection, rows, cols] :
       {std::tuple("gate_up", 2 * s.width, s.hidden), std::tuple("down", s.hidden, s.width)}) {
    for (const StoredAs& stored : stored_as(synth.scheme, rows, cols)) {
      std::vector<std::uint64_t> shape = stored.shape;
      if (!shape.empty()) {  // scalars are common to all experts
        if (exchanges(synth)) std::swap(shape[0], shape[1]);
        shape.insert(shape.begin(), extent(s.experts));
      }
      tensors.push_back({stacked_name(synth, layer, projection, stored.suffix), stored.dtype, shape});
    }
    if (has_bias(synth)) {
      tensors.push_back({stacked_name(synth, layer, projection, ".bias"), "BF16", {extent(s.experts), extent(rows)}});
    }
  }
}

void write_expert(const Synth& synth, int layer, int expert, const Append& append) {
  const Expert made = make_expert(synth, layer, expert);
  const ExpertCalibration calibration = calibrate(synth, made, expert);
  const std::array<const Matrix*, 3> matrices{&made.gate, &made.up, &made.down};
  const auto names = modules(synth, layer, expert);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Matrix& matrix = *matrices[i];
    const auto bytes = quantize(synth.scheme, matrix, i < 2 ? calibration.gate_up : calibration.down);
    const auto stored = stored_as(synth.scheme, matrix.rows, matrix.cols);
    for (std::size_t j = 0; j < stored.size(); ++j) append(names[i] + std::string(stored[j].suffix), bytes[j]);
    if (has_bias(synth)) {
      append(names[i] + ".bias", as_bf16(make_bias(synth, layer, expert, kProjections[i]).values));
    }
  }
}

/// The next expert's part of a stacked tensor.
void write_stacked_matrix(const Synth& synth, int layer, std::string_view projection, const Matrix& matrix,
                          const Calibration& calibration, bool first, const Append& append) {
  const auto bytes = quantize(synth.scheme, matrix, calibration);
  const auto stored = stored_as(synth.scheme, matrix.rows, matrix.cols);
  for (std::size_t j = 0; j < stored.size(); ++j) {
    const std::string name = stacked_name(synth, layer, projection, stored[j].suffix);
    if (stored[j].shape.empty()) {
      if (first) append(name, bytes[j]);
    } else if (exchanges(synth)) {
      const std::uint64_t rows = stored[j].shape[0];
      const std::uint64_t cols = stored[j].shape[1];
      append(name, transposed(bytes[j], rows, cols, bytes[j].size() / (rows * cols)));
    } else {
      append(name, bytes[j]);
    }
  }
}

/// What all experts of a stacked tensor share.
ExpertCalibration calibrate_all(const Synth& synth, int layer) {
  ExpertCalibration whole;
  if (!is_calibrated(synth.scheme)) return whole;
  std::mutex widening;
  parallel_for(0, synth.shape.experts, [&](int e) {
    const ExpertCalibration one = calibrate(synth, make_expert(synth, layer, e), e);
    const std::scoped_lock lock(widening);
    whole.widen(one);
  });
  return whole;
}

void write_stacked_expert(const Synth& synth, int layer, int expert, const ExpertCalibration& calibration,
                          const Append& append) {
  const auto combine = storage(synth) == Storage::interleaved ? interleave : stack;
  const Expert made = make_expert(synth, layer, expert);
  const bool first = expert == 0;
  write_stacked_matrix(synth, layer, "gate_up", combine(made.gate, made.up), calibration.gate_up, first, append);
  write_stacked_matrix(synth, layer, "down", made.down, calibration.down, first, append);
  if (!has_bias(synth)) return;
  Matrix gate = make_bias(synth, layer, expert, "gate");
  Matrix up = make_bias(synth, layer, expert, "up");
  std::swap(gate.rows, gate.cols);
  std::swap(up.rows, up.cols);
  append(stacked_name(synth, layer, "gate_up", ".bias"), as_bf16(combine(gate, up).values));
  append(stacked_name(synth, layer, "down", ".bias"), as_bf16(make_bias(synth, layer, expert, "down").values));
}

/// Makes the routed experts on all cores, as many at a time as there are, and appends them in order.
void write_routed(const Synth& synth, int layer, const Append& append) {
  const bool stacked = storage(synth) != Storage::per_expert;
  const ExpertCalibration calibration = stacked ? calibrate_all(synth, layer) : ExpertCalibration{};
  const int at_once = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  for (int begin = 0; begin < synth.shape.experts; begin += at_once) {
    const int count = std::min(at_once, synth.shape.experts - begin);
    std::vector<std::vector<std::pair<std::string, std::vector<std::byte>>>> made(static_cast<std::size_t>(count));
    parallel_for(at_once, count, [&](int i) {
      const Append keep = [&, i](const std::string& name, std::span<const std::byte> bytes) {
        made[static_cast<std::size_t>(i)].emplace_back(name, std::vector(bytes.begin(), bytes.end()));
      };
      if (stacked) {
        write_stacked_expert(synth, layer, begin + i, calibration, keep);
      } else {
        write_expert(synth, layer, begin + i, keep);
      }
    });
    for (const auto& expert : made) {
      for (const auto& [name, bytes] : expert) append(name, bytes);
    }
  }
}

}  // namespace

std::string layer_prefix(Family family, int layer) {
  switch (family) {
    case Family::mixtral:
      return fmt::format("model.layers.{}.block_sparse_moe.", layer);
    case Family::qwen3_5:
      return fmt::format("model.language_model.layers.{}.mlp.", layer);
    case Family::gemma4:
      return fmt::format("model.language_model.layers.{}.", layer);
    case Family::qwen3:
    case Family::deepseek_v3:
    case Family::glm4:
    case Family::glm4_lite:
    case Family::gpt_oss:
      break;
  }
  return fmt::format("model.layers.{}.mlp.", layer);
}

std::vector<Tensor> declare_layer(const Synth& synth, int layer) {
  std::vector<Tensor> tensors;
  for (const Plain& plain : plain_tensors(synth, layer, layer_prefix(synth.family, layer))) {
    tensors.push_back({plain.name, plain.dtype, plain.shape});
  }
  if (synth.shape.shared_width != 0) declare_expert(synth, layer, kShared, tensors);
  if (storage(synth) != Storage::per_expert) {
    declare_stacked(synth, layer, tensors);
  } else {
    for (int e = 0; e < synth.shape.experts; ++e) declare_expert(synth, layer, e, tensors);
  }
  return tensors;
}

void write_layer(const Synth& synth, int layer, const Append& append) {
  for (const Plain& plain : plain_tensors(synth, layer, layer_prefix(synth.family, layer))) {
    append(plain.name, plain.make());
  }
  if (synth.shape.shared_width != 0) write_expert(synth, layer, kShared, append);
  write_routed(synth, layer, append);
}

}  // namespace moesaic::checkpoint
