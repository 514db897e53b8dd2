#include "rebound/model/prefix_forest.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

const std::vector<std::vector<int64_t>>& sequences() {
  static const std::vector<std::vector<int64_t>> all = {
      {7, 1, 2, 3}, {7, 1, 2, 4, 5}, {7, 1, 9}, {8, 1, 2, 3}, {7, 1}};
  return all;
}

TEST(PrefixForestTest, SharedPrefixesAreNodesOnce) {
  const PrefixForest forest = PrefixForest::from(sequences());
  EXPECT_EQ(forest.n_nodes(), 4 + 2 + 1 + 4);  // 7 1 2 3 | 4 5 | 9 | 8 1 2 3; 7 1 is there
  EXPECT_EQ(forest.node(0, 1), forest.node(4, 1));
  EXPECT_NE(forest.node(0, 3), forest.node(3, 3));
}

TEST(PrefixForestTest, EverySequenceGetsWhatItGetsAlone) {
  const at::NoGradGuard no_grad;
  const Transformer model = tiny_transformer();
  Hooks hooks;
  // An edit that depends on the position, as clamps do.
  hooks.edits[{2, SiteKind::kResidPre}] = [](const at::Tensor& value, const Rows& rows) {
    return value + 0.1 * rows.position.unsqueeze(-1) * value.tanh();
  };
  for (const Hooks& live : {Hooks{}, hooks}) {
    const PrefixForest forest = PrefixForest::from(sequences());
    const at::Tensor together = forest.run(model, live);
    for (size_t s = 0; s < sequences().size(); ++s) {
      const at::Tensor alone =
          model.run(TokenBatch::from({sequences()[s]}), {.hooks = live}).resid[0];
      for (size_t i = 0; i < sequences()[s].size(); ++i) {
        EXPECT_LT(relative_gap(together[forest.node(s, i)], alone[static_cast<int64_t>(i)]), 1e-5)
            << s << " " << i;
      }
    }
  }
}

TEST(PrefixForestTest, NothingAndTooMuchAreRefused) {
  EXPECT_THROW(PrefixForest::from({}), DataError);
  EXPECT_THROW(PrefixForest::from({{1}, {}}), DataError);
  const Transformer model = tiny_transformer();
  const std::vector<int64_t> longest(
      static_cast<size_t>(model.config().max_position_embeddings) + 1, 3);
  EXPECT_THROW(PrefixForest::from({longest}).run(model), DataError);
}

}  // namespace
}  // namespace rebound
