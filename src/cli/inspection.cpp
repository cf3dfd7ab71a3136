#include "cli/inspection.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/loading.hpp"
#include "cli/quoted.hpp"
#include "cli/size_words.hpp"
#include "device/gpu.hpp"
#include "engine/gpu.hpp"
#include "spec/device.hpp"
#include "spec/error.hpp"

namespace moesaic::cli {
namespace {

using Json = nlohmann::json;
using checkpoint::ExpertsPlan;
using checkpoint::LayerPlan;

/// Why a memory of so many bytes cannot hold what a layer takes of it; empty when it can.
std::string why_no_room(std::uint64_t bytes, std::uint64_t memory, std::string_view owner) {
  if (bytes <= memory) return "";
  return fmt::format("a layer takes {}, {} has {}", size_words(bytes), owner, size_words(memory));
}

/// The first layer that a card cannot run decides.
std::string why_not(const std::vector<LayerPlan>& plans, const Device& card) {
  for (const LayerPlan& plan : plans) {
    if (std::string reason = engine::why_not_on(plan.layer, card); !reason.empty()) return reason;
    const auto memory = static_cast<std::uint64_t>(card.memory_bytes);
    if (std::string reason = why_no_room(plan.memory_bytes, memory, "the card"); !reason.empty()) return reason;
  }
  return "";
}

/// The cpu computes every layer that this machine can hold while it loads.
std::string why_not_cpu(const std::vector<LayerPlan>& plans) {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) return "";  // not known
  const std::uint64_t memory = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page);
  for (const LayerPlan& plan : plans) {
    const std::uint64_t bytes = peak_bytes(plan, Codes::on_host);
    if (std::string reason = why_no_room(bytes, memory, "this machine"); !reason.empty()) return reason;
  }
  return "";
}

std::vector<Runs> places(const std::vector<LayerPlan>& plans) {
  std::vector<Runs> runs{{"cpu", why_not_cpu(plans)}};
  const device::Place gpu{.kind = device::Place::Kind::gpu};
  try {
    runs.push_back({gpu.name(), why_not(plans, device::Gpu(gpu).device())});
  } catch (const Error& e) {
    runs.push_back({gpu.name(), e.what()});
  }
  for (const Device& card : kDevices) runs.push_back({fmt::format("emulated:{}", card.name), why_not(plans, card)});
  return runs;
}

std::string scoring_words(const Router& router) {
  switch (router.scoring) {
    case Scoring::softmax:
      return router.renormalize ? "softmax over all experts, then the best; their weights divided by their sum"
                                : "softmax over all experts, then the best";
    case Scoring::chosen_softmax:
      return "the best logits, then softmax over those";
    case Scoring::sigmoid:
      break;
  }
  const std::string groups =
      router.groups == 1 ? "" : fmt::format(" within the best {} of {} groups", router.top_groups, router.groups);
  return fmt::format("sigmoid; the best of score + correction{}; weights{} times {}", groups,
                     router.renormalize ? " divided by their sum," : "", router.scale);
}

std::string router_words(const checkpoint::Config& config) {
  const checkpoint::Architecture& names = *config.architecture;
  std::string words = scoring_words(config.outline.router);
  if (!names.input_scale.empty()) words = "of the normalised and scaled token: " + words;
  if (!names.router_bias.empty()) words += "; logits with a bias";
  if (!names.expert_scale.empty()) words += "; times a scale of the expert";
  return words;
}

std::string shared_words(const checkpoint::Config& config) {
  const int width = config.outline.shape.shared_width;
  if (width == 0) return "";
  if (config.architecture->norms) return fmt::format(", dense MLP beside them {}", width);
  return fmt::format(", shared {}{}", width, config.architecture->shared_gate.empty() ? "" : " with a gate");
}

std::string_view activation_words(const Layer& layer) {
  switch (layer.activation) {
    case Activation::swiglu:
      return "SwiGLU";
    case Activation::geglu_tanh:
      return "GeGLU (tanh)";
    case Activation::swiglu_clamped:
      return "clamped SwiGLU";
  }
  return "";
}

/// Layers that follow each other and are described alike.
struct Run {
  std::size_t first = 0;
  std::size_t last = 0;
  std::string text;
};

std::vector<Run> alike(const Inspection& inspection) {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < inspection.plans.size(); ++i) {
    const LayerPlan& plan = inspection.plans[i];
    std::string text = fmt::format("{} on disk, {} loaded, {} while it loads; {}; {}", size_words(plan.disk_bytes),
                                   size_words(plan.memory_bytes), size_words(peak_bytes(plan, Codes::on_host)),
                                   plan.layout, checkpoint::describe_schemes(plan));
    if (!runs.empty() && runs.back().text == text) {
      runs.back().last = i;
    } else {
      runs.push_back({i, i, std::move(text)});
    }
  }
  return runs;
}

std::uint64_t disk_bytes(const Inspection& inspection) {
  std::uint64_t sum = 0;
  for (const LayerPlan& plan : inspection.plans) sum += plan.disk_bytes;
  return sum;
}

