// Errors a caller can act on. Four kinds, one exit code each; a message says where, what was got
// and what was expected. Bugs use assertions, "not there" is std::optional, numbers that go wrong
// during optimisation are data.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace rebound {

struct Error : std::runtime_error {
  Error(const std::string& message, int exit_code)
      : std::runtime_error(message), exit_code(exit_code) {}
  int exit_code;
};

// A flag or a spec asks for something impossible (exit code 2).
struct ConfigError : Error {
  explicit ConfigError(const std::string& message) : Error(message, 2) {}
};
// A file disagrees with itself, with the model, or holds NaN (exit code 3).
struct DataError : Error {
  explicit DataError(const std::string& message) : Error(message, 3) {}
};
// A numerical task has no solution, for example an empty feasible set (exit code 4).
struct NumericError : Error {
  explicit NumericError(const std::string& message) : Error(message, 4) {}
};
// A file cannot be read or written (exit code 5).
struct IoError : Error {
  explicit IoError(const std::string& message) : Error(message, 5) {}
};

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class Kind, class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) throw Kind(concat(parts...));
}

// Runs `body`; an error thrown inside is rethrown, same kind, with "context: " in front.
template <class Body>
auto with_context(std::string_view context, Body&& body) -> decltype(body()) {
  auto prefixed = [&](const Error& e) { return concat(context, ": ", e.what()); };
  try {
    return std::forward<Body>(body)();
  } catch (const ConfigError& e) {
    throw ConfigError(prefixed(e));
  } catch (const DataError& e) {
    throw DataError(prefixed(e));
  } catch (const NumericError& e) {
    throw NumericError(prefixed(e));
  } catch (const IoError& e) {
    throw IoError(prefixed(e));
  }
}

}  // namespace rebound
