#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "emulator/warp.hpp"

/// Handlers made from functions of one lane's values.
namespace moesaic::emulator {

/// The value of type T in a register: its low bits. What lies above them is never looked at.
template <typename T>
T from_bits(std::uint64_t bits) {
  if constexpr (std::same_as<T, float>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  } else if constexpr (std::same_as<T, double>) {
    return std::bit_cast<double>(bits);
  } else {
    return static_cast<T>(bits);
  }
}

template <typename T>
std::uint64_t to_bits(T value) {
  if constexpr (std::same_as<T, float>) {
    return std::bit_cast<std::uint32_t>(value);
  } else if constexpr (std::same_as<T, double>) {
    return std::bit_cast<std::uint64_t>(value);
  } else {
    return static_cast<std::make_unsigned_t<T>>(value);
  }
}

namespace detail {

template <auto kFunction, typename Result, typename... Sources, std::size_t... kIndex>
Flow apply(Result (*)(Sources...), std::index_sequence<kIndex...>, Warp& warp, const Instruction& instruction,
           Lanes active) {
  std::uint64_t* result = warp.out(instruction.operands[0]);
  const std::uint64_t* sources[] = {warp.in(instruction.operands[1 + kIndex])...};
  for_lanes(active,
            [&](int lane) { result[lane] = to_bits<Result>(kFunction(from_bits<Sources>(sources[kIndex][lane])...)); });
  return Flow::next;
}

template <typename Result, typename... Sources>
constexpr std::size_t arity(Result (*)(Sources...)) {
  return sizeof...(Sources);
}

}  // namespace detail

/// The handler of "d s ...": d = kFunction(s, ...) in every active lane.
template <auto kFunction>
Flow lanewise(Warp& warp, const Instruction& instruction, Lanes active) {
  return detail::apply<kFunction>(kFunction, std::make_index_sequence<detail::arity(kFunction)>{}, warp, instruction,
                                  active);
}

}  // namespace moesaic::emulator
