#!/usr/bin/env bash
# Brings Vega, Vega-Lite and vega-interpreter from npm into third_party/vega, byte for byte, and
# writes its README with their hashes. Change the versions here, run it, then run the browser tests.
# The licences stand in the packages' repositories and are copied by hand.
#   scripts/refresh_vega.sh           fetches and replaces
#   scripts/refresh_vega.sh --check   only says whether the files are those that the README names
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VEGA=5.33.1
VEGA_LITE=5.23.0
VEGA_INTERPRETER=1.2.1
HOME_OF_VEGA=third_party/vega

say() { printf 'refresh_vega: %s\n' "$*"; }
die() { printf 'refresh_vega: %s\n' "$*" >&2; exit 1; }
sha256() { sha256sum "$1" | cut -d' ' -f1; }

check() {
  local file hash
  for file in vega vega-lite vega-interpreter; do
    hash="$(sha256 "$HOME_OF_VEGA/$file.min.js")"
    grep -q "$hash" "$HOME_OF_VEGA/README.md" ||
      die "$HOME_OF_VEGA/$file.min.js: got sha256 $hash, expected the one in $HOME_OF_VEGA/README.md"
  done
  say "the files are those of $HOME_OF_VEGA/README.md"
}

line() { printf '| `%s` | `%s@%s` | `build/%s` | `%s` |\n' "$1.min.js" "$1" "$2" "$1.min.js" "$(sha256 "$HOME_OF_VEGA/$1.min.js")"; }

write_readme() {
  cat <<TEXT
# Vega, Vega-Lite and vega-interpreter, as shipped on npm

The HTML report draws its charts with these files, inlined at build time (\`src/rebound/report/CMakeLists.txt\`), so
that a report opens offline. They are byte for byte the files of the npm packages; nothing else of the packages is needed.

| file | npm package | path in the package | sha256 |
|---|---|---|---|
$(line vega "$VEGA")
$(line vega-lite "$VEGA_LITE")
$(line vega-interpreter "$VEGA_INTERPRETER")

Licences: Vega and vega-interpreter (one repository) BSD-3-Clause (\`LICENSE.vega\`), Vega-Lite BSD-3-Clause
(\`LICENSE.vega-lite\`), the D3 modules bundled inside \`vega.min.js\` ISC (\`LICENSE.d3\`). Every report carries the notices
in a comment. \`vega-interpreter\` evaluates the charts' expressions without \`eval\`, which the page's
Content-Security-Policy forbids. \`vega-embed\` is left out: the page compiles its own specs and calls \`vega.View\`.

To update: \`scripts/refresh_vega.sh\` (versions stand in it); \`scripts/refresh_vega.sh --check\` compares the hashes.
TEXT
}

fetch() {
  command -v npm >/dev/null || die "npm not found: scripts/setup.sh installs it"
  local package version
  scratch="$(mktemp -d)" # not local: the trap needs it
  trap 'rm -rf "$scratch"' EXIT
  for package in "vega $VEGA" "vega-lite $VEGA_LITE" "vega-interpreter $VEGA_INTERPRETER"; do
    read -r package version <<<"$package"
    mkdir "$scratch/$package"
    (cd "$scratch/$package" && npm pack --silent "$package@$version" >/dev/null && tar -xzf ./*.tgz)
    cp "$scratch/$package/package/build/$package.min.js" "$HOME_OF_VEGA/"
    chmod 644 "$HOME_OF_VEGA/$package.min.js"
  done
  write_readme >"$scratch/README.md"
  mv "$scratch/README.md" "$HOME_OF_VEGA/README.md"
  say "wrote $HOME_OF_VEGA"
}

case "${1:-}" in
  "") fetch ;;
  --check) check ;;
  *) die "got \"$1\", expected nothing or --check" ;;
esac
