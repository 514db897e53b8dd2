"""rebound model pull and sae pull against a hub on this machine (hub_server.py): what arrives, what is
asked for, and what is left when something goes wrong.

    hub_test.py PROGRAM [unittest's arguments]

With huggingface_hub installed its reading of our cache, and ours of its, are tested too.
"""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from hub_server import Fault, Hub, Repo, git_sha1, sha256

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "assets/scaling/books-bytes-100x"
SAE = ROOT / "tests/sae/golden/formats/dictionary_learning_BatchTopKSAE/trainer_0"
FLAGS, DATA, FILES = 2, 3, 5
WEIGHTS = "model.safetensors"
NAME = "someone/books-bytes"


def files_of(folder, prefix=""):
    return {prefix + p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def model_repo(**more):
    extra = {"README.md": b"# books", "pytorch_model.bin": b"x" * 99, "onnx/model.onnx": b"o",
             "original/model.safetensors": b"elsewhere", "consolidated.safetensors": b"twice"}
    return Repo(files_of(MODEL) | extra, **more)


class HubTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="rebound_hub_")
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.cache = self.home / "hf/hub"
        self.repo = model_repo()
        self.hub = self.enterContext(Hub({NAME: self.repo}))
        self.folder = self.cache / "models--someone--books-bytes"

    def run_program(self, *words, **variables):
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS", "SSL_CERT", "XDG_"))
                 and not k.lower().endswith("_proxy")}
        environment = clean | {"HOME": str(self.home), "HF_HOME": str(self.home / "hf"),
                               "HF_ENDPOINT": self.hub.url} | variables
        return subprocess.run([PROGRAM, "--quiet", "--threads", "1", *words], env=environment, text=True,
                              capture_output=True, cwd=self.home, timeout=120)

    def pull(self, *words, **variables):
        done = self.run_program("--json", "model", "pull", *(words or [NAME]), **variables)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def fails(self, code, phrase, *words, **variables):
        done = self.run_program(*(words or ["model", "pull", NAME]), **variables)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (code, 1), done.stderr)
        self.assertIn(phrase, done.stderr)
        self.assertFalse((self.folder / "refs/main").exists())

    def blob(self, path):
        data = self.repo.files[path]
        return self.folder / "blobs" / (sha256(data) if path == WEIGHTS else git_sha1(data))

    def incomplete(self):
        return self.blob(WEIGHTS).with_name(self.blob(WEIGHTS).name + ".incomplete")

    def ranges(self):
        return [request.range for request in self.hub.asked("store")]


class LayoutTest(HubTest):
    def test_a_model_arrives_as_python_would_store_it(self):
        result = self.pull()
        snapshot = self.folder / "snapshots" / self.repo.commit
        self.assertEqual(result["path"], str(snapshot))
        self.assertEqual((result["repo"], result["revision"], result["commit"]), (NAME, "main", self.repo.commit))
        self.assertEqual({p.name for p in snapshot.iterdir()},
                         {"config.json", "tokenizer.json", "tokenizer_config.json", WEIGHTS})
        for file in result["files"]:
            pointer = snapshot / file["path"]
            self.assertEqual(os.readlink(pointer), "../../blobs/" + self.blob(file["path"]).name)
            self.assertEqual(pointer.read_bytes(), self.repo.files[file["path"]])
        self.assertEqual((self.folder / "refs/main").read_text(), self.repo.commit)
        self.assertEqual({p.suffix for p in (self.folder / "blobs").iterdir()}, {""})

    def test_what_is_there_is_not_fetched_again(self):
        self.assertEqual({file["cached"] for file in self.pull()["files"]}, {False})
        self.hub.log.clear()
        self.assertEqual({file["cached"] for file in self.pull()["files"]}, {True})
        self.assertEqual([r.path for r in self.hub.log], [f"/api/models/{NAME}/revision/main"])

    def test_a_pulled_model_is_used_by_its_name(self):
        self.pull()
        say = lambda model: self.run_program("model", "generate", "--json", "--tokens", "8", "--text", "It was the ",
                                             "--model", model, HF_ENDPOINT="http://127.0.0.1:1").stdout
        self.assertEqual(json.loads(say(NAME))["text"], json.loads(say(str(MODEL)))["text"])
        about = self.run_program("--json", "model", "inspect", "--model", NAME).stdout
        self.assertEqual(json.loads(about)["name"], "books-bytes")

    def test_a_model_that_is_not_cached_names_the_command(self):
        self.fails(FILES, f"`rebound model pull {NAME}`", "model", "inspect", "--model", NAME)
        self.assertEqual(self.hub.log, [])

    def test_another_revision(self):
        self.repo.revisions = ("main", "refs/pr/1")
        self.pull(NAME, "--revision", "refs/pr/1")
        self.assertEqual((self.folder / "refs/refs/pr/1").read_text(), self.repo.commit)
        about = self.run_program("model", "inspect", "--model", NAME + "@refs/pr/1")
        self.assertEqual(about.returncode, 0, about.stderr)
        self.fails(FILES, "pull", "model", "inspect", "--model", NAME)
        self.pull(NAME, "--revision", self.repo.commit)
        self.assertEqual(os.listdir(self.folder / "refs"), ["refs"])

    def test_one_gguf_by_include(self):
        self.hub.repos["a/b"] = Repo({"x-Q4_K_M.gguf": b"GGUF", "x-Q8_0.gguf": b"GGUF8", "README.md": b""})
        self.fails(DATA, "x-Q4_K_M.gguf, x-Q8_0.gguf", "model", "pull", "a/b")
        result = self.pull("a/b", "--include", "*Q4_K_M.gguf")
        self.assertTrue(result["path"].endswith("/x-Q4_K_M.gguf"))
        self.assertEqual(result["name"], "a/b:x-Q4_K_M.gguf")
        self.fails(DATA, result["path"], "model", "inspect", "--model", "a/b")  # found; its contents are nonsense
        self.fails(FLAGS, "--include", "model", "pull", "a/b", "--include", "*.onnx")

    def test_an_sae_by_its_folder(self):
        rest = {"README.md": b"", "other/ae.pt": b"1", "other/config.json": b"{}"}
        self.hub.repos["a/saes"] = Repo(files_of(SAE, "resid 3#/trainer_0/") | rest)
        self.fails(FLAGS, "resid 3#/trainer_0/", "sae", "pull", "a/saes")
        done = self.run_program("--json", "sae", "pull", "a/saes", "--path", "resid 3#")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({file["path"] for file in json.loads(done.stdout)["files"]},
                         {"resid 3#/trainer_0/" + name for name in files_of(SAE)})
        name = json.loads(done.stdout)["name"]
        self.assertEqual(name, "a/saes:resid 3#/trainer_0")
        about = self.run_program("--json", "sae", "inspect", name)
        self.assertEqual(json.loads(about.stdout)["format"], "dictionary_learning", about.stderr)
        self.fails(FILES, "rebound sae pull a/saes --path other", "sae", "inspect", "a/saes:other")


