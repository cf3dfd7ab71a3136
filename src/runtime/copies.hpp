#pragma once

#include <optional>

#include "runtime/runtime.hpp"

/// Copies as the runtime describes them, in the driver's words.
namespace moesaic::runtime {

/// A copy between pitched memory; none when an array is part of it, or the kind is not legal.
std::optional<CUDA_MEMCPY3D> volume_of(const cudaMemcpy3DParms& parameters);

/// The description for a copy of the driver's.
cudaMemcpy3DParms parameters_of(const CUDA_MEMCPY3D& volume);

/// A copy of rows; none when the kind is not legal.
std::optional<CUDA_MEMCPY3D> rows_of(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                                     std::size_t width, std::size_t height, cudaMemcpyKind kind);

}  // namespace moesaic::runtime
