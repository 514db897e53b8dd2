#include "rebound/io/torch_file.h"

#include <array>
#include <cstring>
#include <set>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/io/pickle.h"
#include "rebound/io/zip.h"

namespace rebound {
namespace {

using Bytes = std::span<const std::byte>;
using Kind = PickleValue::Kind;

constexpr const char* kRebuildTensor = "torch._utils _rebuild_tensor_v2";
constexpr const char* kRebuildParameter = "torch._utils _rebuild_parameter";
constexpr std::string_view kPickleName = "/data.pkl";
constexpr int kMaxNesting = 16;
constexpr size_t kMaxValues = size_t{1} << 16;
constexpr size_t kMaxPath = 512;
constexpr size_t kMaxText = 4096;
constexpr size_t kMaxPickle = size_t{1} << 24;  // a pickle value takes many times its bytes
constexpr size_t kMaxTensorAxes = 16;

constexpr std::array<std::pair<const char*, DType>, 10> kStorages{
    {{"torch FloatStorage", DType::kF32},
     {"torch HalfStorage", DType::kF16},
     {"torch BFloat16Storage", DType::kBF16},
     {"torch DoubleStorage", DType::kF64},
     {"torch CharStorage", DType::kI8},
     {"torch ShortStorage", DType::kI16},
     {"torch IntStorage", DType::kI32},
     {"torch LongStorage", DType::kI64},
     {"torch ByteStorage", DType::kU8},
     {"torch BoolStorage", DType::kBool}}};

const std::set<std::string>& allowed_globals() {
  static const std::set<std::string> names = [] {
    std::set<std::string> all = {kRebuildTensor, kRebuildParameter, "collections OrderedDict"};
    for (const auto& row : kStorages) all.insert(row.first);
    return all;
  }();
  return names;
}

struct Storage {
  DType dtype;
  Bytes data;
  int64_t elements;
};

struct Layout {
  int64_t offset;
  Shape shape;
  Shape strides;
};

const PickleValue& argument(const PickleValue& tuple, size_t index, Kind kind) {
  require<DataError>(index < tuple.items.size() && tuple.items[index]->is(kind),
                     "tensor: argument ",
                     index,
                     " is not of the expected kind");
  return *tuple.items[index];
}

Shape sizes_of(const PickleValue& tuple) {
  require<DataError>(tuple.items.size() <= kMaxTensorAxes, "tensor: too many axes");
  Shape sizes;
  for (size_t i = 0; i < tuple.items.size(); ++i) {
    const int64_t size = argument(tuple, i, Kind::kInt).integer;
    require<DataError>(size >= 0, "tensor: got size or stride ", size, ", expected >= 0");
    sizes.push_back(size);
  }
  return sizes;
}

Shape contiguous_strides(const Shape& shape) {
  Shape strides(shape.size());
  int64_t stride = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

// Strides of axes of size 1 do not matter.
bool is_contiguous(const Layout& layout) {
  const Shape expected = contiguous_strides(layout.shape);
  for (size_t axis = 0; axis < expected.size(); ++axis) {
    if (layout.shape[axis] != 1 && layout.strides[axis] != expected[axis]) return false;
  }
  return true;
}

void require_inside(const Layout& layout, int64_t elements, int64_t storage_elements) {
  __int128 last = layout.offset;
  for (size_t axis = 0; axis < layout.shape.size(); ++axis) {
    last += static_cast<__int128>(layout.shape[axis] - 1) * layout.strides[axis];
  }
  const bool is_inside = elements == 0 || last < storage_elements;
  require<DataError>(is_inside && elements <= storage_elements,
                     "tensor: shape ",
                     shape_text(layout.shape),
                     " with its offset and strides reaches outside a storage of ",
                     storage_elements,
                     " elements");
}

std::vector<std::byte> gathered(const Layout& layout, int64_t elements, const Storage& storage) {
  const auto width = static_cast<size_t>(dtype_info(storage.dtype).block_bytes);
  std::vector<std::byte> out(static_cast<size_t>(elements) * width);
  Shape at(layout.shape.size(), 0);
  int64_t from = layout.offset;
  for (int64_t i = 0; i < elements; ++i) {
    std::memcpy(out.data() + static_cast<size_t>(i) * width,
                storage.data.data() + static_cast<size_t>(from) * width,
                width);
    for (size_t axis = at.size(); axis-- > 0;) {
      from += layout.strides[axis];
      if (++at[axis] < layout.shape[axis]) break;
      from -= layout.strides[axis] * layout.shape[axis];
      at[axis] = 0;
    }
  }
  return out;
}

class TorchReader {
 public:
  TorchReader(Bytes bytes, TorchContent& content)
      : entries_(read_zip_directory(bytes)), content_(content), copies_left_(4 * bytes.size()) {}

  void read() {
    const ZipEntry& entry = pickle_entry();
    prefix_ = entry.name.substr(0, entry.name.size() - kPickleName.size());
    if (const ZipEntry* order = find_entry(entries_, prefix_ + "/byteorder")) {
      const Bytes text = bytes_of(*order);
      const std::string_view name(reinterpret_cast<const char*>(text.data()), text.size());
      require<DataError>(name == "little", "byteorder: expected little");
    }
    require<DataError>(entry.bytes <= kMaxPickle,
                       "data.pkl: got ",
                       entry.bytes,
                       " bytes, expected at most ",
                       kMaxPickle);
    const Pickle pickle(bytes_of(entry), allowed_globals());
    require<DataError>(pickle.root().is(Kind::kDict), "expected a dictionary of tensors");
    add(pickle.root(), "", 0);
  }

 private:
  const ZipEntry& pickle_entry() const {
    const ZipEntry* found = nullptr;
    for (const ZipEntry& entry : entries_) {
      if (!entry.name.ends_with(kPickleName)) continue;
      require<DataError>(found == nullptr, "got two data.pkl, expected one");
      found = &entry;
    }
    require<DataError>(found != nullptr, "got a zip archive without data.pkl, expected torch's");
    return *found;
  }

  static Bytes bytes_of(const ZipEntry& entry) {
    require<DataError>(
        !entry.is_deflated, quoted_name(entry.name), " is compressed, which torch.save never does");
    return entry.data;
  }

  void add(const PickleValue& value, const std::string& path, int depth) {
    require<DataError>(depth <= kMaxNesting, "nested deeper than ", kMaxNesting);
    require<DataError>(++visited_ <= kMaxValues, "more than ", kMaxValues, " values");
    require<DataError>(path.size() <= kMaxPath, "a key is too long");
    switch (value.kind) {
      case Kind::kDict:
        return add_dictionary(value, path, depth);
      case Kind::kList:
      case Kind::kTuple:
        for (size_t i = 0; i < value.items.size(); ++i) {
          add(*value.items[i], path + "." + std::to_string(i), depth + 1);
        }
        return;
      case Kind::kBool:
      case Kind::kInt:
        content_.numbers[path] = static_cast<double>(value.integer);
        return;
      case Kind::kFloat:
        content_.numbers[path] = value.number;
        return;
      case Kind::kText:
        if (value.text.size() <= kMaxText) content_.texts[path] = value.text;
        return;
      case Kind::kCall:
        return with_context(quoted_name(path), [&] { add_tensor(value, path); });
      case Kind::kNone:
      case Kind::kGlobal:
      case Kind::kPersistent:
        return;
    }
  }

  void add_dictionary(const PickleValue& value, const std::string& path, int depth) {
    for (size_t i = 0; i + 1 < value.items.size(); i += 2) {
      const PickleValue& key = *value.items[i];
      require<DataError>(key.is(Kind::kText) || key.is(Kind::kInt),
                         "a key is neither text nor int");
      const std::string name = key.is(Kind::kText) ? key.text : std::to_string(key.integer);
      add(*value.items[i + 1], path.empty() ? name : path + "." + name, depth + 1);
    }
  }

  void add_tensor(const PickleValue& call, const std::string& path) {
    const PickleValue* rebuild = &call;
    if (rebuild->items[0]->text == kRebuildParameter) {
      rebuild = &argument(*rebuild->items[1], 0, Kind::kCall);
    }
    require<DataError>(rebuild->items[0]->text == kRebuildTensor,
                       "tensor: expected a plain tensor");
    const PickleValue& arguments = *rebuild->items[1];
    const Storage storage = storage_of(argument(arguments, 0, Kind::kPersistent));
    const Layout layout = {argument(arguments, 1, Kind::kInt).integer,
                           sizes_of(argument(arguments, 2, Kind::kTuple)),
                           sizes_of(argument(arguments, 3, Kind::kTuple))};
    content_.tensors.add(view_of(path, storage, layout));
  }

  Storage storage_of(const PickleValue& persistent) {
    const PickleValue& id = *persistent.items[0];
    require<DataError>(id.is(Kind::kTuple) && argument(id, 0, Kind::kText).text == "storage",
                       "tensor: bad storage");
    const std::string& type = argument(id, 1, Kind::kGlobal).text;
    const std::string& key = argument(id, 2, Kind::kText).text;
    const int64_t elements = argument(id, 4, Kind::kInt).integer;
    for (const auto& [name, dtype] : kStorages) {
      if (type != name) continue;
      const ZipEntry* entry = find_entry(entries_, prefix_ + "/data/" + key);
      require<DataError>(entry != nullptr, "storage ", quoted_name(key), " is not in the archive");
      const Bytes data = bytes_of(*entry);
      const auto width = static_cast<size_t>(dtype_info(dtype).block_bytes);
      require<DataError>(elements >= 0 && static_cast<uint64_t>(elements) <= data.size() / width,
                         "storage ",
                         quoted_name(key),
                         ": declares ",
                         elements,
                         " elements, the archive has ",
                         data.size() / width);
      return {dtype, data, elements};
    }
    throw DataError(concat("storage: got ", quoted_name(type), ", expected a storage of numbers"));
  }

  TensorView view_of(const std::string& path, const Storage& storage, Layout layout) {
    const std::optional<int64_t> elements = element_count(layout.shape);
    require<DataError>(
        elements && layout.offset >= 0 && layout.shape.size() == layout.strides.size(),
        "tensor: bad offset, shape or strides");
    require_inside(layout, *elements, storage.elements);
    const auto width = static_cast<size_t>(dtype_info(storage.dtype).block_bytes);
    const size_t bytes = static_cast<size_t>(*elements) * width;
    TensorView view{path, storage.dtype, layout.shape, storage.data.data(), bytes};
    if (*elements == 0) return view;
    if (is_contiguous(layout)) {
      view.data += static_cast<size_t>(layout.offset) * width;
    } else {
      require<DataError>(bytes <= copies_left_, "tensor: more views than the file has data for");
      copies_left_ -= bytes;
      for (size_t axis = 0; axis < layout.shape.size(); ++axis) {
        if (layout.shape[axis] == 1) layout.strides[axis] = 0;
      }
      content_.owned.push_back(gathered(layout, *elements, storage));
      view.data = content_.owned.back().data();
    }
    return view;
  }

  std::vector<ZipEntry> entries_;
  TorchContent& content_;
  std::string prefix_;
  size_t copies_left_;  // bytes
  size_t visited_ = 0;
};

}  // namespace

TorchContent parse_torch(std::span<const std::byte> bytes) {
  constexpr std::string_view kLegacy = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46";
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  require<DataError>(!text.starts_with(kLegacy),
                     "a torch file of before version 1.6, which is not read: load it in Python "
                     "with weights_only=True and save it again");
  require<DataError>(looks_like_zip(bytes), "not a file of torch.save: no zip archive");
  TorchContent content;
  TorchReader(bytes, content).read();
  return content;
}

TorchFile::TorchFile(const std::filesystem::path& path) : file_(path) {
  TorchContent content = with_context(path.string(), [&] { return parse_torch(file_.bytes()); });
  static_cast<TensorTable&>(*this) = std::move(content.tensors);
  numbers_ = std::move(content.numbers);
  texts_ = std::move(content.texts);
  owned_ = std::move(content.owned);
}

}  // namespace rebound
