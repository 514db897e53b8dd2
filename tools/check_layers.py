#!/usr/bin/env python3
"""Checks the house rules that a compiler does not see; run by ctest as `layers`.

    python3 tools/check_layers.py [ROOT]

1. src/rebound/<layer>/ includes only its own and earlier layers (order below).
2. io and text reach no torch header, not even through another of our headers.
3. No source file has more than 600 lines.
4. Every .cpp of a layer, of apps/ and of tests/ is named in its folder's CMakeLists.txt.
5. tests/ mirrors src/rebound/: a folder per layer, each with at least one *_test.cpp.
"""
import pathlib
import re
import sys

LAYERS = ("base io text model sae intervene stats recover probe scaling behaviour audit report serve").split()
TORCH_FREE = ("io", "text")
TORCH_HEADER = re.compile(r"^(torch|ATen|c10)/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]', re.MULTILINE)
MAX_LINES = 600
SOURCE_SUFFIXES = {".h", ".cpp", ".py", ".rs", ".sh"}
TEST_FOLDERS = {*LAYERS, "apps", "browser", "device", "net", "session", "support", "tools", "scripts"}


def includes_of(path):
    return INCLUDE.findall(path.read_text(encoding="utf-8", errors="replace"))


def sources(folder, suffixes):
    return sorted(p for p in folder.rglob("*") if p.suffix in suffixes and p.is_file()
                  and not {"target", "build", "golden"} & set(p.parts))


def upward_includes(root):
    for layer in LAYERS:
        for path in sources(root / "src/rebound" / layer, {".h", ".cpp"}):
            for include in includes_of(path):
                match = re.match(r"rebound/(\w+)/", include)
                if not match:
                    continue
                other = match.group(1)
                if other not in LAYERS or LAYERS.index(other) > LAYERS.index(layer):
                    yield f"{path.relative_to(root)}: includes {include}, but {layer} may only " \
                          f"include {' '.join(LAYERS[:LAYERS.index(layer) + 1])}"


def torch_route(root, path, seen):
    """The chain of includes from `path` to a torch header, or None."""
    for include in includes_of(path):
        if TORCH_HEADER.match(include):
            return [include]
        header = root / "src" / include
        if include.startswith("rebound/") and header.is_file() and header not in seen:
            seen.add(header)
            route = torch_route(root, header, seen)
            if route:
                return [include, *route]
    return None


def torch_in_torch_free_layers(root):
    for layer in TORCH_FREE:
        for path in sources(root / "src/rebound" / layer, {".h", ".cpp"}):
            route = torch_route(root, path, set())
            if route:
                yield f"{path.relative_to(root)}: reaches a torch header: {' -> '.join(route)}"


def long_files(root):
    for top in ("src", "apps", "tests", "tools", "bench", "rust", "scripts"):
        for path in sources(root / top, SOURCE_SUFFIXES):
            lines = path.read_bytes().count(b"\n")
            if lines > MAX_LINES:
                yield f"{path.relative_to(root)}: {lines} lines, expected <= {MAX_LINES}"


def unlisted_sources(root):
    for top in ("src/rebound", "apps", "tests"):
        for path in sources(root / top, {".cpp"}):
            lists = path.parent / "CMakeLists.txt"
            text = lists.read_text() if lists.is_file() else ""
            if not re.search(rf"(?<![\w/]){re.escape(path.name)}(?![\w.])", text):
                yield f"{path.relative_to(root)}: not named in {lists.relative_to(root)}, so never built"


def test_mirror(root):
    for layer in LAYERS:
        has_code = any(sources(root / "src/rebound" / layer, {".cpp"}))
        if has_code and not any((root / "tests" / layer).glob("*_test.cpp")):
            yield f"tests/{layer}: no *_test.cpp for src/rebound/{layer}"
    for folder in sorted(p.name for p in (root / "tests").iterdir() if p.is_dir()):
        if folder not in TEST_FOLDERS:
            yield f"tests/{folder}: mirrors no layer"


CHECKS = (upward_includes, torch_in_torch_free_layers, long_files, unlisted_sources, test_mirror)


def problems(root):
    return [problem for check in CHECKS for problem in check(root)]


def main():
    default = pathlib.Path(__file__).resolve().parents[1]
    root = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else default
    found = problems(root)
    for problem in found:
        print(problem)
    checked = len(sources(root / "src/rebound", {".h", ".cpp"}))
    print(f"layers: {checked} files checked, {len(found)} problems")
    return 1 if found or checked == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
