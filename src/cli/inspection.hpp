#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/layer_plan.hpp"

namespace moesaic::cli {

/// A place, and whether the model's layers can run there.
struct Runs {
  std::string place;
  std::string why_not;  ///< a sentence; empty: they can
};

/// What `moesaic inspect` tells of a model.
struct Inspection {
  const checkpoint::Model* model = nullptr;  ///< must outlive it
  std::vector<int> indices;                  ///< of the layers with experts
  std::vector<checkpoint::LayerPlan> plans;  ///< one for each of them, without the sources of its experts
  std::vector<Runs> runs;
  std::vector<std::string> next;
};

/// Plans every layer from the headers alone and asks the engines where it would run. Throws Error as plan_layer does.
Inspection inspect(const checkpoint::Model& model);

/// Several lines for people.
std::string as_text(const Inspection& inspection, bool colour);

/// One JSON object.
std::string as_json(const Inspection& inspection);

}  // namespace moesaic::cli
