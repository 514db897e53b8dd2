// The ratio of Python's difflib.SequenceMatcher(None, a, b), reproduced: published base-likeness is
// defined by it. Source: the algorithm as documented in Python's library reference, "difflib"
// (Ratcliff and Obershelp's gestalt matching), with its autojunk rule.
//
//   ratio = 2 M / (|a| + |b|),  M = code points in the matching blocks
//
// Blocks: the longest common block (of equal ones the earliest in a, then in b), then the same to
// its left and to its right. autojunk: when |b| >= 200, a code point that stands in b more than
// |b| / 100 + 1 times (integer division) starts no block; blocks still grow over it, and where no
// block starts the two beginnings are compared. So the ratio is not symmetric, and a long text
// without rare characters may have 0 with itself shifted by one.
#pragma once

#include <string_view>

namespace rebound {

// In [0, 1]; 1 for two empty texts. O(|a| |b|) per level of blocks.
double sequence_ratio(std::u32string_view a, std::u32string_view b);

}  // namespace rebound
