// A pickle as plain data: nothing in it is ever imported, called or executed.
//
// Python's pickle is a program for a stack machine that may call anything. This reader knows the
// opcodes that torch.save needs for dictionaries of tensors, keeps a call as a record of what would
// be called, and refuses at once every name that the caller does not list. Values live in the
// Pickle and may be shared or even cyclic: walk them with a limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rebound {

struct PickleValue {
  enum class Kind {
    kNone,
    kBool,        // integer
    kInt,         // integer
    kFloat,       // number
    kText,        // text (also bytes)
    kTuple,       // items
    kList,        // items
    kDict,        // items: key, value, key, value ...
    kGlobal,      // text "module name"
    kPersistent,  // items[0] is the identifier
    kCall,        // items[0] the global, items[1] the tuple of arguments
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;
  double number = 0;
  std::string text;
  std::vector<const PickleValue*> items;

  bool is(Kind other) const { return kind == other; }
  // The value under a text key of a dictionary, nullptr when there is none.
  const PickleValue* find(std::string_view key) const;
};

class Pickle {
 public:
  // `allowed` holds globals as "module name". Throws DataError on any other global, on opcodes
  // that are not needed for data, and on streams that disagree with themselves.
  Pickle(std::span<const std::byte> bytes, const std::set<std::string>& allowed);
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;

  const PickleValue& root() const { return *root_; }

 private:
  std::deque<PickleValue> values_;
  const PickleValue* root_ = nullptr;
};

}  // namespace rebound
