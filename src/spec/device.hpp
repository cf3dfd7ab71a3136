#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// Models of cards, as data: what a kernel may use, and what a driver reports.
namespace moesaic {

/// A card's limits. Sources: CUDA C++ Programming Guide, "Compute Capabilities", and the vendor's pages.
struct Device {
  std::string_view name;       ///< what the user writes: "gb10"
  std::string_view full_name;  ///< what the driver reports
  int major = 0;               ///< compute capability
  int minor = 0;
  int sms = 0;
  int smem_per_block_bytes = 0;  ///< the opt-in limit of one block
  int smem_per_sm_bytes = 0;
  int smem_reserved_bytes = 0;  ///< taken by the system from each resident block's share of the SM
  int registers_per_sm = 0;
  int registers_per_block = 0;
  int threads_per_sm = 0;
  int blocks_per_sm = 0;
  std::int64_t l2_bytes = 0;
  std::int64_t memory_bytes = 0;
  int clock_mhz = 0;
  double memory_gb_per_s = 0;  ///< nominal
  bool integrated = false;     ///< shares its memory with the host

  constexpr int capability() const { return 10 * major + minor; }
};

namespace detail {

/// What all cards of compute capability 12.x share.
constexpr Device blackwell(Device card) {
  card.major = 12;
  card.smem_per_block_bytes = 101376;
  card.smem_per_sm_bytes = 102400;
  card.smem_reserved_bytes = 1024;
  card.registers_per_sm = 65536;
  card.registers_per_block = 65536;
  card.threads_per_sm = 1536;
  card.blocks_per_sm = 24;
  return card;
}

}  // namespace detail

inline constexpr std::array kDevices{
    detail::blackwell({.name = "gb10",
                       .full_name = "NVIDIA GB10",
                       .minor = 1,
                       .sms = 48,
                       .l2_bytes = std::int64_t{24} << 20,
                       .memory_bytes = std::int64_t{128} << 30,
                       .clock_mhz = 2418,
                       .memory_gb_per_s = 273,
                       .integrated = true}),
    detail::blackwell({.name = "rtx5090",
                       .full_name = "NVIDIA GeForce RTX 5090",
                       .sms = 170,
                       .l2_bytes = std::int64_t{96} << 20,
                       .memory_bytes = std::int64_t{32} << 30,
                       .clock_mhz = 2407,
                       .memory_gb_per_s = 1792}),
    detail::blackwell({.name = "rtxpro6000",
                       .full_name = "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
                       .sms = 188,
                       .l2_bytes = std::int64_t{128} << 20,
                       .memory_bytes = std::int64_t{96} << 30,
                       .clock_mhz = 2617,
                       .memory_gb_per_s = 1792}),
    Device{.name = "h200",
           .full_name = "NVIDIA H200",
           .major = 9,
           .minor = 0,
           .sms = 132,
           .smem_per_block_bytes = 232448,
           .smem_per_sm_bytes = 233472,
           .smem_reserved_bytes = 1024,
           .registers_per_sm = 65536,
           .registers_per_block = 65536,
           .threads_per_sm = 2048,
           .blocks_per_sm = 32,
           .l2_bytes = std::int64_t{60} << 20,
           .memory_bytes = std::int64_t{141} << 30,
           .clock_mhz = 1980,
           .memory_gb_per_s = 4800},
};

/// The card of that name, or null.
constexpr const Device* find_device(std::string_view name) {
  for (const Device& device : kDevices) {
    if (device.name == name) return &device;
  }
  return nullptr;
}

/// The card's least dynamic shared memory of a block with which no more than `blocks` of them fit one SM, in bytes.
constexpr int least_smem_bytes_for(const Device& device, int blocks) {
  constexpr int kGranularity = 1024;
  const int bytes = device.smem_per_sm_bytes / (blocks + 1) - device.smem_reserved_bytes;
  return (bytes / kGranularity + 1) * kGranularity;
}

/// The card held to what compute capability 12.x allows of shared memory, threads and blocks: how a 9.0 card stands in
/// for one when kernels are timed. Its instructions stay its own.
constexpr Device held_to_12x(Device card) {
  const Device blackwell = detail::blackwell({});
  card.smem_per_block_bytes = blackwell.smem_per_block_bytes;
  card.smem_per_sm_bytes = blackwell.smem_per_sm_bytes;
  card.smem_reserved_bytes = blackwell.smem_reserved_bytes;
  card.registers_per_sm = blackwell.registers_per_sm;
  card.registers_per_block = blackwell.registers_per_block;
  card.threads_per_sm = blackwell.threads_per_sm;
  card.blocks_per_sm = blackwell.blocks_per_sm;
  return card;
}

}  // namespace moesaic
