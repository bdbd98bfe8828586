"""A server on this machine that speaks the Hub's API as far as its client asks it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_this_test"
MAIN = "main"


class Repository:
    """Commits of a repository: sha to files, branch to sha."""

    def __init__(self, gated=False):
        self.gated, self.private = gated, False
        self.commits, self.branches, self.messages = {}, {}, []
        self.commit({}, MAIN, "made")

    def commit(self, files, branch, message):
        """Add files on top of a branch; the new sha."""
        whole = {**self.files(branch), **files}
        self.messages.append(message)
        sha = hashlib.sha1(f"{message}{sorted(whole)}{len(self.commits)}".encode()).hexdigest()
        self.commits[sha], self.branches[branch] = whole, sha
        return sha

    def sha(self, revision):
        """Of a branch or commit; None where there is none."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)

    def files(self, revision=MAIN):
        """Name to content."""
        return self.commits.get(self.sha(revision) or "", {})


class Hub(ThreadingHTTPServer):
    """Repositories by name; those of data sets begin with datasets/."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        """Uploaded files by sha256, until a commit names them."""
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def add(self, name, files, gated=False):
        """A repository with these files."""
        self.repositories[name] = Repository(gated)
        self.repositories[name].commit(files, MAIN, "files")


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Nothing."""

    def do_HEAD(self):
        """As GET, without the content."""
        self.do_GET()

    def do_GET(self):
        """A file, or what a repository holds."""
        path = urlsplit(self.path).path
        self.server.asked.append(f"{self.command} {path}")
        api = path.startswith("/api/")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if api:
            kind, owner, name, what, revision = [*parts[1:], None, None][:5]
            where = f"{owner}/{name}" if kind == "models" else f"datasets/{owner}/{name}"
        else:
            prefix = 1 if parts[0] == "datasets" else 0
            where, what, revision = "/".join(parts[: 2 + prefix]), *parts[2 + prefix :][:2]
            file = "/".join(parts[4 + prefix :])
        repository = self.server.repositories.get(where)
        if repository is None:
            return self.refuse(404, "RepoNotFound")
        if repository.gated:
            return self.refuse(403, "GatedRepo")
        sha = repository.sha(revision or MAIN)
        if sha is None:
            return self.refuse(404, "RevisionNotFound")
        files = repository.files(sha)
        if not api:
            return self.give(files.get(file), sha)
        if what == "tree":
            return self.say([entry(*item) for item in files.items()])
        siblings = [{"rfilename": name} for name in files]
        self.say({"id": where, "sha": sha, "siblings": siblings, "private": repository.private})
        return None

    def do_PUT(self):
        """An upload."""
        self.server.large[self.path.rpartition("/")[2]] = self.body()
        self.say({})

    def do_POST(self):
        """Making, branching, and the steps of a commit."""
        self.server.asked.append(f"POST {urlsplit(self.path).path}")
        body = self.body()
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.refuse(401, "Unauthorized")
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts[-1] == "validate-yaml":
            return self.say({"errors": [], "warnings": []})
        if parts[:3] == ["api", "repos", "create"]:
            return self.make(json.loads(body))
        if parts[-1] == "batch":
            return self.say({"transfer": "basic", "objects": self.places(json.loads(body))})
        name, what, revision = "/".join(parts[2:4]), parts[4], parts[5]
        repository = self.server.repositories[name]
        if what == "branch":
            if revision in repository.branches:
                return self.refuse(409, "Exists")
            repository.branches[revision] = repository.branches[MAIN]
            self.say({})
        elif what == "preupload":
            self.say({"files": [self.mode(file) for file in json.loads(body)["files"]]})
        elif what == "commit":
            self.commit(repository, revision, body)
        return None

    def make(self, body):
        name = (
            f"{body['organization']}/{body['name']}" if body.get("organization") else body["name"]
        )
        if name in self.server.repositories:
            return self.refuse(409, "Exists", {"url": f"{self.server.url}/{name}"})
        self.server.repositories[name] = repository = Repository()
        repository.private = bool(body.get("private") or body.get("visibility") == "private")
        self.say({"url": f"{self.server.url}/{name}", "name": name})
        return None

    def mode(self, file):
        large = file["path"].endswith(".safetensors")
        how = {"path": file["path"], "uploadMode": "lfs" if large else "regular"}
        return {**how, "shouldIgnore": False, "oid": None}

    def places(self, body):
        return [
            {**file, "actions": {"upload": {"href": f"{self.server.url}/upload/{file['oid']}"}}}
            for file in body["objects"]
        ]

    def commit(self, repository, branch, body):
        files, message = {}, ""
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert line["key"] == "lfsFile"
                content = self.server.large[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                files[value["path"]] = content
        sha = repository.commit(files, branch, message)
        name = next(n for n, r in self.server.repositories.items() if r is repository)
        url = f"{self.server.url}/{name}/commit/{sha}"
        self.say({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def give(self, content, sha):
        if content is None:
            return self.refuse(404, "EntryNotFound", commit=sha)
        begin = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        etag = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": sha}
        self.send(200, content[begin:], headers)
        return None

    def say(self, value):
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def refuse(self, status, code, value=None, commit=None):
        headers = {"X-Error-Code": code} | ({"X-Repo-Commit": commit} if commit else {})
        self.send(status, json.dumps(value or {"error": code}).encode(), headers)

    def send(self, status, content, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def entry(name, content):
    """A file as the tree shows it."""
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": name, "size": len(content), "oid": oid}
