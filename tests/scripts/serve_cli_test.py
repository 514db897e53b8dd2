#!/usr/bin/env python3
"""rebound serve from the outside: serve_cli_test.py PROGRAM. Address, refusals, Ctrl-C, a taken port."""
import http.client
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve()
ITSELF = PROGRAM.with_name("rebound")  # a signal to rebound_session would not reach the run


class Server:
    def __init__(self, folder, *flags):
        self.process = subprocess.Popen([ITSELF, "serve", str(folder), "--json", *flags], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.address = json.loads(self.process.stdout.readline())
        self.path = urllib.parse.urlparse(self.address["url"]).path.rstrip("/")

    def ask(self, path, method="GET", body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.address["port"], timeout=20)
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def end(self, with_signal=signal.SIGINT):
        self.process.send_signal(with_signal)
        output, errors = self.process.communicate(timeout=30)
        return self.process.returncode, output + errors


class ServeTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def start(self, *flags):
        server = Server(self.folder, *flags)
        self.addCleanup(server.process.stdout.close)
        self.addCleanup(server.process.stderr.close)
        self.addCleanup(server.process.wait)
        self.addCleanup(server.process.kill)
        return server

    def test_it_listens_on_this_machine_alone_and_wants_its_token(self):
        server = self.start()
        self.assertTrue(server.address["url"].startswith("http://127.0.0.1:"))
        self.assertEqual(len(server.path), 65)
        self.assertEqual(server.ask(server.path + "/")[0], 200)
        self.assertEqual(server.ask("/")[0], 403)
        self.assertEqual(server.ask(server.path + "/", headers={"Host": "rebinding.example"})[0], 403)
        self.assertEqual(json.loads(server.ask(server.path + "/api/runs")[1]), {"runs": [], "jobs": []})

    def test_ctrl_c_and_terminate_end_it_well(self):
        for end in (signal.SIGINT, signal.SIGTERM):
            server = self.start()
            self.assertEqual(server.ask(server.path + "/")[0], 200)
            code, text = server.end(end)
            self.assertEqual((code, text.strip()), (0, "ending"))

    def test_a_taken_port_and_a_missing_folder_are_one_line(self):
        server = self.start()
        cases = (([str(self.folder), "--port", str(server.address["port"])], 5, "it is taken"),
                 (["/no/such/folder"], 5, "no such folder"), ([str(self.folder), "--port", "70000"], 2, "--port"))
        for arguments, code, text in cases:
            done = subprocess.run([PROGRAM, "serve", *arguments], capture_output=True, text=True, timeout=30)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(text, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)

    def test_an_audit_started_here_is_seen_to_its_end(self):
        server = self.start("--threads", "1")
        headers = {"Content-Type": "application/json"}
        status, text = server.ask(server.path + "/api/audits", "POST", '{"behaviour": "toy-leaky", "name": "toy"}', headers)
        self.assertEqual((status, json.loads(text)), (200, {"name": "toy"}))
        self.assertEqual(server.ask(server.path + "/api/audits", "POST", '{"behaviour": "toy-leaky"}', headers)[0], 400)
        for _ in range(600):
            listing = json.loads(server.ask(server.path + "/api/runs")[1])
            if [run["state"] for run in listing["runs"]] == ["finished"] and listing["jobs"][0]["state"] == "ended":
                break
            time.sleep(0.2)
        self.assertEqual(listing["runs"][0]["verdict"], "handle", listing)
        self.assertIn("Report:", listing["jobs"][0]["note"])
        status, page = server.ask(server.path + "/runs/toy/report")
        self.assertEqual(status, 200)
        self.assertIn("</html>", page)

    def test_an_audit_under_way_ends_with_the_server(self):
        server = self.start()
        server.ask(server.path + "/api/audits", "POST", '{"behaviour": "toy-leaky", "name": "cut"}',
                   {"Content-Type": "application/json"})
        spec = str(self.folder / ".serve" / "cut.json")
        self.assertEqual(server.end()[0], 0)
        left = [path for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if spec in read(path)]
        self.assertEqual(left, [])


def read(path):
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    unittest.main()
