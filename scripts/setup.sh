#!/usr/bin/env bash
# Installs what rebound needs to build and test, on Debian 12. Safe to run again: only what is
# missing is installed. On other systems it says what to install, and stops only if that is needed.
set -euo pipefail

PACKAGES=(
  g++ cmake ninja-build ccache pkg-config git                     # the build
  libtorch-dev libopenblas0-pthread libdnnl-dev                   # tensors; the fast products behind them
  libcli11-dev nlohmann-json3-dev libsqlite3-dev libsqlitecpp-dev # flags, JSON, the run store
  libssl-dev zlib1g-dev                                           # sha256, compressed text
  libcpp-httplib-dev                                              # the server of rebound serve
  libgtest-dev libbenchmark-dev                                   # tests, benchmarks
  unzip curl ca-certificates python3 python3-pip                  # fetching the default model
  chromium                                                        # tests of the report page
)
CARGO_AT_LEAST="1.85"

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

is_debian_12() {
  [[ -r /etc/os-release ]] || return 1
  (. /etc/os-release && [[ "${ID:-}" == debian && "${VERSION_ID:-}" == 12 ]])
}

is_installed() { [[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]; }

cargo_is_new_enough() {
  local version
  version="$(cargo --version 2>/dev/null | awk '{print $2}')" || return 1
  [[ -n "$version" ]] && printf '%s\n%s\n' "$CARGO_AT_LEAST" "$version" | sort -V -C
}

as_root() {
  if [[ "$(id -u)" == 0 ]]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "need root to run: $* (no sudo found; run it as root, then run this again)"
  fi
}

explain_other_systems() {
  say "this is not Debian 12, so nothing is installed automatically. Needed:"
  cat <<'TEXT'
  - g++ >= 12 (C++20), CMake >= 3.25, Ninja, Python 3, unzip; ccache is optional
  - oneDNN 2 (optional, twice the speed of LibTorch on few rows; unused with the wheel)
  - CLI11 >= 2.1, nlohmann-json >= 3.11, SQLite 3, SQLiteCpp 3, OpenSSL, zlib, Google Test
  - cpp-httplib >= 0.11 (pkg-config's cpp-httplib, or its own CMake package)
  - cargo and rustc >= 1.85 (https://rustup.rs)
  - for the tests of the report page Chromium and Node >= 18 with npm, or -DREBOUND_BROWSER_TESTS=OFF
  - LibTorch, one of
      a) a system package found by CMake's find_package(Torch), with OpenBLAS or MKL as its BLAS
      b) the PyPI wheel:  python3 -m venv venv && venv/bin/pip install torch
                          export REBOUND_TORCH_WHEEL=$PWD/venv/lib/python3.X/site-packages/torch
                          cmake --workflow --preset wheel
TEXT
}

missing_packages() {
  local package
  for package in "${PACKAGES[@]}"; do
    is_installed "$package" || printf '%s\n' "$package"
  done
  # Node drives Chromium; a node that is there already may come from elsewhere, npm included.
  for package in nodejs npm; do
    command -v "${package%js}" >/dev/null || printf '%s\n' "$package"
  done
  # Debian 12's plain rustc is 1.63, too old; rustc-web and cargo-web follow newer releases.
  if ! cargo_is_new_enough; then
    for package in rustc-web cargo-web; do
      is_installed "$package" || printf '%s\n' "$package"
    done
  fi
}

main() {
  if ! is_debian_12; then
    explain_other_systems
    exit 0
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  if [[ ${#missing[@]} == 0 ]]; then
    say "all packages are installed"
  else
    say "installing: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  fi
  hash -r
  if ! cargo_is_new_enough; then
    PATH="/usr/bin:$PATH" cargo_is_new_enough ||
      die "cargo: got '$(cargo --version 2>&1 | head -1)', expected >= $CARGO_AT_LEAST (package cargo-web)"
    say "cargo in PATH is older than $CARGO_AT_LEAST; scripts/test.sh and demo.sh use /usr/bin/cargo"
  fi
  say "ready: $(g++ --version | head -1); $(cmake --version | head -1)"
}

main "$@"
