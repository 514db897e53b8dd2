#include "rebound/serve/explorer.h"

#include <c10/util/Exception.h>

#include <algorithm>

#include "rebound/base/error.h"
#include "rebound/report/page_files.h"
#include "rebound/report/report.h"
#include "rebound/report/run_input.h"
#include "rebound/serve/explorer_files.h"
#include "rebound/serve/start_audit.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for "
    "'script'";
// The report brings its own policy along; a sandbox besides keeps whatever a stored run might
// smuggle into it from speaking as this server's page.
constexpr const char* kReportPolicy =
    "sandbox allow-scripts allow-downloads allow-modals; frame-ancestors 'none'";
constexpr const char* kOtherPolicy = "default-src 'none'; frame-ancestors 'none'";

struct NotFound {};

int status_of(const Error& e) {
  constexpr int kConfig = 2, kData = 3;
  return e.exit_code == kConfig ? 400 : e.exit_code == kData ? 422 : 503;
}

void add_safety_headers(HttpResponse& response) {
  response.headers.emplace("Content-Security-Policy", kOtherPolicy);
  response.headers.emplace("X-Content-Type-Options", "nosniff");
  response.headers.emplace("X-Frame-Options", "DENY");
  response.headers.emplace("Referrer-Policy", "no-referrer");
  response.headers.emplace("Cross-Origin-Resource-Policy", "same-origin");
  response.headers.emplace("Cache-Control", "no-store");
}

HttpResponse page_response(const char* type, std::string body, const char* policy) {
  return {.type = type, .body = std::move(body), .headers = {{"Content-Security-Policy", policy}}};
}

// "/api/runs/a b" -> {"api", "runs", "a b"}; empty parts are kept.
std::vector<std::string> segments_of(const std::string& rest) {
  std::vector<std::string> parts;
  size_t begin = 1;
  while (begin <= rest.size()) {
    const size_t end = std::min(rest.find('/', begin), rest.size());
    parts.push_back(rest.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Json sae_list(const BenchModel& model) {
  Json list = Json::array();
  for (const BenchSae& sae : model.saes) {
    list.push_back(
        {{"name", sae.name}, {"site", to_string(sae.site)}, {"d_sae", sae.sae->d_sae()}});
  }
  return list;
}

HttpResponse busy_response() {
  HttpResponse busy = text_response(429, "the model is at work for another request");
  busy.headers["Retry-After"] = "1";
  return busy;
}

}  // namespace

Explorer::Explorer(ExplorerOptions options)
    : options_(std::move(options)),
      gate_(options_.gate),
      runs_(options_.runs),
      jobs_({.runs = runs_.root(), .program = options_.program, .threads = options_.threads}) {
  set_status("not loaded", "");
}

std::optional<HttpResponse> Explorer::refusal(const HttpRequest& request) const {
  std::optional<HttpResponse> refused = gate_.refusal(request);
  if (refused) add_safety_headers(*refused);
  return refused;
}

HttpResponse Explorer::handle(const HttpRequest& request) {
  std::optional<HttpResponse> refused = gate_.refusal(request);
  if (!refused) refused = gate_.refusal_by_rate();
  HttpResponse response = [&] {
    try {
      return refused ? std::move(*refused) : route(request, gate_.rest_of(request.path));
    } catch (const NotFound&) {
      return text_response(404, "nothing here");
    } catch (const Error& e) {
      return text_response(status_of(e), e.what());
    } catch (const c10::Error& e) {
      return text_response(500, e.what_without_backtrace());
    } catch (const std::exception& e) {
      return text_response(500, e.what());
    }
  }();
  add_safety_headers(response);
  return response;
}

HttpResponse Explorer::route(const HttpRequest& request, const std::string& rest) {
  const Segments parts = segments_of(rest);
  return request.method == "POST" ? post(request, parts) : get(rest, parts);
}

HttpResponse Explorer::get(const std::string& rest, const Segments& parts) {
  const ExplorerFiles files = explorer_files();
  if (rest.empty()) {  // relative addresses of the page need the slash
    HttpResponse moved = text_response(308, "with a slash at the end");
    moved.headers["Location"] = "/" + options_.gate.token + "/";
    return moved;
  }
  if (rest == "/")
    return page_response("text/html; charset=utf-8", std::string(files.page), kPagePolicy);
  if (rest == "/explorer.css")
    return page_response("text/css; charset=utf-8",
                         std::string(page_files().style) + std::string(files.style),
                         kOtherPolicy);
  if (rest == "/explorer.js")
    return page_response("text/javascript; charset=utf-8",
                         std::string(page_files().shared) + std::string(files.script),
                         kOtherPolicy);
  if (rest == "/api/runs") return list_runs();
  if (rest == "/api/bench") return bench_status();
  if (parts.size() == 3 && parts[0] == "api" && parts[1] == "runs")
    return json_response(runs_.describe(run_named(parts[2])));
  if (parts.size() == 3 && parts[0] == "runs" && parts[2] == "report") return report_of(parts[1]);
  throw NotFound();
}

HttpResponse Explorer::post(const HttpRequest& request, const Segments& parts) {
  if (parts.size() < 2 || parts[0] != "api") throw NotFound();
  const Json body = parse_json(request.body, "request");
  if (parts.size() == 3 && parts[1] == "bench") return bench_call(parts[2], body);
  if (parts.size() == 2 && parts[1] == "audits") return start_audit(body);
  if (parts.size() == 4 && parts[1] == "audits" && parts[3] == "stop") {
    if (!jobs_.stop(parts[2])) throw NotFound();
    return json_response({{"name", parts[2]}});
  }
  throw NotFound();
}

HttpResponse Explorer::list_runs() {
  return json_response({{"runs", runs_.list()}, {"jobs", jobs_.list()}});
}

fs::path Explorer::run_named(const std::string& name) const {
  const std::optional<fs::path> run = runs_.find(name);
  if (!run) throw NotFound();
  return *run;
}

HttpResponse Explorer::report_of(const std::string& name) const {
  const fs::path run = run_named(name);
  std::error_code error;
  if (!fs::exists(run / "summary.json", error))
    return text_response(404, "the run is not finished: there is no report yet");
  return page_response("text/html; charset=utf-8",
                       html_report(read_run(run), {.show_text = options_.show_text}),
                       kReportPolicy);
}

void Explorer::set_status(const std::string& state, const std::string& note) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const BenchLimits& limits = options_.limits;
  status_ = {{"state", state},
             {"note", note},
             {"model", bench_ ? Json(bench_->model().name) : Json()},
             {"has_chat", bench_ && bench_->model().chat},
             {"saes", bench_ ? sae_list(bench_->model()) : Json::array()},
             {"behaviours", audit_behaviours()},
             {"limits",
              {{"prompt_tokens", limits.prompt_tokens},
               {"new_tokens", limits.new_tokens},
               {"clamps", limits.clamps}}}};
}

HttpResponse Explorer::bench_status() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return json_response(status_);
}

