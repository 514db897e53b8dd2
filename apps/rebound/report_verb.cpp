// rebound report: a finished run as text, Markdown, CSV, JSON lines, JSON or one HTML page.
// rebound compare: finished runs beside one another.
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"
#include "rebound/report/compare.h"
#include "rebound/report/export.h"
#include "rebound/report/report.h"
#include "rebound/report/run_input.h"
#include "rebound/report/terminal.h"
#include "terminal_size.h"
#include "verb.h"

namespace rebound {
namespace {

struct ReportFlags {
  std::string run;
  std::string format = "terminal";
  std::string table = "rows";
  std::string out;
  bool show_text = false;
};

const std::map<std::string, ExportTable> kTables = {{"rows", ExportTable::kRows},
                                                    {"examples", ExportTable::kExamples},
                                                    {"results", ExportTable::kResults},
                                                    {"steps", ExportTable::kSteps}};

std::string formatted(const ReportInput& input, const ReportFlags& flags) {
  const ReportOptions options = {.show_text = flags.show_text};
  if (flags.format == "html") return html_report(input, options);
  if (flags.format == "md") return markdown_report(input, options);
  if (flags.format == "json") return json_report(input.summary);
  if (flags.format == "terminal")
    return terminal_report(input, flags.out.empty() ? style_of_stdout() : TerminalStyle{});
  const Records records = export_records(input, kTables.at(flags.table), options);
  return flags.format == "csv" ? csv_export(records) : jsonl_export(records);
}

void write(const std::string& text, const std::string& out) {
  if (out.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else {
    write_file_atomically(out, text);
    say("wrote " + out);
  }
}

void report(const ReportFlags& flags) {
  const bool is_export = flags.format == "csv" || flags.format == "jsonl";
  require<ConfigError>(is_export || flags.table == "rows",
                       "--table: got ",
                       flags.table,
                       " with --format ",
                       flags.format,
                       ", expected it with --format csv or jsonl");
  write(formatted(read_run(flags.run), flags), flags.out);
}

struct CompareFlags {
  std::vector<std::string> runs;
  std::string format = "terminal";
  std::string out;
};

// The last name of each folder where these differ, else what was given.
std::vector<std::string> names_of(const std::vector<std::string>& runs) {
  std::vector<std::string> names;
  for (const std::string& run : runs) {
    const std::filesystem::path path = std::filesystem::path(run).lexically_normal();
    names.push_back(path.has_filename() ? path.filename().string()
                                        : path.parent_path().filename().string());
  }
  const std::set<std::string> distinct(names.begin(), names.end());
  return distinct.size() == names.size() ? names : runs;
}

void compare(const CompareFlags& flags) {
  const std::vector<std::string> names = names_of(flags.runs);
  std::vector<NamedRun> runs;
  for (size_t r = 0; r < names.size(); ++r) runs.push_back({names[r], read_run(flags.runs[r])});
  const Comparison comparison = compare_runs(runs);
  const std::string text =
      flags.format == "html" ? compare_html(comparison)
      : flags.format == "md" ? compare_markdown(comparison)
      : flags.format == "json"
          ? to_json(comparison).dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
          : compare_terminal(comparison);
  write(text, flags.out);
}

void add_compare_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<CompareFlags>();
  CLI::App* verb = app.add_subcommand(
      "compare",
      "Finished runs beside one another: paired differences, and what was asked differently");
  verb->fallthrough();
  verb->add_option("runs",
                   flags->runs,
                   "Folders of finished runs; the first is what the others are compared with")
      ->required()
      ->expected(2, 100);
  CLI::Option* format =
      verb->add_option("--format", flags->format, "How to print it; --json alone means json")
          ->check(CLI::IsMember({"terminal", "html", "md", "json"}))
          ->capture_default_str();
  verb->add_option("--out", flags->out, "A file to write instead of standard output");
  verb->callback([flags, format, &common, &run] {
    if (common.json && format->count() == 0) flags->format = "json";
    run = [flags] { compare(*flags); };
  });
}

}  // namespace

void add_report_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  add_compare_verb(app, common, run);
  auto flags = std::make_shared<ReportFlags>();
  CLI::App* verb = app.add_subcommand("report", "A finished run as a table, a page or data");
  verb->fallthrough();
  verb->add_option("run", flags->run, "The run's folder")->required();
  CLI::Option* format =
      verb->add_option("--format", flags->format, "How to print it; --json alone means json")
          ->check(CLI::IsMember({"terminal", "html", "md", "csv", "jsonl", "json"}))
          ->capture_default_str();
  verb->add_option("--table", flags->table, "Which lines csv and jsonl have")
      ->check(CLI::IsMember({"rows", "examples", "results", "steps"}))
      ->capture_default_str();
  verb->add_option("--out", flags->out, "A file to write instead of standard output");
  verb->add_flag(
      "--show-text", flags->show_text, "Show the text of prompts too (html, md, csv, jsonl)");
  verb->callback([flags, format, &common, &run] {
    if (common.json && format->count() == 0) flags->format = "json";
    run = [flags] { report(*flags); };
  });
}

}  // namespace rebound
