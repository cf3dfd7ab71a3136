#include "checkpoint/staging.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "spec/error.hpp"

namespace moesaic::checkpoint {

Staging::Staging(std::filesystem::path target) : target_(std::move(target)) {
  if (!target_.has_filename()) target_ = target_.parent_path();  // "DIR/"
  path_ = target_;
  path_ += fmt::format(".partial-{}", ::getpid());
}

Staging::~Staging() {
  std::error_code ignored;  // nothing left to tell: the reason for giving up is already on its way
  std::filesystem::remove_all(path_, ignored);
}

void Staging::commit() {
  std::error_code error;
  std::filesystem::rename(path_, target_, error);
  if (error) throw Error(fmt::format("{}: could not be put in place: {}", target_.string(), error.message()));
}

}  // namespace moesaic::checkpoint
