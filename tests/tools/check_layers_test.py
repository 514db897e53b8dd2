"""Each rule of tools/check_layers.py finds the tree that breaks it, and only that rule speaks."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import check_layers  # noqa: E402


class CheckLayersTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.root = pathlib.Path(holder.name)
        self.write("src/rebound/base/CMakeLists.txt", "rebound_layer(base SOURCES a.cpp)")
        self.write("src/rebound/base/a.h", "#pragma once\n")
        self.write("src/rebound/base/a.cpp", '#include "rebound/base/a.h"\n')
        self.write("src/rebound/base/shape.h", "#include <ATen/core/Tensor.h>\n")
        self.write("src/rebound/io/CMakeLists.txt", "rebound_layer(io SOURCES b.cpp)")
        self.write("src/rebound/io/b.cpp", '#include "rebound/base/a.h"\n')
        for layer, name in (("base", "a"), ("io", "b")):
            self.write(f"tests/{layer}/CMakeLists.txt", f"rebound_test({layer} SOURCES {name}_test.cpp)")
            self.write(f"tests/{layer}/{name}_test.cpp", "\n")

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def expect_only(self, *parts):
        found = check_layers.problems(self.root)
        self.assertEqual(len(found), 1, found)
        for part in parts:
            self.assertIn(part, found[0])

    def test_a_tidy_tree_has_no_problems(self):
        self.assertEqual(check_layers.problems(self.root), [])

    def test_an_include_of_a_later_layer_is_found(self):
        self.write("src/rebound/base/a.h", '#include "rebound/io/b.h"\n')
        self.expect_only("src/rebound/base/a.h", "rebound/io/b.h")

    def test_torch_reached_through_our_own_header_is_found(self):
        self.write("src/rebound/io/b.cpp", '#include "rebound/base/shape.h"\n')
        self.expect_only("src/rebound/io/b.cpp", "rebound/base/shape.h -> ATen/core/Tensor.h")

    def test_a_long_file_is_found(self):
        self.write("src/rebound/io/b.cpp", "\n" * 601)
        self.expect_only("b.cpp", "601 lines")

    def test_a_source_nobody_builds_is_found(self):
        self.write("tests/io/ab_test.cpp", "\n")
        self.expect_only("tests/io/ab_test.cpp", "never built")

    def test_a_layer_without_tests_is_found(self):
        (self.root / "tests/io/b_test.cpp").unlink()
        self.expect_only("tests/io", "no *_test.cpp")

    def test_a_test_folder_of_no_layer_is_found(self):
        (self.root / "tests/misc").mkdir()
        self.expect_only("tests/misc")


if __name__ == "__main__":
    unittest.main()
