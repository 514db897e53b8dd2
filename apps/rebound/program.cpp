#include "program.h"

#include <c10/util/Exception.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "machine_setup.h"
#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/base/progress.h"
#include "rebound/model/device.h"
#include "verb.h"

namespace rebound {
namespace {

constexpr int kFault = 1;
constexpr int kBadFlags = 2;
constexpr int kInterrupted = 130;

// "" for the name of a device; whether there is one is asked when the verb runs.
std::string why_no_device(const std::string& name) {
  const bool is_number = name.starts_with("cuda:") && name.size() > 5 && name.size() < 8 &&
                         name.find_first_not_of("0123456789", 5) == std::string::npos;
  if (name == "cpu" || name == "cuda" || is_number) return "";
  return concat("got ", name, ", expected cpu, cuda or cuda:N");
}

void add_common_flags(CLI::App& app, CommonFlags& common) {
  app.add_flag("--json", common.json, "Results as JSON on stdout");
  app.add_flag("--quiet,-q", common.quiet, "No progress on stderr");
  app.add_option("--threads", common.threads, "Threads; 0: OMP_NUM_THREADS, else all cores")
      ->check(CLI::Range(0, 4096));
  app.add_option("--device", common.device, "Where the model runs: cpu, cuda or cuda:N")
      ->check(CLI::Validator(why_no_device, "{cpu,cuda}"))
      ->capture_default_str();
  app.add_option("--dtype",
                 common.dtype,
                 "Of the model's matrices: float32, bfloat16, float16, or stored (as in the file)")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16", "stored"}))
      ->each([&common](const std::string&) { common.is_dtype_given = true; })
      ->capture_default_str();
}

void add_verbs(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  add_audit_verb(app, common, run);
  add_show_verb(app, common, run);
  add_report_verb(app, common, run);
  add_serve_verb(app, common, run);
  add_sae_verb(app, common, run);
  add_model_verb(app, common, run);
  add_probe_verb(app, common, run);
  add_tpp_verb(app, common, run);
  add_utility_verb(app, common, run);
  add_cost_verb(app, common, run);
  add_tokenize_verb(app, common, run);
  add_detect_verb(app, common, run);
  add_doctor_verb(app, common, run);
  add_help_verbs(app, common, run);
}

// A model runs on a GPU under these verbs; the others compute on the CPU alone.
constexpr std::array kDeviceVerbs = {"audit", "model", "probe", "sae"};

void prepare_device(const CommonFlags& common, const std::string& verb) {
  if (common.device == "cpu") return;
  const bool has_device =
      std::find(kDeviceVerbs.begin(), kDeviceVerbs.end(), verb) != kDeviceVerbs.end();
  require<ConfigError>(has_device,
                       "--device: got ",
                       common.device,
                       ", expected cpu (rebound ",
                       verb,
                       " runs on the CPU alone)");
  device_named(common.device, "--device");  // throws if it is not there
  limit_workers(1);
}

// Verbs that multiply no matrices: better kernels are not worth a second start to them.
constexpr std::array kVerbsWithoutProducts = {
    "show", "report", "compare", "detect", "tokenize", "man", "completions"};

bool has_products(const std::string& verb) {
  return std::find(kVerbsWithoutProducts.begin(), kVerbsWithoutProducts.end(), verb) ==
         kVerbsWithoutProducts.end();
}

void run_verb(const CommonFlags& common, const std::string& verb, const RunVerb& run) {
  set_threads(common.threads);
  if (common.quiet) set_progress_mode(ProgressMode::kQuiet);
  prepare_device(common, verb);
  run();
  const bool is_written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  require<IoError>(is_written, "stdout: could not write all of the output");
}

int complain(const std::string& message, int exit_code) {
  std::fprintf(stderr, "rebound: %s\n", message.c_str());
  return exit_code;
}

// Runs `body`; whatever it throws becomes one line on stderr and an exit code.
template <class Body>
int exit_code_of(const Body& body) {
  try {
    body();
    return 0;
  } catch (const Error& e) {
    return complain(e.what(), e.exit_code);
  } catch (const c10::Error& e) {
    return complain(e.what_without_backtrace(), kFault);
  } catch (const std::bad_alloc&) {
    return complain("out of memory", kFault);
  } catch (const std::exception& e) {
    return complain(e.what(), kFault);
  }
}

// CLI11 tells of a missing verb before it tells of an unknown word.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = app.remaining();
  const bool is_verb_missing = app.get_subcommands().empty() && !unknown.empty();
  return is_verb_missing ? concat("unknown verb or flag: ", unknown.front()) : error.what();
}

}  // namespace

void stop_at_once(int) { _exit(kInterrupted); }

int run_rebound(int argc, const char* const* argv, const std::function<void()>& before_products) {
  CLI::App app(
      "Tells whether an intervention removed a behaviour from a language model, or closed one "
      "route to it.",
      "rebound");
  app.set_version_flag("--version",
                       std::string("rebound " REBOUND_VERSION " (LibTorch " TORCH_VERSION ")"));
  app.require_subcommand(1);
  app.fallthrough();
  CommonFlags common;
  RunVerb run;
  add_common_flags(app, common);
  add_verbs(app, common, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    return complain(concat(explain(app, e), " (try --help)"), kBadFlags);
  }
  const std::string verb = app.get_subcommands().front()->get_name();
  return exit_code_of([&] {
    if (has_products(verb)) before_products();
    run_verb(common, verb, run);
  });
}

}  // namespace rebound
