"""A Hugging Face hub on this machine, for tests: two servers, as the hub itself and its store are two
hosts. It speaks what huggingface_hub and hf-hub ask for:

    GET  /api/models/ORG/NAME/revision/REVISION?blobs=true
    GET  /ORG/NAME/resolve/REVISION/PATH     small: 307 to a path of the same host, 200 with ETag
                                             large: 302 to the store with X-Linked-Etag, X-Linked-Size
    HEAD the same

with X-Repo-Commit, ranges, 401, 403, 404 and the X-Error-Code of each. The store answers 400 to a
request with a token, as a signed URL does. `faults` makes it misbehave; `log` holds what was asked.
"""
import hashlib
import json
import ssl
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = (".safetensors", ".gguf", ".npz")


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def etag_of(path, data):
    return sha256(data) if path.endswith(LARGE) else git_sha1(data)


@dataclass
class Repo:
    files: dict  # path -> bytes
    commit: str = "c0ffee" + "0" * 34
    revisions: tuple = ("main",)
    token: str = ""  # needed to read it
    is_gated: bool = False
    has_blob_ids: bool = True


@dataclass
class Fault:
    """What the next answer with a file's contents does. Each is used once."""
    break_at: int = -1  # close the connection after so many bytes
    status: int = 0
    ignores_range: bool = False
    contents: bytes = None  # in place of the right ones


@dataclass
class Request:
    server: str  # "hub" or "store"
    method: str
    path: str
    range: str
    token: str


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_):  # a client that hangs up is no news here
        pass


@dataclass
class Hub:
    repos: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)  # path -> list of Fault
    log: list = field(default_factory=list)
    certificate: str = ""  # a PEM file with key: then the hub speaks TLS

    def __enter__(self):
        self.servers = {name: self._serve(name) for name in ("hub", "store")}
        scheme = "https" if self.certificate else "http"
        self.url, self.store_url = (f"{scheme}://127.0.0.1:{s.server_port}" for s in self.servers.values())
        return self

    def __exit__(self, *_):
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def _serve(self, name):
        server = QuietServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self, "name": name}))
        server.daemon_threads = True
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()  # looks for its end so often
        return server

    def next_fault(self, path):
        waiting = self.faults.get(path, [])
        return waiting.pop(0) if waiting else Fault()

    def asked(self, server=None, part=""):
        return [r for r in self.log if server in (None, r.server) and part in r.path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = name = None

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        path = urllib.parse.urlsplit(self.path).path
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.hub.log.append(Request(self.name, self.command, path, self.headers.get("Range", ""), token))
        parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
        if self.name == "store":
            self.answer_store(parts, token)
        elif parts[:2] == ["api", "models"] and parts[4:5] == ["revision"]:
            self.answer_listing("/".join(parts[2:4]), "/".join(parts[5:]), token)
        elif parts[:2] == ["api", "resolve-cache"]:
            repo = self.allowed("/".join(parts[2:4]), parts[4], token)
            if repo:
                self.send_file("/".join(parts[5:]), repo)
        elif parts[2:3] == ["resolve"]:
            self.answer_resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]), token)
        else:
            self.refuse(404, "")

    def refuse(self, status, code):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", f"{code} of the server")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def allowed(self, name, revision, token):
        repo = self.hub.repos.get(name)
        if repo is None:
            return self.refuse(404 if token else 401, "RepoNotFound")
        if repo.token and token != repo.token:
            return self.refuse(403 if repo.is_gated else 401, "GatedRepo" if repo.is_gated else "RepoNotFound")
        if revision not in (*repo.revisions, repo.commit):
            return self.refuse(404, "RevisionNotFound")
        return repo

    def answer_listing(self, name, revision, token):
        repo = self.allowed(name, revision, token)
        if not repo:
            return
        siblings = []
        for path, data in repo.files.items():
            entry = {"rfilename": path}
            if repo.has_blob_ids and "blobs=true" in self.path:
                entry |= {"size": len(data), "blobId": git_sha1(data)}
                if path.endswith(LARGE):
                    entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        body = json.dumps({"id": name, "sha": repo.commit, "siblings": siblings}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_resolve(self, name, revision, path, token):
        repo = self.allowed(name, revision, token)
        if not repo:
            return
        if path not in repo.files:
            return self.refuse(404, "EntryNotFound")
        data = repo.files[path]
        quoted = urllib.parse.quote(path)
        self.send_response(302 if path.endswith(LARGE) else 307)
        self.send_header("X-Repo-Commit", repo.commit)
        if path.endswith(LARGE):
            self.send_header("X-Linked-Etag", f'"{sha256(data)}"')
            self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("ETag", f'"{git_sha1(b"pointer of " + data)}"')
            self.send_header("Location", f"{self.hub.store_url}/{name}/{quoted}?signature=x%2Fy")
        else:
            self.send_header("Location", f"/api/resolve-cache/{name}/{repo.commit}/{quoted}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer_store(self, parts, token):
        if token:
            return self.refuse(400, "OnlyOneAuthMechanismAllowed")
        self.send_file("/".join(parts[2:]), self.hub.repos["/".join(parts[:2])])

    def send_file(self, path, repo):
        fault = self.hub.next_fault(path) if self.command == "GET" else Fault()
        data = repo.files[path] if fault.contents is None else fault.contents
        if fault.status:
            return self.refuse(fault.status, "")
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked and not fault.ignores_range else 0
        body = data[start:]
        self.send_response(206 if asked and not fault.ignores_range else 200)
        if asked and not fault.ignores_range:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.name == "hub":
            self.send_header("X-Repo-Commit", repo.commit)
            self.send_header("ETag", f'W/"{etag_of(path, repo.files[path])}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.break_at >= 0:
            self.wfile.write(body[: max(0, fault.break_at - start)])
            self.close_connection = True
            self.wfile.flush()
            return
        self.wfile.write(body)
