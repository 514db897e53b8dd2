#include "rebound/audit/fold_rates.h"

#include <gtest/gtest.h>

#include "rebound/audit/utility.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/sae/text_files.h"
#include "support/tiny_tokenizer.h"

namespace rebound {
namespace {

// A defence is not chosen on the text on which it is measured.
TEST(RetainContextsTest, AreNoneOfThoseThatMeasureTheCost) {
  const Tokenizer tokenizer = tiny_tokenizer({});
  const at::Tensor chosen_on = retain_contexts(tokenizer);
  const at::Tensor text = contexts_of(read_documents(find_project_path("data/text/heldout.txt.gz")),
                                      tokenizer,
                                      nullptr,
                                      {.max_contexts = 2 * kMeasuredContexts});
  ASSERT_EQ(text.size(0), 2 * kMeasuredContexts);
  EXPECT_TRUE(at::equal(chosen_on, text.slice(0, kMeasuredContexts)));
  EXPECT_LE(TextCostOptions().contexts, kMeasuredContexts);
}

}  // namespace
}  // namespace rebound
