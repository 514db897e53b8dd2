#include "rebound/io/pickle.h"

#include <bit>
#include <cstring>
#include <unordered_map>

#include "rebound/base/error.h"
#include "rebound/io/byte_cursor.h"
#include "rebound/io/tensor_view.h"

namespace rebound {

using Kind = PickleValue::Kind;

const PickleValue* PickleValue::find(std::string_view key) const {
  if (!is(Kind::kDict)) return nullptr;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i]->is(Kind::kText) && items[i]->text == key) return items[i + 1];
  }
  return nullptr;
}

namespace {

class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes,
                const std::set<std::string>& allowed,
                std::deque<PickleValue>& values)
      : cursor_(bytes), allowed_(allowed), values_(values) {}

  const PickleValue* run() {
    while (true) {
      const auto op = cursor_.read<uint8_t>();
      if (op == '.') break;
      const bool is_known =
          do_constant(op) || do_container(op) || do_memo(op) || do_object(op) || do_framing(op);
      require<DataError>(is_known,
                         "pickle: opcode ",
                         int{op},
                         " at byte ",
                         cursor_.position() - 1,
                         " is not one of plain data; nothing is executed");
    }
    require<DataError>(stack_.size() == 1 && marks_.empty(),
                       "pickle: got ",
                       stack_.size(),
                       " values at the end, expected 1");
    return stack_.back();
  }

 private:
  PickleValue& push(Kind kind) {
    values_.emplace_back();
    values_.back().kind = kind;
    stack_.push_back(&values_.back());
    return values_.back();
  }
  PickleValue* pop() {
    require<DataError>(stack_.size() > floor(), "pickle: the stack is empty");
    PickleValue* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  PickleValue& top(Kind kind) {
    require<DataError>(stack_.size() > floor() && stack_.back()->is(kind),
                       "pickle: expected another kind of value on the stack");
    return *stack_.back();
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  std::vector<const PickleValue*> pop_to_mark() {
    require<DataError>(!marks_.empty(), "pickle: no mark");
    std::vector<const PickleValue*> items(stack_.begin() + static_cast<ptrdiff_t>(marks_.back()),
                                          stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  void push_integer(int64_t value, Kind kind = Kind::kInt) { push(kind).integer = value; }

  void push_text(uint64_t bytes) {
    const auto text = cursor_.take(bytes);
    push(Kind::kText).text.assign(reinterpret_cast<const char*>(text.data()), text.size());
  }

  void push_long() {
    const auto count = cursor_.read<uint8_t>();
    require<DataError>(count <= 8, "pickle: integer of ", int{count}, " bytes, expected at most 8");
    const auto bytes = cursor_.take(count);
    uint64_t value = count > 0 && (bytes[count - 1u] >> 7) != std::byte{0} ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < count; ++i) {
      value &= ~(uint64_t{0xff} << (8 * i));
      value |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
    }
    push_integer(static_cast<int64_t>(value));
  }

  void push_float() {  // big endian, the one exception
    uint64_t bits = 0;
    for (const std::byte byte : cursor_.take(8)) {
      bits = bits << 8 | std::to_integer<uint64_t>(byte);
    }
    push(Kind::kFloat).number = std::bit_cast<double>(bits);
  }

  bool do_constant(uint8_t op) {
    switch (op) {
      case 'N':
        push(Kind::kNone);
        return true;
      case 0x88:
      case 0x89:
        push_integer(op == 0x88, Kind::kBool);
        return true;
      case 'J':
        push_integer(cursor_.read<int32_t>());
        return true;
      case 'K':
        push_integer(cursor_.read<uint8_t>());
        return true;
      case 'M':
        push_integer(cursor_.read<uint16_t>());
        return true;
      case 0x8a:
        push_long();
        return true;
      case 'G':
        push_float();
        return true;
      case 'X':
      case 'T':
      case 'B':
        push_text(cursor_.read<uint32_t>());
        return true;
      case 'U':
      case 'C':
      case 0x8c:
        push_text(cursor_.read<uint8_t>());
        return true;
      default:
        return false;
    }
  }

  void push_tuple(std::vector<const PickleValue*> items) {
    push(Kind::kTuple).items = std::move(items);
  }

  void push_small_tuple(size_t count) {
    std::vector<const PickleValue*> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push_tuple(std::move(items));
  }

  void extend(Kind kind, const std::vector<const PickleValue*>& items) {
    PickleValue& target = top(kind);
    require<DataError>(kind != Kind::kDict || items.size() % 2 == 0, "pickle: key without value");
    target.items.insert(target.items.end(), items.begin(), items.end());
  }

  void set_item() {
    const PickleValue* value = pop();
    const PickleValue* key = pop();
    extend(Kind::kDict, {key, value});
  }

  bool do_container(uint8_t op) {
    switch (op) {
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case '}':
        push(Kind::kDict);
        return true;
      case ']':
        push(Kind::kList);
        return true;
      case ')':
        push(Kind::kTuple);
        return true;
      case 't':
        push_tuple(pop_to_mark());
        return true;
      case 0x85:
      case 0x86:
      case 0x87:
        push_small_tuple(op - 0x84u);
        return true;
      case 'a': {
        const PickleValue* item = pop();
        extend(Kind::kList, {item});
        return true;
      }
      case 'e':
        extend(Kind::kList, pop_to_mark());
        return true;
      case 's':
        set_item();
        return true;
      case 'u':
        extend(Kind::kDict, pop_to_mark());
        return true;
      default:
        return false;
    }
  }

  void put(uint32_t index) {
    require<DataError>(stack_.size() > floor(), "pickle: nothing to remember");
    memo_[index] = stack_.back();
  }

  void get(uint32_t index) {
    const auto found = memo_.find(index);
    require<DataError>(found != memo_.end(), "pickle: memo ", index, " is not set");
    stack_.push_back(found->second);
  }

  bool do_memo(uint8_t op) {
    switch (op) {
      case 'q':
        put(cursor_.read<uint8_t>());
        return true;
      case 'r':
        put(cursor_.read<uint32_t>());
        return true;
      case 0x94:
        put(static_cast<uint32_t>(memo_.size()));
        return true;
      case 'h':
        get(cursor_.read<uint8_t>());
        return true;
      case 'j':
        get(cursor_.read<uint32_t>());
        return true;
      default:
        return false;
    }
  }

  std::string line() {
    constexpr size_t kLongest = 256;
    std::string text;
    for (auto c = cursor_.read<char>(); c != '\n'; c = cursor_.read<char>()) {
      require<DataError>(text.size() < kLongest, "pickle: a name is too long");
      text += c;
    }
    return text;
  }

  void push_global(const std::string& name) {
    require<DataError>(allowed_.count(name) > 0,
                       "pickle: asks for ",
                       quoted_name(name),
                       ", which is not one of torch's plain tensors; nothing is executed. Save "
                       "the state_dict alone, or as safetensors");
    push(Kind::kGlobal).text = name;
  }

  void push_stack_global() {
    const PickleValue* name = pop();
    const PickleValue* module = pop();
    require<DataError>(name->is(Kind::kText) && module->is(Kind::kText), "pickle: bad global");
    push_global(module->text + " " + name->text);
  }

  void reduce() {
    const PickleValue* arguments = pop();
    const PickleValue* callee = pop();
    require<DataError>(callee->is(Kind::kGlobal) && arguments->is(Kind::kTuple),
                       "pickle: a call of something that is not a name");
    if (callee->text == "collections OrderedDict") {
      require<DataError>(arguments->items.empty(), "pickle: OrderedDict with arguments");
      push(Kind::kDict);
      return;
    }
    push(Kind::kCall).items = {callee, arguments};
  }

  bool do_object(uint8_t op) {
    switch (op) {
      case 'c': {
        const std::string module = line();
        push_global(module + " " + line());
        return true;
      }
      case 0x93:
        push_stack_global();
        return true;
      case 'R':
        reduce();
        return true;
      case 'b':  // attributes of a state_dict (_metadata): nothing that is needed
        pop();
        top(Kind::kDict);
        return true;
      case 'Q': {
        const PickleValue* identifier = pop();
        push(Kind::kPersistent).items = {identifier};
        return true;
      }
      default:
        return false;
    }
  }

  bool do_framing(uint8_t op) {
    if (op == 0x80) {
      const auto protocol = cursor_.read<uint8_t>();
      require<DataError>(protocol <= 5, "pickle: protocol ", int{protocol}, ", expected at most 5");
      return true;
    }
    if (op == 0x95) {  // the length of a frame
      cursor_.read<uint64_t>();
      return true;
    }
    return false;
  }

  ByteCursor cursor_;
  const std::set<std::string>& allowed_;
  std::deque<PickleValue>& values_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, PickleValue*> memo_;
};

}  // namespace

Pickle::Pickle(std::span<const std::byte> bytes, const std::set<std::string>& allowed) {
  root_ = PickleMachine(bytes, allowed, values_).run();
}

}  // namespace rebound
