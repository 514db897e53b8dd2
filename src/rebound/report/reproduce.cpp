#include "rebound/report/reproduce.h"

#include "rebound/report/figure.h"

namespace rebound {
namespace {

std::string text_of(const Json& object, const char* key) {
  const Json value = object.is_object() ? object.value(key, Json()) : Json();
  return value.is_string() ? value.get<std::string>() : "";
}

std::string shortened(const std::string& text) {
  const bool is_windows = text.size() > 2 && text[1] == ':' && (text[2] == '\\' || text[2] == '/');
  const bool is_absolute = is_windows || text.starts_with("/") || text.starts_with("~/");
  const size_t cut = text.find_last_of("/\\");
  return is_absolute && cut != std::string::npos ? "…/" + text.substr(cut + 1) : text;
}

std::string copyable(const std::string& id, const std::string& what, const std::string& text) {
  return "<div class=\"copyable\"><button type=\"button\" class=\"needs-script\" data-copy=\"" +
         id + "\">Copy " + what + "</button>\n<pre id=\"" + id +
         "\" tabindex=\"0\" role=\"region\" aria-label=\"" + what + "\">" + escape_html(text) +
         "</pre></div>\n";
}

std::string commands(const Json& environment) {
  std::string text;
  const std::string version = text_of(environment, "rebound");
  const size_t open = version.find('('), close = version.find(')');
  if (open != std::string::npos && close != std::string::npos && close > open) {
    std::string commit = version.substr(open + 1, close - open - 1);
    const bool is_dirty = commit.ends_with("-dirty");
    if (is_dirty) commit.resize(commit.size() - 6);
    text += "git checkout " + plain(commit) +
            (is_dirty ? "   # and changes that were not committed" : "") + "\n";
  }
  return text +
         "rebound audit spec.json --out runs/again\nrebound report runs/again --format html --out "
         "again.html\n";
}

}  // namespace

Json without_folders(const Json& json) {
  if (json.is_string()) return shortened(json.get<std::string>());
  Json copy = json;
  if (json.is_structured()) {
    for (Json& item : copy) item = without_folders(item);
  }
  return copy;
}

std::string html_reproduce(const ReportInput& input) {
  if (input.spec.is_null()) return "";
  const std::string spec =
      without_folders(input.spec).dump(2, ' ', false, Json::error_handler_t::replace);
  return "<p>Save the spec below as <code>spec.json</code>; it holds every setting, defaults "
         "included. Model and SAE must have the "
         "sha256 of the environment below; folders of absolute paths are left out.</p>\n" +
         copyable("commands", "commands", commands(input.summary.environment)) +
         "<details><summary>spec.json</summary>\n" + copyable("spec", "spec", spec) +
         "</details>\n";
}

}  // namespace rebound
