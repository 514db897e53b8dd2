#include "rebound/report/report.h"

#include <gtest/gtest.h>


#include "rebound/report/content_policy.h"
#include "rebound/report/figure.h"
#include "rebound/report/page_files.h"
#include "report/small_audit.h"

namespace rebound {
namespace {

// The page without the style, Vega and our own script.
std::string without_page_files(std::string html) {
  const PageFiles files = page_files();
  for (const std::string_view file :
       {files.style, files.script, files.vega, files.vega_lite, files.vega_interpreter}) {
    const size_t at = html.find(file);
    EXPECT_NE(at, std::string::npos);
    html.erase(at, file.size());
  }
  return html;
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(MarkdownReportTest, HasEveryRowAndFigure) {
  const std::string text = markdown_report(small_audit());
  for (const char* part : {"**non-specific.**",
                           "none/logit_diff/per_prompt@20",
                           "random · encoder",
                           "1.07 \\[0.9, 1.2]",
                           "9/11 (82 %)",
                           "censored",
                           "baba-0",
                           "✓ 38.5",
                           "residual",
                           "float32"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
}

TEST(ReportTest, PromptTextNeedsAnExplicitWish) {
  const ReportInput input = small_audit();
  EXPECT_EQ(markdown_report(input).find("John"), std::string::npos);
  EXPECT_EQ(html_report(input).find("John"), std::string::npos);
  const std::string shown = without_page_files(html_report(input, {.show_text = true}));
  EXPECT_NE(shown.find("&lt;b&gt;Mary&lt;/<wbr>b&gt; &amp; John"), std::string::npos);  // the table
  EXPECT_NE(shown.find("Then \\u003cb\\u003eMary"), std::string::npos);                 // the data
}

TEST(JsonReportTest, ReadsBackWithNullForWhatWasNotMeasured) {
  const AuditSummary summary = small_audit().summary;
  const Json json = Json::parse(json_report(summary));
  EXPECT_TRUE(json.at("rows")[0].at("kl_to_base").is_null());
  EXPECT_TRUE(json.at("rows")[0].at("control").is_null());
  EXPECT_EQ(json.at("rows")[1].at("decode_drift"), 0.5);
  EXPECT_EQ(AuditSummary::from_json(json).to_json(), json);
}

TEST(JsonReportTest, AMissingOrWrongKeyIsNamed) {
  Json json = small_audit().summary.to_json();
  json["rows"][2]["recovered"] = "many";
  try {
    AuditSummary::from_json(json);
    FAIL();
  } catch (const DataError& e) {
    EXPECT_STREQ(e.what(), "summary.json.rows[2].recovered: got \"many\", expected a number");
  }
  json.erase("rows");
  EXPECT_THROW(AuditSummary::from_json(json), DataError);
  EXPECT_THROW(AuditSummary::from_json(Json::array()), DataError);
}

TEST(HtmlReportTest, HasEveryRowAndSection) {
  const std::string html = without_page_files(html_report(small_audit()));
  for (const RowSummary& row : small_audit().summary.rows) {
    EXPECT_NE(html.find(row.constraint + "/<wbr>logit_diff/<wbr>"), std::string::npos) << row.name;
  }
  for (const char* part : {"<strong>non-specific</strong>",
                           "<h2>Tested</h2>",
                           "<h2>Not tested</h2>",
                           "Recovery against drift",
                           "Budgets",
                           "Controls",
                           "Recovery path",
                           "Examples",
                           "Reproduce",
                           "Environment",
                           "Glossary",
                           "&quot;seed&quot;: 7",
                           "data-chart=\"drift\"",
                           "data-chart=\"exact-rows\"",
                           "data-chart=\"budget-curve\"",
                           "data-chart=\"minimal-budgets\"",
                           "data-chart=\"attribution\"",
                           "Can this budget write anything at all?"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
}

TEST(HtmlReportTest, TheVerdictAndItsReasonComeFirst) {
  const std::string html = without_page_files(html_report(small_audit()));
  const size_t verdict = html.find("<strong>non-specific</strong>");
  const size_t reason = html.find("So does any other name.");
  EXPECT_LT(verdict, reason);
  EXPECT_LT(reason, html.find("<h2>Tested</h2>"));
  EXPECT_LT(html.find("<h2>Not tested</h2>"), html.find("<section"));
}

TEST(HtmlReportTest, EveryLinkStaysInThePageAndArrives) {
  const std::string html = without_page_files(html_report(small_audit()));
  int links = 0;
  for (size_t at = html.find("href=\""); at != std::string::npos;
       at = html.find("href=\"", at + 1)) {
    const size_t start = at + 6, end = html.find('"', start);
    ASSERT_EQ(html[start], '#') << html.substr(start, 60);
    EXPECT_NE(html.find(" id=\"" + html.substr(start + 1, end - start - 1) + "\""),
              std::string::npos);
    ++links;
  }
  EXPECT_GT(links, 20);
}

TEST(HtmlReportTest, IsOneFileThatAsksForNothing) {
  const std::string whole = html_report(small_audit());
  EXPECT_LT(whole.size(), 1'000'000u);
  EXPECT_EQ(whole.find("sourceMappingURL"), std::string::npos);
  const std::string html = without_page_files(whole);
  for (const char* part : {"src=", "@import", "url(", "<link", "<iframe", " style=", " onclick="}) {
    EXPECT_EQ(html.find(part), std::string::npos) << part;
  }
}

TEST(HtmlReportTest, PolicyNamesTheHashOfEveryScriptAndAllowsNoOther) {
  const std::string html = html_report(small_audit());
  const PageFiles files = page_files();
  const std::string policy = content_policy(
      {files.vega, files.vega_lite, files.vega_interpreter, files.script}, files.style);
  EXPECT_NE(html.find("content=\"" + policy + "\""), std::string::npos);
  EXPECT_EQ(policy.find("default-src 'none'; script-src 'sha256-"), 0u);
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(count(policy, "'sha256-"), 5);
  EXPECT_EQ(count(without_page_files(html), "<script>"), 4);
}

TEST(HtmlReportTest, BadgeSaysWhetherTextsAreThere) {
  EXPECT_NE(html_report(small_audit()).find("<strong>Redacted.</strong>"), std::string::npos);
  EXPECT_EQ(html_report(small_audit(), {.show_text = true}).find("<strong>Redacted.</strong>"),
            std::string::npos);
  EXPECT_NE(html_report(small_audit(), {.show_text = true}).find("<strong>Texts shown.</strong>"),
            std::string::npos);
}

TEST(ContentPolicyTest, Base64HasItsThreePaddings) {
  EXPECT_EQ(base64_of_hex(""), "");
  EXPECT_EQ(base64_of_hex("4d"), "TQ==");
  EXPECT_EQ(base64_of_hex("4d61"), "TWE=");
  EXPECT_EQ(base64_of_hex("4d616e"), "TWFu");
  EXPECT_EQ(base64_of_hex("fffefd00"), "//79AA==");
}

TEST(HtmlReportTest, NothingStoredCanBecomeMarkup) {
  ReportInput input = small_audit();
  const std::string evil = "</script><script>alert(1)</script><!-- --><img onerror=x>\"'";
  const int scripts = count(without_page_files(html_report(input)), "<script");
  AuditSummary& summary = input.summary;
  summary.behaviour = summary.model = summary.sae = summary.verdict = evil;
  summary.verdict_text = evil;
  summary.rows[0].name = summary.rows[0].constraint = evil;
  summary.rows[2].target = evil;
  summary.rows[3].control = evil;
  for (Json* json : {&summary.defence,
                     &summary.controls,
                     &summary.attribution,
                     &summary.environment,
                     &summary.headline,
                     &input.spec}) {
    (*json)[evil] = evil;
  }
  summary.headline["minimal_budgets"][0]["target"] = evil;
  input.examples[0].id = input.examples[0].text = input.examples[0].split = evil;
  input.examples[0].extra = {{evil, evil}};
  input.results[0].termination = input.results[0].variant = evil;
  input.results[0].figures = {{evil, evil}};
  input.traces = {{.prompt = 0, .row = evil, .step = 1}};
  input.routes[0] = {{"parts", {{{"name", evil}}}}, {"sites", Json::array()}};
  const std::string html = without_page_files(html_report(input, {.show_text = true}));
  EXPECT_EQ(count(html, "<script"), scripts);
  EXPECT_EQ(count(html, "</script"), scripts);
  EXPECT_EQ(count(html, "<img"), 0);
  EXPECT_EQ(count(html, "<!--"), 1);  // the notices
}

TEST(HtmlReportTest, OddJsonDoesNotStopAReport) {
  ReportInput input = small_audit();
  input.summary.headline = Json::array({1, "two"});
  input.summary.controls = nullptr;
  input.summary.attribution = {{"parts", {{{"name", "a"}}, 3, "text"}}, {"empty", Json::array()}};
  input.summary.environment = "text";
  EXPECT_NO_THROW(html_report(input));
  EXPECT_NO_THROW(markdown_report(input));
  input.summary.headline = {{"minimal_budgets", 3}};
  EXPECT_NO_THROW(html_report(input));
}

}  // namespace
}  // namespace rebound