Json experts_json(const ExpertsPlan& plan, const Experts& experts) {
  if (plan.format == nullptr) return nullptr;
  return {{"format", plan.format->name},
          {"origin", plan.format->origin},
          {"weights", checkpoint::name_of(experts.scheme.weights)},
          {"activations", checkpoint::name_of(experts.scheme.inputs)}};
}

Json layer_json(int index, const LayerPlan& plan) {
  return {{"index", index},
          {"name", plan.layer.name},
          {"scheme", checkpoint::describe_schemes(plan)},
          {"gate_up", experts_json(plan.gate_up, plan.layer.gate_up)},
          {"down", experts_json(plan.down, plan.layer.down)},
          {"shared_gate_up", experts_json(plan.shared_gate_up, plan.layer.shared_gate_up)},
          {"shared_down", experts_json(plan.shared_down, plan.layer.shared_down)},
          {"layout", plan.layout},
          {"disk_bytes", plan.disk_bytes},
          {"bytes", plan.memory_bytes},
          {"peak_bytes", peak_bytes(plan, Codes::on_host)}};
}

}  // namespace

Inspection inspect(const checkpoint::Model& model) {
  Inspection result;
  result.model = &model;
  for (const int index : model.config.moe_layers) {
    result.indices.push_back(index);
    LayerPlan plan = checkpoint::plan_layer(model, index);
    // Where each matrix lies is for loading, and more than all the rest.
    for (ExpertsPlan* experts : {&plan.gate_up, &plan.down}) experts->sources = {};
    result.plans.push_back(std::move(plan));
  }
  result.runs = places(result.plans);
  result.next.push_back(fmt::format("moesaic run {} --check   computes a layer and checks every stage",
                                    quoted(model.directory.string())));
  return result;
}

std::string as_text(const Inspection& inspection, bool colour) {
  const std::string bold = colour ? "\x1b[1m" : "";
  const std::string plain = colour ? "\x1b[0m" : "";
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("{}{:<10}{} {}\n", bold, label, plain, value);
  };
  const checkpoint::Config& config = inspection.model->config;
  const Shape& shape = config.outline.shape;
  line("model", fmt::format("{}: {}, {} of {} layers with experts, {} of them on disk",
                            inspection.model->directory.string(), config.architecture->title, inspection.plans.size(),
                            config.layer_count, size_words(disk_bytes(inspection))));
  line("shape",
       fmt::format("{} experts, {} for each token, hidden {}, expert width {}{}; {}", shape.experts, shape.top_k,
                   shape.hidden, shape.width, shared_words(config), activation_words(config.outline)));
  line("router", router_words(config));
  for (const Run& run : alike(inspection)) {
    const int first = inspection.indices[run.first];
    const int last = inspection.indices[run.last];
    line(first == last ? fmt::format("layer {}", first) : fmt::format("layers {}-{}", first, last), run.text);
  }
  for (std::size_t i = 0; i < inspection.runs.size();) {
    const std::string_view label = i == 0 ? "runs on" : "";
    const std::string& why_not = inspection.runs[i].why_not;
    std::string names;  // of places that follow each other and have the same answer
    for (; i < inspection.runs.size() && inspection.runs[i].why_not == why_not; ++i) {
      names += (names.empty() ? "" : ", ") + inspection.runs[i].place;
    }
    line(label, fmt::format("{}: {}", names, why_not.empty() ? "yes" : "no: " + why_not));
  }
  for (std::size_t i = 0; i < inspection.next.size(); ++i) line(i == 0 ? "next" : "", inspection.next[i]);
  return text;
}

std::string as_json(const Inspection& inspection) {
  const checkpoint::Config& config = inspection.model->config;
  const Layer& outline = config.outline;
  Json layers = Json::array();
  for (std::size_t i = 0; i < inspection.plans.size(); ++i) {
    layers.push_back(layer_json(inspection.indices[i], inspection.plans[i]));
  }
  Json runs = Json::array();
  for (const Runs& one : inspection.runs) {
    runs.push_back({{"place", one.place}, {"why_not", one.why_not.empty() ? Json() : Json(one.why_not)}});
  }
  const Json json = {{"model",
                      {{"directory", inspection.model->directory.string()},
                       {"architecture", config.architecture->title},
                       {"layers", config.layer_count},
                       {"moe_layers", inspection.indices},
                       {"disk_bytes", disk_bytes(inspection)}}},
                     {"shape",
                      {{"experts", outline.shape.experts},
                       {"top_k", outline.shape.top_k},
                       {"hidden", outline.shape.hidden},
                       {"width", outline.shape.width},
                       {"shared_width", outline.shape.shared_width},
                       {"shared_gate", !config.architecture->shared_gate.empty()},
                       {"norms", config.architecture->norms}}},
                     {"activation", activation_words(outline)},
                     {"router", router_words(config)},
                     {"layers", layers},
                     {"runs_on", runs},
                     {"next", inspection.next}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace moesaic::cli
