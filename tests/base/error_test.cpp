#include "rebound/base/error.h"

#include "support/failures.h"

namespace rebound {
namespace {

TEST(ErrorTest, EveryKindHasItsExitCode) {
  EXPECT_EQ(ConfigError("x").exit_code, 2);
  EXPECT_EQ(DataError("x").exit_code, 3);
  EXPECT_EQ(NumericError("x").exit_code, 4);
  EXPECT_EQ(IoError("x").exit_code, 5);
}

TEST(ErrorTest, RequireThrowsTheJoinedMessageOnlyWhenTheConditionIsFalse) {
  EXPECT_NO_THROW(require<ConfigError>(true, "never"));
  const auto body = [] { require<ConfigError>(false, "steps must be > 0, got ", -3, " of ", 2.5); };
  EXPECT_EQ(message_of<ConfigError>(body), "steps must be > 0, got -3 of 2.5");
}

TEST(ErrorTest, ContextsStackFromTheOutsideIn) {
  const auto body = [] {
    with_context("sae layer 12", [] { with_context("W_enc", [] { throw DataError("got NaN"); }); });
  };
  EXPECT_EQ(message_of<DataError>(body), "sae layer 12: W_enc: got NaN");
}

template <class Kind>
class ContextTest : public ::testing::Test {};
using Kinds = ::testing::Types<ConfigError, DataError, NumericError, IoError>;
TYPED_TEST_SUITE(ContextTest, Kinds);

TYPED_TEST(ContextTest, KeepsTheKindAndTheExitCode) {
  const auto body = [] { with_context("here", [] { throw TypeParam("bad"); }); };
  EXPECT_EQ(message_of<TypeParam>(body), "here: bad");
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.exit_code, TypeParam("").exit_code);
  }
}

TEST(ErrorTest, ContextReturnsTheResultOfTheBody) {
  EXPECT_EQ(with_context("here", [] { return 7; }), 7);
}

TEST(ErrorTest, OtherExceptionsPassAContextUntouched) {
  const auto body = [] { with_context("here", [] { throw std::out_of_range("index"); }); };
  EXPECT_EQ(message_of<std::out_of_range>(body), "index");
}

}  // namespace
}  // namespace rebound
