#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace moesaic {

/// Whether a text holds each of the parts, for EXPECT_TRUE.
inline ::testing::AssertionResult mentions(const std::string& text, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts) {
    if (text.find(part) == std::string::npos) {
      return ::testing::AssertionFailure() << "no \"" << part << "\" in \"" << text << '"';
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace moesaic
