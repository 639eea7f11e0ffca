// SPDX-License-Identifier: GPL-3.0-or-later
// Making a volume in a store that loses its replies.
#include "volume/create.h"

#include <gtest/gtest.h>

#include "store/memory_store.h"
#include "store/retry_store.h"
#include "tests/support/fault_store.h"
#include "volume/volume.h"

namespace s3crate::volume {
namespace {

Result<Vid> make(store::ObjectStore& store) {
  CreateOptions options;
  options.disk_bytes = 1 << 20;
  SlotRequest slot;
  slot.key_file = crypto::Secret::copy_of(Bytes(32, 9));
  return create(system_env(), store, options, {&slot, 1});
}

// Each put is repeated below create(), which is told that the name is taken: by its own bytes.
TEST(Create, VolumeIsMadeThoughAllRepliesAreLost) {
  ASSERT_TRUE(crypto::initialise());
  store::MemoryStore memory;
  test::FaultStore faults(memory, {.transient_after = 1000});
  store::RetryStore retry(system_env(), faults, {});
  const auto made = make(retry);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(faults.counts().transient_after, 4u);
  KeySource keys;
  keys.key_file = crypto::Secret::copy_of(Bytes(32, 9));
  const auto volume = Volume::open(system_env(), memory, keys, {.expected = *made});
  ASSERT_TRUE(volume) << volume.error().message();
  EXPECT_TRUE((*volume)->load_head());
}

TEST(Create, OtherBytesUnderItsFirstNameAreAnotherFormat) {
  ASSERT_TRUE(crypto::initialise());
  store::MemoryStore memory;
  test::FaultStore faults(memory);
  faults.set_hook([&](store::Verb verb, const std::string& name) -> Result<> {
    const bool first = verb == store::Verb::put && name.starts_with("commits/");
    return first ? memory.put(name, Bytes(9, 1)) : Result<>();
  });
  EXPECT_TRUE(is(make(faults), Code::kExists));
  EXPECT_FALSE(memory.head("volume"));
}

TEST(Create, WithoutConditionalPutNothingIsLeftAndTheWayOutIsNamed) {
  ASSERT_TRUE(crypto::initialise());
  store::MemoryStore memory;
  test::FaultStore store(memory);
  store.set_hook([](store::Verb verb, const std::string&) -> Result<> {
    if (verb != store::Verb::put) return {};
    return fail(Code::kUnsupported, "conditional PUT is not offered");
  });
  const auto made = make(store);
  ASSERT_TRUE(is(made, Code::kDenied)) << made.error().message();
  EXPECT_EQ(made.error().message(),
            "conditional PUT is not offered, so two writers could destroy each other's data: use another store, or a "
            "volume made with --single-writer");
  EXPECT_TRUE(memory.list("", "", 1)->objects.empty());
}

}  // namespace
}  // namespace s3crate::volume
