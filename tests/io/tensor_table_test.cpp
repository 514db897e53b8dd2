#include "rebound/io/tensor_table.h"

#include "io/io_fixture.h"

namespace rebound {
namespace {

TensorTable table_of(int count) {
  TensorTable table;
  for (int i = 0; i < count; ++i) table.add({concat("t", i), DType::kF32, {0, 2}, nullptr, 0});
  return table;
}

TEST(TensorTableTest, FindsByNameAndKeepsTheOrder) {
  const TensorTable table = table_of(3);
  EXPECT_EQ(table.find("t1"), &table.tensors()[1]);
  EXPECT_EQ(table.find("t3"), nullptr);
  EXPECT_EQ(table.get("t2").name, "t2");
}

TEST(TensorTableTest, OneErrorListsAllThatIsMissing) {
  expect_contains(message_of<DataError>([] {
                    table_of(2).require_names({"a", "t0", "b"});
                  }),
                  "missing tensors \"a\", \"b\"; the file has \"t0\", \"t1\"");
  expect_contains(message_of<DataError>([] { table_of(9).get("x"); }),
                  "missing tensor \"x\"; the file has \"t0\", \"t1\", \"t2\", \"t3\", \"t4\", "
                  "\"t5\", ... (9 in all)");
  expect_contains(message_of<DataError>([] { table_of(0).get("x"); }), "the file has no tensors");
}

TEST(TensorTableTest, AnotherShapeIsAnErrorWithBoth) {
  expect_contains(message_of<DataError>([] { table_of(1).get("t0", {3}); }),
                  "tensor \"t0\": got [0, 2], expected [3]");
  EXPECT_EQ(table_of(1).get("t0", {0, 2}).name, "t0");
}

TEST(TensorTableTest, ANameTwiceIsAnError) {
  TensorTable table = table_of(1);
  expect_contains(message_of<DataError>([&] {
                    table.add({"t0", DType::kF32, {}, nullptr, 0});
                  }),
                  "tensor \"t0\" is there twice");
}

}  // namespace
}  // namespace rebound
