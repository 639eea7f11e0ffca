// SPDX-License-Identifier: GPL-3.0-or-later
// The contract of store/object_store.h as tests. Every store and every wrapper of one instantiates
// it:
//
//   INSTANTIATE_TEST_SUITE_P(Memory, StoreContract, ::testing::Values(StoreFactory{...}));
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/object_store.h"

namespace s3crate::test {

// An empty store, and whatever it stands on.
struct StoreUnderTest {
  virtual ~StoreUnderTest() = default;
  virtual store::ObjectStore& store() = 0;
};
using StoreFactory = std::function<std::unique_ptr<StoreUnderTest>()>;

class StoreContract : public ::testing::TestWithParam<StoreFactory> {
 protected:
  void SetUp() override { subject_ = GetParam()(); }
  store::ObjectStore& store() { return subject_->store(); }

  void put(const std::string& name, std::string_view text) {
    auto done = store().put(name, as_bytes(text));
    EXPECT_TRUE(done) << done.error().message();
  }
  std::string get(const std::string& name) {
    auto data = store().get(name, 1 << 20);
    return data ? std::string(as_chars(*data)) : std::string(code_name(data.error().code()));
  }
  std::string get_range(const std::string& name, std::uint64_t offset, std::size_t length) {
    Bytes out(length, '?'), ahead(length, '?');
    auto done = store().get_range(name, offset, out);
    auto done_ahead = store().get_range_ahead(name, offset, ahead);
    EXPECT_EQ(done.has_value(), done_ahead.has_value());
    EXPECT_TRUE(done ? out == ahead : is(done_ahead, done.error().code()));
    return done ? std::string(as_chars(out)) : std::string(code_name(done.error().code()));
  }
  // All pages, glued together.
  std::vector<std::string> list(const std::string& prefix, std::string after = "",
                                std::size_t max_keys = 1000) {
    std::vector<std::string> names;
    for (;;) {
      auto page = store().list(prefix, after, max_keys);
      EXPECT_TRUE(page) << page.error().message();
      if (!page) return names;
      EXPECT_LE(page->objects.size(), max_keys);
      for (const auto& info : page->objects) names.push_back(info.name);
      if (!page->more) return names;
      EXPECT_FALSE(page->objects.empty());
      if (page->objects.empty()) return names;
      after = names.back();
    }
  }

  std::unique_ptr<StoreUnderTest> subject_;
};

using Names = std::vector<std::string>;

}  // namespace s3crate::test
