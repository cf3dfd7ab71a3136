#pragma once

#include <optional>

#include "checkpoint/json.hpp"
#include "checkpoint/synth.hpp"

/// The descriptions beside the weights. Only the sources of synth include this header.
namespace moesaic::checkpoint {

/// config.json, with the keys that the real one has for what is not attention.
Json make_config(const Synth& synth);

/// hf_quant_config.json, which ModelOpt writes too; nothing for other schemes.
std::optional<Json> make_modelopt_config(const Synth& synth);

}  // namespace moesaic::checkpoint