class TransferTest(HubTest):
    def test_a_broken_transfer_goes_on_where_it_stopped(self):
        self.hub.faults[WEIGHTS] = [Fault(break_at=100_000), Fault(status=503), Fault(break_at=200_000)]
        self.pull()
        self.assertEqual(self.ranges(), ["", "bytes=100000-", "bytes=100000-", "bytes=200000-"])
        self.assertEqual(self.blob(WEIGHTS).read_bytes(), self.repo.files[WEIGHTS])

    def test_a_later_run_goes_on_where_an_earlier_one_stopped(self):
        self.hub.faults[WEIGHTS] = [Fault(break_at=100_000)] + 9 * [Fault(status=503)]
        self.fails(FILES, "503")
        self.assertEqual(self.incomplete().read_bytes(), self.repo.files[WEIGHTS][:100_000])
        self.assertFalse(self.blob(WEIGHTS).exists())
        self.hub.faults.clear()
        self.hub.log.clear()
        self.pull()
        self.assertEqual(self.ranges(), ["bytes=100000-"])
        self.assertFalse(self.incomplete().exists())

    def test_a_server_that_ignores_ranges_is_read_from_the_start(self):
        self.hub.faults[WEIGHTS] = [Fault(break_at=100_000), Fault(ignores_range=True)]
        self.pull()
        self.assertEqual(self.blob(WEIGHTS).read_bytes(), self.repo.files[WEIGHTS])

    def test_wrong_contents_are_deleted(self):
        for path, kind in (("config.json", git_sha1), (WEIGHTS, sha256)):
            wrong = b"{" + self.repo.files[path][1:-1] + b"?"
            self.hub.faults[path] = [Fault(contents=wrong)]
            self.fails(FILES, kind(wrong))
            self.assertFalse(self.blob(path).exists())
            self.assertFalse(self.blob(path).with_name(self.blob(path).name + ".incomplete").exists())
        self.pull()

    def test_a_part_that_does_not_fit_is_fetched_from_the_start(self):
        self.incomplete().parent.mkdir(parents=True)
        self.incomplete().write_bytes(b"?" * 1000)
        self.pull()
        self.assertEqual(self.ranges(), ["bytes=1000-", ""])

    def test_a_full_disk(self):
        self.incomplete().parent.mkdir(parents=True)
        self.incomplete().symlink_to("/dev/full")
        self.fails(FILES, "the disk is full")

    def test_a_listing_without_hashes(self):
        self.repo.has_blob_ids = False
        self.pull()
        self.assertEqual(self.blob("config.json").read_bytes(), self.repo.files["config.json"])
        self.assertEqual(self.blob(WEIGHTS).read_bytes(), self.repo.files[WEIGHTS])


