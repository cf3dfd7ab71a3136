#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <utility>

#include "reference/bounds.hpp"
#include "reference/combination.hpp"
#include "reference/layer.hpp"
#include "reference/norm.hpp"
#include "reference/pass_judge.hpp"
#include "reference/router.hpp"

namespace moesaic::reference {
namespace {

/// What a norm before the experts made of each token, rounded to bf16.
Stage judge_norm(const char* name, const Layer& layer, const Tokens& tokens, const std::vector<float>& weight,
                 const std::vector<std::uint16_t>& got) {
  Stage stage(name);
  if (got.size() != tokens.values.size()) {
    stage.fail(fmt::format("the trace holds {} values of {}, not {}", got.size(), name, tokens.values.size()));
    return stage;
  }
  auto next = got.begin();
  for (int token = 0; token < tokens.count; ++token) {
    int column = 0;
    for (const auto& [value, bound] : rms_norm(token_values(tokens, token), weight, layer.epsilon)) {
      compare_rounded_to_bf16(stage, token, column++, *next++, value, {value - bound, value + bound});
    }
  }
  return stage;
}

Stage judge_shared_weight(const Layer& layer, const Tokens& tokens, const std::vector<float>& got) {
  Stage stage("shared_weight");
  if (got.size() != static_cast<std::size_t>(tokens.count)) {
    stage.fail(fmt::format("the trace holds {} values of shared_weight, not {}", got.size(), tokens.count));
    return stage;
  }
  for (int token = 0; token < tokens.count; ++token) {
    const auto [value, bound] = shared_weight_of(layer, tokens, token, Order::chains);
    // One rounding of the result to f32.
    stage.compare(token, 0, static_cast<double>(got[static_cast<std::size_t>(token)]), value, bound + kUnit * value);
  }
  return stage;
}

/// Rows of [tokens, hidden] values as Routing sorts them.
std::vector<std::uint16_t> gathered(const std::vector<std::uint16_t>& values, const Routing& routing, int hidden) {
  std::vector<std::uint16_t> rows(routing.row.size() * static_cast<std::size_t>(hidden));
  for (std::size_t pair = 0; pair < routing.row.size(); ++pair) {
    const auto token = static_cast<std::ptrdiff_t>(pair / static_cast<std::size_t>(routing.top_k));
    std::copy_n(values.begin() + token * hidden, hidden,
                rows.begin() + static_cast<std::ptrdiff_t>(routing.row[pair]) * hidden);
  }
  return rows;
}

/// The output from the engine's own rows.
Stage judge_combination(const Layer& layer, const Tokens& tokens, const Trace& trace) {
  Stage stage("output");
  if (trace.output.size() != tokens.values.size()) {
    stage.fail(fmt::format("the trace holds {} values of output, not {}", trace.output.size(), tokens.values.size()));
    return stage;
  }
  const auto known = [](const std::vector<float>& values) {
    std::vector<Bounded> out;
    out.reserve(values.size());
    for (const float value : values) out.push_back({static_cast<double>(value), 0});
    return out;
  };
  std::vector<Bounded> shared_weight = known(trace.shared_weight);
  shared_weight.resize(static_cast<std::size_t>(tokens.count), {1, 0});
  const std::vector<Bounded> want = combine(layer, trace.routing, known(trace.routing.weight),
                                            known(trace.experts.down), shared_weight, known(trace.shared.down));
  const auto hidden = static_cast<std::size_t>(tokens.hidden);
  for (std::size_t i = 0; i < want.size(); ++i) {
    stage.compare(static_cast<int>(i / hidden), static_cast<int>(i % hidden), static_cast<double>(trace.output[i]),
                  want[i].value, want[i].bound);
  }
  return stage;
}

}  // namespace

Judgement judge(const Layer& layer, const Tokens& tokens, const Trace& trace) {
  Judgement judgement{judge_routing(layer, tokens, trace.routing, trace.logits)};
  std::vector<Stage>& stages = judgement.stages;
  if (stages.size() < 2) return judgement;
  // False when what the next stages are judged from is missing.
  const auto add = [&](std::vector<Stage> some) {
    for (Stage& stage : some) stages.push_back(std::move(stage));
    return some.empty() || stages.back().problem.empty();
  };
  if (layer.norms) {
    if (!add({judge_norm("experts_input", layer, tokens, layer.norms->before_experts, trace.experts_input)})) {
      return judgement;
    }
    if (!add({judge_norm("shared_input", layer, tokens, layer.norms->before_dense, trace.shared_input)})) {
      return judgement;
    }
  }
  const std::vector<std::uint16_t>& experts_in = layer.norms ? trace.experts_input : tokens.values;
  const PassInput routed{
      "",        layer.gate_up, layer.down, gathered(experts_in, trace.routing, tokens.hidden), trace.routing.first,
      trace.step};
  if (!add(judge_pass(layer, routed, trace.experts))) return judgement;
  if (layer.shape.shared_width > 0) {
    const PassInput shared{"shared_",         layer.shared_gate_up,
                           layer.shared_down, layer.norms ? trace.shared_input : tokens.values,
                           {0, tokens.count}, trace.step};
    if (!add(judge_pass(layer, shared, trace.shared))) return judgement;
    if (!layer.shared_gate.empty() && !add({judge_shared_weight(layer, tokens, trace.shared_weight)})) return judgement;
  }
  add({judge_combination(layer, tokens, trace)});
  return judgement;
}

}  // namespace moesaic::reference
