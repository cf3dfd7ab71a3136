#pragma once

#include <string>

#include "checkpoint/synth.hpp"

/// Names of models and schemes as the command line takes them.
namespace moesaic::cli {

/// Throws Error that lists the known ones and the nearest.
const checkpoint::KnownModel& find_model(const std::string& name);
checkpoint::Published find_scheme(const std::string& name);

/// One line for each scheme: its name and what it is.
std::string scheme_list();

/// One layer of that model in that scheme.
checkpoint::Synth as_known(const checkpoint::KnownModel& model, checkpoint::Published scheme);

}  // namespace moesaic::cli
