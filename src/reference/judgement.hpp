#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moesaic::reference {

/// The comparison of one stage's values with their bounds. The worst one is kept: the largest error relative to its
/// bound, a NaN and any error where none is allowed counting as infinite, the first row and column among equals.
class Stage {
 public:
  explicit Stage(std::string stage_name) : name(std::move(stage_name)) {}

  /// Compares one value: it fails unless |got_value - want_value| <= allowed. Codes are compared as numbers with bound
  /// 0.
  void compare(int at_row, int at_column, double got_value, double want_value, double allowed);
  /// Fails the whole stage with a sentence that says what cannot be compared.
  void fail(std::string why);
  /// Takes in the comparisons of another part of the same stage.
  void merge(const Stage& part);

  bool passed() const { return failed == 0 && problem.empty(); }
  /// One line: the name, what was compared, the worst value and where.
  std::string text() const;

  std::string name;
  std::string problem;        ///< why the stage cannot be compared, or empty
  std::int64_t compared = 0;  ///< values
  std::int64_t failed = 0;    ///< values outside their bound
  double ratio = 0;           ///< error / bound of the worst value
  int row = -1;               ///< where it is; -1: nothing was compared
  int column = -1;
  double got = 0;
  double want = 0;
  double bound = 0;
};

/// The stages of a run, in order.
struct Judgement {
  std::vector<Stage> stages;

  bool passed() const { return first_failure() == nullptr; }
  /// The first stage that failed, or null. Later ones judge what was computed from it.
  const Stage* first_failure() const;
  /// One line for each stage.
  std::string text() const;
};

}  // namespace moesaic::reference
