#include "rebound/base/json.h"

#include "support/failures.h"
#include "rebound/base/file.h"

namespace rebound {
namespace {

TEST(JsonTest, CommentsAreAllowed) {
  const Json json = parse_json("{ // one\n \"a\": 1 /* two */ }", "x.json");
  EXPECT_EQ(json, Json({{"a", 1}}));
}

TEST(JsonTest, ASyntaxErrorNamesTheSource) {
  const std::string message = message_of<DataError>([] { parse_json("{\"a\": }", "x.json"); });
  EXPECT_EQ(message.rfind("x.json: not valid JSON: ", 0), 0U) << message;
}

TEST(JsonTest, ADuplicateKeyIsAnErrorInItsOwnObjectOnly) {
  const auto body = [] { parse_json(R"({"a": 1, "b": {"c": 1, "c": 2}})", "x.json"); };
  EXPECT_EQ(message_of<DataError>(body), "x.json: key \"c\" stands twice in one object");
  EXPECT_NO_THROW(parse_json(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})", "x.json"));
}

TEST(JsonTest, DeepNestingIsRefusedBeforeTheStackEnds) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_NO_THROW(parse_json(nested(150), "x.json"));
  EXPECT_EQ(message_of<DataError>([&] { parse_json(nested(100000), "x.json"); }),
            "x.json: JSON nested deeper than 200");
}

TEST(JsonTest, JsonLinesSkipsEmptyLinesAndNamesTheBadOne) {
  const auto path = fresh_folder("jsonl") / "rows.jsonl";
  write_file_atomically(path, "{\"a\": 1}\r\n\n  \n{\"a\": 2}\n");
  const std::vector<Json> rows = read_jsonl_file(path);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].at("a"), 2);
  write_file_atomically(path, "{\"a\": 1}\n\n{\"a\"\n");
  const std::string message = message_of<DataError>([&] { read_jsonl_file(path); });
  EXPECT_EQ(message.rfind(path.string() + ":3: not valid JSON", 0), 0U) << message;
}

TEST(ObjectReaderTest, ReadsValuesAndFallbacks) {
  const Json json = {{"lr", 0.5}, {"steps", 7}, {"name", "x"}, {"on", true}, {"none", nullptr}};
  ObjectReader spec(json, "spec");
  EXPECT_EQ(spec.get<double>("lr"), 0.5);
  EXPECT_EQ(spec.get<double>("steps"), 7);
  EXPECT_EQ(spec.get<int64_t>("steps", 1), 7);
  EXPECT_EQ(spec.get<std::string>("name"), "x");
  EXPECT_TRUE(spec.get<bool>("on"));
  EXPECT_EQ(spec.get<int64_t>("none", 3), 3);
  EXPECT_EQ(spec.get<int64_t>("absent", 4), 4);
  EXPECT_FALSE(spec.has("none"));
  EXPECT_NO_THROW(spec.finish());
}

TEST(ObjectReaderTest, AnUnknownKeyNamesItselfWhereAndTheKnownOnes) {
  const Json json = {{"lr", 0.5}, {"stepz", 7}};
  ObjectReader spec(json, "audit.json.rows[2]");
  spec.get<double>("lr");
  spec.get<int64_t>("steps", 1);
  EXPECT_EQ(message_of<ConfigError>([&] { spec.finish(); }),
            "audit.json.rows[2]: unknown key \"stepz\", expected one of: lr, steps");
}

TEST(ObjectReaderTest, AMissingKeyIsNamed) {
  const Json json = Json::object();
  ObjectReader spec(json, "spec");
  EXPECT_EQ(message_of<ConfigError>([&] { spec.get<double>("lr"); }), "spec: missing key \"lr\"");
}

TEST(ObjectReaderTest, AWrongTypeSaysWhatWasGotAndExpected) {
  const Json json = {{"a", "fast"}, {"b", 1.5}, {"c", 1}, {"d", nullptr}};
  ObjectReader spec(json, "spec");
  EXPECT_EQ(message_of<ConfigError>([&] { spec.get<double>("a"); }),
            "spec.a: got \"fast\", expected a number");
  EXPECT_EQ(message_of<ConfigError>([&] { spec.get<int64_t>("b", 0); }),
            "spec.b: got 1.5, expected an integer");
  EXPECT_EQ(message_of<ConfigError>([&] { spec.get<bool>("c"); }),
            "spec.c: got 1, expected true or false");
  EXPECT_EQ(message_of<ConfigError>([&] { spec.get<std::string>("d"); }),
            "spec.d: got null, expected a string");
}

TEST(ObjectReaderTest, AnythingButAnObjectIsRefused) {
  const Json json = Json::array({1});
  EXPECT_EQ(message_of<ConfigError>([&] { ObjectReader(json, "spec"); }),
            "spec: got array, expected a JSON object");
}

}  // namespace
}  // namespace rebound
