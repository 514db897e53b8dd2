// rebound show: a finished run in the terminal.
#include <cstdio>
#include <memory>
#include <string>

#include "rebound/base/error.h"
#include "rebound/report/report.h"
#include "rebound/report/run_input.h"
#include "rebound/report/terminal.h"
#include "terminal_size.h"
#include "verb.h"

namespace rebound {
namespace {

struct ShowFlags {
  std::string run;
  std::string example;
  bool has_rows = false;
  bool show_text = false;
  TerminalWishes wishes;
};

std::string shown(const ShowFlags& flags, bool is_json) {
  require<ConfigError>(!flags.has_rows || flags.example.empty(),
                       "--rows: got it with --example, expected one of them");
  require<ConfigError>(
      !flags.show_text || !flags.example.empty(),
      "--show-text: got it without --example, expected it with one: nothing else here has text");
  const bool is_part = flags.has_rows || !flags.example.empty();
  require<ConfigError>(!is_json || !is_part,
                       "--json: got it with --rows or --example, expected it alone (rebound report "
                       "--format jsonl has them as data)");
  const ReportInput input = read_run(flags.run);
  if (is_json) return json_report(input.summary);
  const TerminalStyle style = style_of_stdout(flags.wishes);
  if (flags.has_rows) return terminal_rows(input, style);
  if (flags.example.empty()) return terminal_report(input, style);
  return terminal_example(input, flags.example, style, {.show_text = flags.show_text});
}

}  // namespace

void add_show_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<ShowFlags>();
  CLI::App* verb = app.add_subcommand("show", "A finished run in the terminal, with bars");
  verb->fallthrough();
  verb->add_option("run", flags->run, "The run's folder")->required();
  verb->add_flag("--rows", flags->has_rows, "Every figure of every row");
  verb->add_option("--example", flags->example, "One example, by its id or number");
  verb->add_flag("--show-text", flags->show_text, "With --example: its text and tokens too");
  verb->add_flag(
      "--no-color", flags->wishes.no_color, "No colours on a terminal, as NO_COLOR does");
  verb->add_flag("--ascii", flags->wishes.is_ascii, "Bars and signs of ASCII alone");
  verb->callback([flags, &common, &run] {
    run = [flags, &common] {
      const std::string text = shown(*flags, common.json);
      std::fwrite(text.data(), 1, text.size(), stdout);
    };
  });
}

}  // namespace rebound
