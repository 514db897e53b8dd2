// rebound serve: the explorer in a browser of this machine.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>

#include "rebound/base/error.h"
#include "rebound/base/progress.h"
#include "rebound/serve/explorer.h"
#include "rebound/serve/server.h"
#include "verb.h"

namespace rebound {
namespace {

struct ServeFlags {
  std::string runs;
  int port = 0;
  std::string model;
  std::vector<std::string> saes;
  bool show_text = false;
};

// The first SIGINT or SIGTERM is a byte in a pipe that `wait` reads; a second one ends the program
// at once. A handler, not sigwait: BLAS has threads from before main, which block no signal.
class SignalWait {
 public:
  SignalWait() {
    require<IoError>(pipe2(ends(), O_CLOEXEC) == 0, "serve: cannot make a pipe");
    std::signal(SIGINT, note);
    std::signal(SIGTERM, note);
  }

  static void wait() {
    char byte = 0;
    while (read(ends()[0], &byte, 1) < 0 && errno == EINTR) {
    }
  }
  static void wake() { note(SIGTERM); }

 private:
  static int* ends() {
    static int pipe_ends[2] = {-1, -1};
    return pipe_ends;
  }
  static void note(int signal) {
    const char byte = 1;
    [[maybe_unused]] const ssize_t written = write(ends()[1], &byte, 1);
    std::signal(signal, SIG_DFL);
  }
};

void print_address(const std::string& token, int port, const CommonFlags& common) {
  const std::string url = concat("http://127.0.0.1:", port, "/", token, "/");
  if (common.json) {
    std::printf("%s\n", Json{{"url", url}, {"port", port}, {"pid", getpid()}}.dump().c_str());
  } else {
    std::printf(
        "Explorer: %s\nThe address is a key: whoever has it can use the page. Ctrl-C ends it.\n",
        url.c_str());
  }
  std::fflush(stdout);
}

ExplorerOptions explorer_options(const ServeFlags& flags, const CommonFlags& common) {
  ExplorerOptions options{.runs = flags.runs};
  options.program = std::filesystem::read_symlink("/proc/self/exe");
  options.threads = common.threads;
  options.bench = {.model = flags.model, .saes = flags.saes};
  options.bench.form = dtype_named(common.dtype);
  options.show_text = flags.show_text;
  return options;
}

void serve(const ServeFlags& flags, const CommonFlags& common) {
  ExplorerOptions options = explorer_options(flags, common);
  HttpServer server(flags.port);
  options.gate.token = random_token();
  options.gate.port = server.port();
  Explorer explorer(options);
  const SignalWait signals;
  std::thread serving([&] {
    server.run({.refusal = [&](const HttpRequest& request) { return explorer.refusal(request); },
                .handle = [&](const HttpRequest& request) { return explorer.handle(request); },
                .body_bytes = options.gate.body_bytes});
    SignalWait::wake();  // a server that ends by itself ends the wait below
  });
  print_address(options.gate.token, server.port(), common);
  SignalWait::wait();
  say("ending");
  explorer.stop();
  server.stop();
  serving.join();
}

}  // namespace

void add_serve_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* verb =
      app.add_subcommand("serve", "A folder of runs and a bench for clamps, in the browser");
  verb->fallthrough();
  verb->add_option("runs", flags->runs, "The folder that the runs' folders are in")->required();
  verb->add_option("--port", flags->port, "Port of 127.0.0.1; 0: any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  verb->add_option("--model",
                   flags->model,
                   "Of the bench: GGUF file, Hugging Face folder or ORG/NAME [the default model]");
  verb->add_option("--sae",
                   flags->saes,
                   "Of the bench, may be given several times: folder, file or ORG/NAME:PATH [the "
                   "default SAE]")
      ->allow_extra_args(false);
  verb->add_flag("--show-text", flags->show_text, "Show the text of stored prompts in reports too");
  verb->callback([flags, &common, &run] { run = [flags, &common] { serve(*flags, common); }; });
}

}  // namespace rebound