class RefusalTest(HubTest):
    def test_names_that_are_not_there(self):
        self.fails(FILES, "404", "model", "pull", "someone/else", HF_TOKEN="t")
        self.fails(FILES, "HF_TOKEN", "model", "pull", "someone/else")
        self.fails(FILES, "no revision \"v9\"", "model", "pull", NAME, "--revision", "v9")
        for name in ("a/b/c", "../b", "a/..", "a b/c"):
            self.fails(FLAGS, "ORG/NAME", "model", "pull", name)
        self.fails(FLAGS, "--revision", "model", "pull", NAME, "--revision", "../../x")

    def test_a_token_opens_and_stays_with_the_hub(self):
        self.repo.token = "hf_secret"
        self.fails(FILES, "HF_TOKEN")
        self.fails(FILES, "the token given", HF_TOKEN="hf_other")
        self.repo.is_gated = True
        self.fails(FILES, f"accept its terms at {self.hub.url}/{NAME}")
        self.pull(HF_TOKEN="hf_secret")
        self.assertEqual({r.token for r in self.hub.asked("store")}, {""})
        self.assertNotIn("hf_secret", self.run_program("model", "pull", "no/body", HF_TOKEN="hf_secret").stderr)

    def test_the_token_file_of_a_login(self):
        self.repo.token = "hf_secret"
        (self.home / "hf").mkdir()
        (self.home / "hf/token").write_text("hf_secret\n")
        self.pull()

    def test_paths_that_leave_the_snapshot(self):
        for path in ("../evil.json", "/etc/evil.json", "a/../../evil.json", "a\\b.json", "a//b.json", ""):
            self.repo.files = {path: b"{}"} | files_of(MODEL)
            self.fails(DATA, "nothing was fetched")
            self.assertEqual(list(self.cache.rglob("*.json")), [])

    def test_a_commit_that_is_none(self):
        self.repo.commit = "../../../evil"
        self.fails(DATA, "commit")

    def test_offline(self):
        self.fails(FILES, "HF_HUB_OFFLINE", HF_HUB_OFFLINE="1")
        self.pull()
        self.hub.log.clear()
        self.assertEqual({f["cached"] for f in self.pull(HF_HUB_OFFLINE="1")["files"]}, {True})
        self.assertEqual(self.hub.log, [])

    def test_no_network(self):
        self.fails(FILES, "cannot reach http://127.0.0.1:1", HF_ENDPOINT="http://127.0.0.1:1")


@unittest.skipUnless(subprocess.run(["which", "openssl"], capture_output=True).returncode == 0, "needs openssl")
class TlsTest(HubTest):
    def test_the_roots_of_ssl_cert_file_are_trusted_and_no_others(self):
        pem = self.home / "hub.pem"
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=hub"
        subprocess.run(["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
                        "basicConstraints=critical,CA:FALSE", "-keyout", str(pem), "-out", str(self.home / "cert")],
                       check=True, capture_output=True)
        pem.write_text((self.home / "cert").read_text() + pem.read_text())
        self.hub = self.enterContext(Hub({NAME: self.repo}, certificate=str(pem)))
        self.fails(FILES, "cannot reach https://127.0.0.1")
        self.pull(SSL_CERT_FILE=str(self.home / "cert"))


@unittest.skipUnless(importlib.util.find_spec("huggingface_hub"), "needs Python's huggingface_hub")
class PythonTest(HubTest):
    def python(self, script, **variables):
        environment = os.environ | {"HF_HOME": str(self.home / "hf"), "HF_ENDPOINT": self.hub.url} | variables
        done = subprocess.run([sys.executable, "-c", script], env=environment, text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_python_reads_what_we_fetched(self):
        ours = self.pull()
        self.hub.log.clear()
        script = "import huggingface_hub as h\n"
        script += f"print(h.snapshot_download({NAME!r}, local_files_only=True))\n"
        script += f"print(h.hf_hub_download({NAME!r}, {WEIGHTS!r}))\n"
        self.assertEqual(self.python(script, HF_HUB_OFFLINE="1").split("\n"),
                         [ours["path"], ours["path"] + "/" + WEIGHTS])
        self.assertEqual(self.hub.log, [])

    def test_we_read_what_python_fetched(self):
        names = ["config.json", "tokenizer.json", "tokenizer_config.json", WEIGHTS]
        self.python(f"import huggingface_hub as h\nfor f in {names}: h.hf_hub_download({NAME!r}, f)")
        self.hub.log.clear()
        result = self.pull()
        self.assertEqual({file["cached"] for file in result["files"]}, {True})
        self.assertEqual(self.hub.asked("store"), [])
        about = self.run_program("model", "inspect", "--model", NAME)
        self.assertEqual(about.returncode, 0, about.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
