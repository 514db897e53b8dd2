// rebound doctor: what this machine offers, and the fix for what slows it down.
#include <cstdio>

#include "doctor.h"
#include "verb.h"

namespace rebound {

void add_doctor_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  CLI::App* verb = app.add_subcommand(
      "doctor", "CPU, threads, BLAS in use and its speed, LibTorch, CUDA, models and SAEs found");
  verb->callback([&common, &run] {
    run = [&common] {
      const MachineFacts facts = examine_machine();
      const std::string text = common.json ? to_json(facts).dump(2) + "\n" : to_text(facts);
      std::fputs(text.c_str(), stdout);
    };
  });
}

}  // namespace rebound
