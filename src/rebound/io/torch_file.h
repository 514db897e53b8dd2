// Files of torch.save (since 1.6): a zip archive with data.pkl and one entry per storage.
//
//   archive/data.pkl    the pickle (pickle.h): which tensors, of which storage, at which strides
//   archive/data/0 ...  storages, stored without compression: tensors are views into the file
//
// Nothing is executed: the pickle may name torch's storages, the function that rebuilds a tensor
// and OrderedDict; every other name is a DataError. The nested dictionaries come out flat, with
// "." between the keys: {"ae": {"encoder.weight": t}, "step": 3} -> tensor "ae.encoder.weight",
// number "step". Files of the older format without a zip archive are refused with a line.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "rebound/io/mapped_file.h"
#include "rebound/io/tensor_table.h"

namespace rebound {

struct TorchContent {
  TensorTable tensors;
  std::map<std::string, double> numbers;  // also booleans
  std::map<std::string, std::string> texts;
  std::vector<std::vector<std::byte>> owned;  // tensors that lay in another order (transposed)
};

// The tensors point into `bytes` or into `owned`. Throws DataError.
TorchContent parse_torch(std::span<const std::byte> bytes);

class TorchFile : public TensorTable {
 public:
  explicit TorchFile(const std::filesystem::path& path);
  const std::map<std::string, double>& numbers() const { return numbers_; }
  const std::map<std::string, std::string>& texts() const { return texts_; }

 private:
  MappedFile file_;
  std::map<std::string, double> numbers_;
  std::map<std::string, std::string> texts_;
  std::vector<std::vector<std::byte>> owned_;
};

}  // namespace rebound
