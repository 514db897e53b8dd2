#include "rebound/probe/class_task.h"

#include <algorithm>
#include <map>
#include <set>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/base/rng.h"
#include "rebound/probe/task_lines.h"

namespace rebound {
namespace {

constexpr uint64_t kRestStream = 43;

struct ClassLine {
  LabelledText text;
  int64_t label = 0;
  std::string label_name;
};

ClassLine read_class_line(const std::string& line, const std::string& where, int64_t number) {
  const Json json = parse_json(line, where);
  ObjectReader fields(json, where);
  ClassLine row;
  row.text.id = fields.get<std::string>("id", std::to_string(number));
  row.text.text = fields.get<std::string>("text");
  row.label = fields.get<int64_t>("label");
  row.label_name = fields.get<std::string>("label_name", std::to_string(row.label));
  row.text.group = fields.get<std::string>("group", "line " + std::to_string(number));
  const auto split = fields.get<std::string>("split");
  fields.get<std::string>("source", "");
  fields.finish();
  require<DataError>(row.label >= 0, where, ": label: got ", row.label, ", expected 0 or more");
  require<DataError>(split == "train" || split == "test",
                     where,
                     ": split: got ",
                     Json(split).dump().substr(0, 80),
                     ", expected train or test");
  row.text.split = split == "train" ? Split::kTrain : Split::kTest;
  const bool has_words = row.text.text.find_first_not_of(" \t\r\n") != std::string::npos;
  require<DataError>(has_words, where, ": text is empty");
  return row;
}

// Labels in rising order become places; one label has one name.
std::map<int64_t, int64_t> name_classes(const std::vector<ClassLine>& rows,
                                        const std::string& where,
                                        std::vector<std::string>& names) {
  std::map<int64_t, std::string> name_of;
  for (const ClassLine& row : rows) {
    const std::string& name = name_of.emplace(row.label, row.label_name).first->second;
    require<DataError>(name == row.label_name,
                       where,
                       ": label ",
                       row.label,
                       ": got the names ",
                       name,
                       " and ",
                       row.label_name,
                       ", expected one");
  }
  std::map<int64_t, int64_t> place;
  for (const auto& [label, name] : name_of) {
    place[label] = static_cast<int64_t>(names.size());
    names.push_back(name);
  }
  return place;
}

}  // namespace

std::vector<int64_t> ClassTask::of_class(int64_t which, Split split) const {
  std::vector<int64_t> places;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (label[i] == which && texts[i].split == split) places.push_back(static_cast<int64_t>(i));
  }
  return places;
}

void ClassTask::validate() const {
  require<DataError>(
      n_classes() > 1, "task ", name, ": got ", n_classes(), " class, expected two or more");
  for (int64_t which = 0; which < n_classes(); ++which) {
    for (const Split split : {Split::kTrain, Split::kTest}) {
      require<DataError>(!of_class(which, split).empty(),
                         "task ",
                         name,
                         ", class ",
                         classes[static_cast<size_t>(which)],
                         ": got no text of split ",
                         to_string(split),
                         ", expected some");
    }
  }
}

ClassTask read_class_task(const std::filesystem::path& path) {
  const std::vector<ClassLine> rows = read_task_lines<ClassLine>(path, read_class_line);
  ClassTask task = {.name = path.stem().string()};
  const std::map<int64_t, int64_t> place = name_classes(rows, path.string(), task.classes);
  std::set<std::string> train_groups, seen;
  for (const ClassLine& row : rows) {
    if (row.text.split == Split::kTrain) train_groups.insert(row.text.group);
  }
  for (const ClassLine& row : rows) {
    const bool is_leak = row.text.split == Split::kTest && train_groups.count(row.text.group) > 0;
    if (is_leak || !seen.insert(row.text.text).second) {
      ++task.dropped;
      continue;
    }
    task.texts.push_back(row.text);
    task.label.push_back(place.at(row.label));
  }
  task.validate();
  return task;
}

ClassTask first_of_each(const ClassTask& task, int64_t most) {
  require<ConfigError>(most >= 0, "texts of a class: got ", most, ", expected 0 (all) or more");
  if (most == 0) return task;
  ClassTask out = {.name = task.name, .classes = task.classes, .dropped = task.dropped};
  std::map<std::pair<int64_t, Split>, int64_t> taken;
  for (size_t i = 0; i < task.texts.size(); ++i) {
    if (taken[{task.label[i], task.texts[i].split}]++ >= most) continue;
    out.texts.push_back(task.texts[i]);
    out.label.push_back(task.label[i]);
  }
  return out;
}

OneAgainstRest one_against_rest(const ClassTask& task, int64_t which, Split split, uint64_t seed) {
  OneAgainstRest out = {.place = task.of_class(which, split)};
  const auto positives = static_cast<int64_t>(out.place.size());
  const int64_t others = task.n_classes() - 1;
  const int64_t share = (positives + others - 1) / others;
  std::vector<int64_t> rest;
  Rng rng({seed, kRestStream, static_cast<uint64_t>(which), static_cast<uint64_t>(split)});
  for (int64_t other = 0; other < task.n_classes(); ++other) {
    if (other == which) continue;
    std::vector<int64_t> places = task.of_class(other, split);
    rng.shuffle(places);
    places.resize(
        static_cast<size_t>(std::min<int64_t>(share, static_cast<int64_t>(places.size()))));
    rest.insert(rest.end(), places.begin(), places.end());
  }
  rng.shuffle(rest);
  rest.resize(static_cast<size_t>(std::min<int64_t>(positives, static_cast<int64_t>(rest.size()))));
  out.is_positive.assign(static_cast<size_t>(positives), true);
  out.is_positive.resize(static_cast<size_t>(positives) + rest.size(), false);
  out.place.insert(out.place.end(), rest.begin(), rest.end());
  return out;
}

}  // namespace rebound
