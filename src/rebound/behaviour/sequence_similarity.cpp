#include "rebound/behaviour/sequence_similarity.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace rebound {
namespace {

// A pair of stretches: a[a_low, a_high) against b[b_low, b_high).
struct Stretch {
  size_t a_low, a_high, b_low, b_high;
};

struct Block {
  size_t a, b, length;
};

class Matcher {
 public:
  Matcher(std::u32string_view a, std::u32string_view b)
      : a_(a), b_(b), run_(b.size() + 1), next_run_(b.size() + 1) {
    for (size_t j = 0; j < b.size(); ++j) places_[b[j]].push_back(j);
    constexpr size_t kAutojunkLength = 200;
    if (b.size() < kAutojunkLength) return;
    const size_t most = b.size() / 100 + 1;
    std::erase_if(places_, [&](const auto& entry) { return entry.second.size() > most; });
  }

  size_t matched() {
    size_t total = 0;
    std::vector<Stretch> open = {{0, a_.size(), 0, b_.size()}};
    while (!open.empty()) {
      const Stretch s = open.back();
      open.pop_back();
      const Block block = longest_block(s);
      if (block.length == 0) continue;
      total += block.length;
      push(open, {s.a_low, block.a, s.b_low, block.b});
      push(open, {block.a + block.length, s.a_high, block.b + block.length, s.b_high});
    }
    return total;
  }

 private:
  static void push(std::vector<Stretch>& open, const Stretch& s) {
    if (s.a_low < s.a_high && s.b_low < s.b_high) open.push_back(s);
  }

  Block longest_block(const Stretch& s) {
    Block best = {s.a_low, s.b_low, 0};
    for (size_t i = s.a_low; i < s.a_high; ++i) extend_runs(i, s, best);
    clear(run_, touched_);
    return grown(best, s);
  }

  // run_[j + 1]: length of the common run that ends at a[i - 1], b[j].
  void extend_runs(size_t i, const Stretch& s, Block& best) {
    std::vector<size_t> now;
    const auto found = places_.find(a_[i]);
    if (found != places_.end()) {
      const std::vector<size_t>& places = found->second;
      for (auto j = std::lower_bound(places.begin(), places.end(), s.b_low);
           j != places.end() && *j < s.b_high;
           ++j) {
        const size_t length = next_run_[*j + 1] = run_[*j] + 1;
        now.push_back(*j);
        if (length > best.length) best = {i + 1 - length, *j + 1 - length, length};
      }
    }
    clear(run_, touched_);
    run_.swap(next_run_);
    touched_.swap(now);
  }

  static void clear(std::vector<size_t>& run, std::vector<size_t>& touched) {
    for (const size_t j : touched) run[j + 1] = 0;
    touched.clear();
  }

  Block grown(Block block, const Stretch& s) const {
    while (block.a > s.a_low && block.b > s.b_low && a_[block.a - 1] == b_[block.b - 1]) {
      block = {block.a - 1, block.b - 1, block.length + 1};
    }
    while (block.a + block.length < s.a_high && block.b + block.length < s.b_high &&
           a_[block.a + block.length] == b_[block.b + block.length]) {
      ++block.length;
    }
    return block;
  }

  std::u32string_view a_, b_;
  std::unordered_map<char32_t, std::vector<size_t>> places_;
  std::vector<size_t> run_, next_run_, touched_;
};

}  // namespace

double sequence_ratio(std::u32string_view a, std::u32string_view b) {
  if (a.empty() && b.empty()) return 1;
  const size_t matched = Matcher(a, b).matched();
  return 2.0 * static_cast<double>(matched) / static_cast<double>(a.size() + b.size());
}

}  // namespace rebound
