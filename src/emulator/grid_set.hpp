#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace moesaic::emulator {

/// A set of launch numbers. Neighbours are kept as one range, so that the set of all that a stream has run stays small.
class GridSet {
 public:
  bool contains(std::uint64_t number) const {
    const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), number,
                                        [](std::uint64_t n, const Range& range) { return n < range.first; });
    return after != ranges_.begin() && number <= std::prev(after)->second;
  }
  bool empty() const { return ranges_.empty(); }

  void add(std::uint64_t number) { add_range({number, number}); }
  void add(const GridSet& other) {
    for (const Range& range : other.ranges_) add_range(range);
  }
  void clear() { ranges_.clear(); }

  /// Calls visit(number) for each member from `first` on, in order.
  template <typename Visit>
  void for_each_from(std::uint64_t first, Visit&& visit) const {
    for (const Range& range : ranges_) {
      for (std::uint64_t number = std::max(range.first, first); number <= range.second; ++number) visit(number);
    }
  }

  /// Whether every member is one of `other`.
  bool within(const GridSet& other) const {
    return std::all_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
      return std::any_of(other.ranges_.begin(), other.ranges_.end(), [&](const Range& outer) {
        return outer.first <= range.first && range.second <= outer.second;
      });
    });
  }

 private:
  using Range = std::pair<std::uint64_t, std::uint64_t>;  // first and last

  void add_range(Range range) {
    auto at = std::lower_bound(ranges_.begin(), ranges_.end(), range.first,
                               [](const Range& r, std::uint64_t n) { return r.second + 1 < n; });
    auto end = at;
    while (end != ranges_.end() && end->first <= range.second + 1) {
      range = {std::min(range.first, end->first), std::max(range.second, end->second)};
      ++end;
    }
    at = ranges_.erase(at, end);
    ranges_.insert(at, range);
  }

  std::vector<Range> ranges_;  // sorted, apart
};

}  // namespace moesaic::emulator
