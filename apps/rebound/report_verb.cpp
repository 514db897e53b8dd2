// rebound report: a finished run as text, Markdown, CSV, JSON or one HTML page.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"
#include "rebound/report/report.h"
#include "verb.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

struct ReportFlags {
  std::string run;
  std::string format = "terminal";
  std::string out;
  bool show_text = false;
};

void require_finished(const fs::path& folder) {
  require<IoError>(fs::is_directory(folder), folder.string(), ": no such run folder");
  const bool has_store = fs::exists(folder / "run.sqlite");
  require<IoError>(has_store,
                   folder.string(),
                   ": got a folder without run.sqlite, expected one that rebound audit made");
  require<IoError>(fs::exists(folder / "summary.json"),
                   folder.string(),
                   ": the run is unfinished; finish it with: rebound audit --resume ",
                   folder.string());
}

// A contract file that is not even JSON is damaged data, not a fault of the user's flags.
Json read_stored_json(const fs::path& path) {
  try {
    return read_json_file(path);
  } catch (const ConfigError& e) {
    throw DataError(e.what());
  }
}

ReportInput read_run(const fs::path& folder) {
  const Store store = Store::open_read_only(folder / "run.sqlite");
  const fs::path spec = folder / "spec.json";
  return {.summary = AuditSummary::from_json(read_stored_json(folder / "summary.json")),
          .spec = fs::exists(spec) ? read_stored_json(spec) : Json(),
          .examples = store.examples(),
          .results = store.results()};
}

std::string formatted(const ReportInput& input, const ReportFlags& flags) {
  const ReportOptions options = {.show_text = flags.show_text};
  if (flags.format == "html") return html_report(input, options);
  if (flags.format == "md") return markdown_report(input, options);
  if (flags.format == "csv") return csv_report(input.summary);
  if (flags.format == "json") return json_report(input.summary);
  return terminal_report(input.summary);
}

void report(const ReportFlags& flags) {
  require_finished(flags.run);
  const std::string text = formatted(read_run(flags.run), flags);
  if (flags.out.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
  } else {
    write_file_atomically(flags.out, text);
    say("wrote " + flags.out);
  }
}

}  // namespace

void add_report_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<ReportFlags>();
  CLI::App* verb = app.add_subcommand("report", "A finished run as a table, a page or data");
  verb->fallthrough();
  verb->add_option("run", flags->run, "The run's folder")->required();
  CLI::Option* format =
      verb->add_option("--format", flags->format, "How to print it; --json alone means json")
          ->check(CLI::IsMember({"terminal", "html", "md", "csv", "json"}))
          ->capture_default_str();
  verb->add_option("--out", flags->out, "A file to write instead of standard output");
  verb->add_flag("--show-text", flags->show_text, "Show the text of prompts too (html and md)");
  verb->callback([flags, format, &common, &run] {
    if (common.json && format->count() == 0) flags->format = "json";
    run = [flags] { report(*flags); };
  });
}

}  // namespace rebound
