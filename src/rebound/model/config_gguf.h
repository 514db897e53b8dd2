// A model's configuration from the metadata of a GGUF file.
#pragma once

#include "rebound/io/gguf.h"
#include "rebound/model/families.h"

namespace rebound {

// Throws DataError on missing sizes, on a key of the family's that is not implemented, and on a
// kind of rope that is not. What GGUF leaves to the reader (windows' pattern, Gemma 3's second rope
// base, SmolLM3's layers without rope) is as llama.cpp has it.
ModelConfig read_gguf_config(const GgufFile& file, const Architecture& row);

}  // namespace rebound
