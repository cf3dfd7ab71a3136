#pragma once

#include <string>
#include <string_view>

#include "checkpoint/synth.hpp"
#include "checkpoint/synth_quantize.hpp"
#include "checkpoint/synth_weights.hpp"

/// The made-up weights of one expert. They do not depend on the scheme: a seed gives the same model in each.
/// Only the sources of synth include this header.
namespace moesaic::checkpoint {

/// The stream of random numbers of one part of a layer.
Random stream(const Synth& synth, int layer, std::string_view part);

struct Expert {
  Matrix gate;  ///< [width, hidden]
  Matrix up;    ///< [width, hidden]
  Matrix down;  ///< [hidden, width]
};

/// Routed expert number `expert`, or the shared one (-1).
inline constexpr int kShared = -1;
Expert make_expert(const Synth& synth, int layer, int expert);

/// gpt-oss: the bias of "gate", "up" or "down".
Matrix make_bias(const Synth& synth, int layer, int expert, std::string_view projection);

/// gate on top of up; or gate in the even rows and up in the odd ones.
Matrix stack(const Matrix& gate, const Matrix& up);
Matrix interleave(const Matrix& gate, const Matrix& up);

/// What calibration saw at both inputs of an expert.
struct ExpertCalibration {
  Calibration gate_up;
  Calibration down;

  /// The larger of each.
  void widen(const ExpertCalibration& other);
};

/// Runs two made-up tokens through the expert, roughly: with a piecewise activation of about the real one's size, which
/// rounds alike everywhere. Without inputs where the scheme needs none.
ExpertCalibration calibrate(const Synth& synth, const Expert& weights, int expert);

}  // namespace moesaic::checkpoint
