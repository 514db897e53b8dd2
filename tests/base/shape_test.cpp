#include "rebound/base/shape.h"

#include <ATen/ATen.h>

#include "support/failures.h"
#include "rebound/base/error.h"

namespace rebound {
namespace {

const std::vector<Axis> kResid = {{"batch"}, {"pos"}, {"d_model", 768}};

TEST(ShapeTest, NamedSizesMustAgreeAndOthersAreFree) {
  EXPECT_NO_THROW(check_shape("resid", at::empty({2, 7, 768}), kResid));
  EXPECT_NO_THROW(check_shape("resid", at::empty({0, 1, 768}), kResid));
  EXPECT_NO_THROW(check_shape("scalar", at::empty({}), {}));
}

TEST(ShapeTest, TheMessageSaysWhatWasGotAndExpected) {
  EXPECT_EQ(message_of<DataError>([] {
              check_shape("resid", at::empty({2, 7, 512}), kResid);
            }),
            "resid: got [2, 7, 512], expected [batch, pos, d_model=768]");
  EXPECT_EQ(message_of<DataError>([] {
              check_shape("resid", at::empty({2, 768}), kResid);
            }),
            "resid: got [2, 768], expected [batch, pos, d_model=768]");
}

TEST(ShapeTest, AMissingTensorIsNamedAsSuch) {
  EXPECT_EQ(message_of<DataError>([] { check_shape("resid", at::Tensor(), {{"batch"}}); }),
            "resid: got no tensor, expected [batch]");
}

}  // namespace
}  // namespace rebound
