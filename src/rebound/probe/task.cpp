#include "rebound/probe/task.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/base/rng.h"
#include "rebound/probe/task_lines.h"

namespace rebound {
namespace {

constexpr double kTestShare = 0.3;

struct TaskLine {
  LabelledText text;
  bool has_split = false;
};

Split parse_split(const std::string& name, const std::string& where) {
  for (const Split split : kSplits) {
    if (to_string(split) == name) return split;
  }
  throw DataError(concat(where,
                         ": split: got ",
                         Json(name).dump().substr(0, 80),
                         ", expected train, test, ood or hard"));
}

bool read_label(ObjectReader& fields, const std::string& where) {
  const Json& label = fields.at("label");
  if (label.is_boolean()) return label.get<bool>();
  const bool is_binary = label.is_number_integer() && (label == 0 || label == 1);
  require<DataError>(
      is_binary, where, ": label: got ", label.dump().substr(0, 80), ", expected 0 or 1");
  return label == 1;
}

std::string read_group(ObjectReader& fields, const std::string& fallback) {
  if (!fields.has("group")) return fields.get<std::string>("group", fallback);
  const Json& group = fields.at("group");
  return group.is_string() ? group.get<std::string>() : group.dump();
}

TaskLine read_task_line(const std::string& line, const std::string& where, int64_t number) {
  const Json json = parse_json(line, where);
  ObjectReader fields(json, where);
  TaskLine row;
  row.text.id = fields.get<std::string>("id", std::to_string(number));
  row.text.text = fields.get<std::string>("text");
  row.text.is_positive = read_label(fields, where);
  row.text.group = read_group(fields, "line " + std::to_string(number));
  row.has_split = fields.has("split");
  row.text.split = parse_split(fields.get<std::string>("split", "train"), where);
  fields.get<std::string>("label_name", "");
  fields.get<std::string>("source", "");
  fields.finish();
  const bool has_words = row.text.text.find_first_not_of(" \t\r\n") != std::string::npos;
  require<DataError>(has_words, where, ": text is empty");
  return row;
}

// The same for every run: a hash of the group alone decides.
Split drawn_split(const std::string& group) {
  uint64_t key = 1469598103934665603U;  // FNV-1a
  for (const char c : group) key = (key ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return Rng({key}).uniform() < kTestShare ? Split::kTest : Split::kTrain;
}

std::string text_key(const std::string& text) {
  std::string key;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isspace(byte)) {
      if (!key.empty() && key.back() != ' ') key += ' ';
    } else {
      key += static_cast<char>(std::tolower(byte));
    }
  }
  while (!key.empty() && std::string(" .!?").find(key.back()) != std::string::npos) key.pop_back();
  return key;
}

void drop_duplicates(ProbeTask& task) {
  std::map<std::string, std::set<bool>> labels;
  std::set<std::string> train_groups;
  for (const LabelledText& text : task.texts) {
    labels[text_key(text.text)].insert(text.is_positive);
    if (text.split == Split::kTrain) train_groups.insert(text.group);
  }
  std::map<std::string, Split> seen;
  std::vector<LabelledText> kept;
  std::stable_sort(task.texts.begin(), task.texts.end(), [](const auto& a, const auto& b) {
    return a.split < b.split;
  });
  for (LabelledText& text : task.texts) {
    const std::string key = text_key(text.text);
    const auto earlier = seen.find(key);
    const bool is_leak = text.split != Split::kTrain && train_groups.count(text.group) > 0;
    if (labels[key].size() > 1) {
      task.dropped.contradictory.push_back(text.id);
    } else if (is_leak || (earlier != seen.end() && earlier->second != text.split)) {
      task.dropped.across_splits.push_back(text.id);
    } else if (earlier != seen.end()) {
      task.dropped.repeated.push_back(text.id);
    } else {
      seen[key] = text.split;
      kept.push_back(std::move(text));
    }
  }
  task.texts = std::move(kept);
}

}  // namespace

std::string to_string(Split split) {
  constexpr std::array kNames = {"train", "test", "ood", "hard"};
  return kNames[static_cast<size_t>(split)];
}

std::vector<int64_t> ProbeTask::of_split(Split split) const {
  std::vector<int64_t> places;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].split == split) places.push_back(static_cast<int64_t>(i));
  }
  return places;
}

int64_t ProbeTask::positives(Split split) const {
  return std::count_if(texts.begin(), texts.end(), [&](const LabelledText& text) {
    return text.split == split && text.is_positive;
  });
}

std::vector<LabelledText> read_labelled_texts(const std::filesystem::path& path) {
  std::vector<TaskLine> rows = read_task_lines<TaskLine>(path, read_task_line);
  for (const TaskLine& row : rows) {
    require<DataError>(row.has_split == rows.front().has_split,
                       path.string(),
                       ": split: got some rows with and some without, expected all or none");
  }
  std::vector<LabelledText> texts;
  for (TaskLine& row : rows) {
    if (!row.has_split) row.text.split = drawn_split(row.text.group);
    texts.push_back(std::move(row.text));
  }
  return texts;
}

ProbeTask make_task(std::string name, std::vector<LabelledText> texts, bool is_chat) {
  ProbeTask task = {.name = std::move(name), .is_chat = is_chat, .texts = std::move(texts)};
  drop_duplicates(task);
  for (const Split split : kSplits) {
    const auto n = static_cast<int64_t>(task.of_split(split).size());
    const int64_t positives = task.positives(split);
    require<DataError>((n == 0 && split != Split::kTrain) || (positives > 0 && positives < n),
                       "task ",
                       task.name,
                       ", split ",
                       to_string(split),
                       ": got ",
                       positives,
                       " positive and ",
                       n - positives,
                       " negative texts (",
                       task.dropped.size(),
                       " duplicates dropped), expected some of both");
  }
  return task;
}

}  // namespace rebound
