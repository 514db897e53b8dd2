#include "rebound/model/site.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"

namespace rebound {
namespace {

TEST(SiteTest, EveryNameParsesBackToItsSite) {
  for (const Site& site : all_sites(3)) EXPECT_EQ(parse_site(to_string(site)), site);
  EXPECT_EQ(all_sites(3).size(), 3u + 3u * 18u);
}

TEST(SiteTest, NamesAreThoseOfTransformerLens) {
  EXPECT_EQ(to_string({12, SiteKind::kResidPre}), "blocks.12.hook_resid_pre");
  EXPECT_EQ(to_string({0, SiteKind::kLn1Normalized}), "blocks.0.ln1.hook_normalized");
  EXPECT_EQ(to_string({-1, SiteKind::kEmbed}), "hook_embed");
}

TEST(SiteTest, UnknownTextIsAConfigErrorThatNamesIt) {
  for (const char* text : {"",
                           "blocks.",
                           "blocks.x.hook_z",
                           "blocks.1.hook_resid",
                           "blocks.-1.hook_resid_pre",
                           "blocks.1hook_resid_pre",
                           "blocks.99999999999999999999.hook_resid_pre"}) {
    try {
      parse_site(text);
      FAIL() << text;
    } catch (const ConfigError& e) {
      EXPECT_NE(std::string(e.what()).find(std::string("\"") + text + "\""), std::string::npos);
    }
  }
}

TEST(SiteTest, OrderIsTheOrderOfTheForwardPass) {
  EXPECT_LT((Site{1, SiteKind::kResidPre}), (Site{1, SiteKind::kResidPost}));
  EXPECT_LT((Site{1, SiteKind::kResidPost}), (Site{2, SiteKind::kResidPre}));
}

}  // namespace
}  // namespace rebound
