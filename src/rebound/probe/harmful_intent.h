// The task "harmful intent": is the request in this message harmful, whatever it is wrapped in?
//
// Formatting is made the same for both classes, and every wrapper is put around both:
//
//   train  requests of split train, each plain and in one of the wrappers roleplay, word_count
//   test   requests of split test, half of them plain, half in one of those wrappers
//   ood    requests of other sources, plain; requests of split test in the wrappers translate,
//          all_caps, story, ignore_first, in turn: all_caps meets requests that test has wrapped,
//          as duplicates are looked for in lower case
//   hard   as given, plain
//
// The wrappers' wording is our own; the idea is that of Smith, Rajamanoharan et al. 2025 (negative
// results on sparse autoencoders): a probe of intent has to survive both.
#pragma once

#include <string>
#include <vector>

#include "rebound/probe/task.h"

namespace rebound {

struct Wrapper {
  std::string name;
  bool is_for_training = false;
  std::string before, after;  // around the request
  bool is_upper = false;      // the request in capitals

  std::string around(const std::string& request) const;
};
const std::vector<Wrapper>& request_wrappers();

// Spaces collapsed, no punctuation at the end, the first letter a capital.
std::string normalise_format(const std::string& request);

// `requests` have the splits train, test, ood, hard. Throws as make_task.
ProbeTask harmful_intent_task(const std::vector<LabelledText>& requests);

}  // namespace rebound