Bench& Explorer::loaded_bench() {
  if (bench_) return *bench_;
  set_status("loading", "");
  try {
    bench_.emplace(load_bench_model(options_.bench), options_.limits);
  } catch (const std::exception& e) {
    set_status("failed", e.what());
    throw;
  }
  set_status("ready", "");
  return *bench_;
}

HttpResponse Explorer::bench_call(const std::string& what, const Json& body) {
  if (what != "features" && what != "next" && what != "generate") throw NotFound();
  BenchRequest request = read_bench_request(body, options_.limits);
  JobSlot::Seat seat = slot_.take();
  if (!seat) return busy_response();
  Bench& bench = loaded_bench();
  if (what == "features") return json_response(bench.features(request));
  if (what == "next") return json_response(bench.next_token(request));
  return generation(std::move(request), std::move(seat));
}

HttpResponse Explorer::generation(BenchRequest request, JobSlot::Seat seat) {
  HttpResponse response{.type = "application/x-ndjson"};
  response.stream =
      [this, request = std::move(request), seat = std::move(seat)](const WriteText& write) mutable {
        try {
          bench_->generate(
              request, [&](const Json& step) { return !is_stopped_ && write(json_line(step)); });
        } catch (const c10::Error& e) {
          write(json_line({{"error", e.what_without_backtrace()}}));
        } catch (const std::exception& e) {
          write(json_line({{"error", e.what()}}));
        }
        seat.reset();  // before the reader sees the end and asks for more
      };
  return response;
}

HttpResponse Explorer::start_audit(const Json& body) {
  const AuditRequest request = read_audit_request(body, options_.limits);
  AuditMaterial material{.model = options_.bench.model, .sae_paths = options_.bench.saes};
  JobSlot::Seat seat;
  if (request.has_clamps) {
    seat = slot_.take();
    if (!seat) return busy_response();
    const Bench& bench = loaded_bench();
    material.sae_paths.clear();
    for (const BenchSae& sae : bench.model().saes) material.sae_paths.push_back(sae.path);
    material.sink_norm = [&bench](int64_t sae) { return bench.last_sink_norm(sae); };
  }
  const Json spec = audit_spec_of(request, material);
  const std::string name = request.name.empty() ? run_name_of(request.behaviour) : request.name;
  jobs_.start(name, spec);
  return json_response({{"name", name}});
}

void Explorer::stop() {
  is_stopped_ = true;
  jobs_.stop_all();
}

}  // namespace rebound
