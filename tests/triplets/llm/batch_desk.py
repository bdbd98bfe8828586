"""OpenAI's Files and Batch API, as far as batches of chat completions need it.

Written from https://platform.openai.com/docs/api-reference/batch alone; `test_openai.py` holds its
replies to OpenAI's own types.
"""

from __future__ import annotations

import email
import email.policy
import json
import re
from collections import Counter
from urllib.parse import parse_qs, urlsplit

STEPS = ("validating", "in_progress", "finalizing")


class BatchDesk:
    """Files and batches of one server.

    Args:
        reply: gives the caption of a request, its fault and its chat completion.
    """

    def __init__(self, reply):
        self.reply = reply
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.most_requests, self.most_bytes = 50_000, 200_000_000
        self.endings: list[str] = []
        """How the next batches end, in the order in which they are made; else completed."""
        self.faults: dict[str, list] = {}
        """`files`, `batches`, `state`, `content` to what happens to its next requests: an HTTP
        code, `lost` (done, and the connection breaks before the answer) or `cut`."""
        self.lists = True
        """Whether batches can be listed."""
        self.polls: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        """Names of requests that were answered, and so paid for."""

    def post(self, path, sent, kind):
        """HTTP code and body of a reply."""
        path = urlsplit(path).path
        if path.endswith("/files"):
            return self._faulty("files", lambda: self._upload(sent, kind))
        if path.endswith("/batches"):
            return self._faulty("batches", lambda: self._create(json.loads(sent)))
        return 404, b"{}"

    def get(self, path):
        """HTTP code and body of a reply."""
        parts = urlsplit(path)
        if match := re.fullmatch(r"/v1/files/([\w-]+)/content", parts.path):
            return self._faulty("content", lambda: (200, self.files[match[1]]))
        if match := re.fullmatch(r"/v1/batches/([\w-]+)", parts.path):
            return self._faulty("state", lambda: (200, encoded(self._step(match[1]))))
        if parts.path == "/v1/batches" and self.lists:
            query = parse_qs(parts.query)
            return 200, encoded(self._page(int(query["limit"][0]), query.get("after", [""])[0]))
        return 404, encoded({"error": {"message": "no such place"}})

    def cuts(self, path):
        """Whether the body that is being sent is to be cut."""
        faults = self.faults.get("content", [])
        if urlsplit(path).path.endswith("/content") and faults[:1] == ["cut"]:
            faults.pop(0)
            return True
        return False

    def _faulty(self, name, done):
        faults = self.faults.get(name, [])
        if not faults or faults[0] == "cut":
            return done()
        fault = faults.pop(0)
        if fault == "lost":
            done()
            return 0, b""
        return fault, encoded({"error": {"message": f"fault {fault}"}})

    def _upload(self, sent, kind):
        form = email.message_from_bytes(
            f"Content-Type: {kind}\r\n\r\n".encode() + sent, policy=email.policy.HTTP
        )
        parts = {part.get_param("name", header="Content-Disposition"): part for part in
                 form.iter_parts()}  # fmt: skip
        assert parts["purpose"].get_content().strip() == "batch"
        data = parts["file"].get_payload(decode=True)
        assert len(data) <= self.most_bytes
        name = f"file-{len(self.files)}"
        self.files[name] = data
        return 200, encoded(
            {
                "id": name,
                "object": "file",
                "bytes": len(data),
                "created_at": 1,
                "filename": parts["file"].get_filename(),
                "purpose": "batch",
                "status": "processed",
            }
        )

    def _create(self, asked):
        assert asked["endpoint"] == "/v1/chat/completions"
        assert asked["completion_window"] == "24h"
        lines = self._requests(asked["input_file_id"])
        names = [line["custom_id"] for line in lines]
        assert len(set(names)) == len(names) <= self.most_requests
        assert all((line["method"], line["url"]) == ("POST", asked["endpoint"]) for line in lines)
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": asked["endpoint"],
            "errors": None,
            "input_file_id": asked["input_file_id"],
            "completion_window": "24h",
            "status": STEPS[0],
            "output_file_id": None,
            "error_file_id": None,
            "created_at": 1,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "ending": self.endings.pop(0) if self.endings else "completed",
        }
        return 200, encoded(self._shown(name))

    def _requests(self, file):
        return [json.loads(line) for line in self.files[file].splitlines()]

    def _page(self, limit, after):
        newest = list(reversed(self.batches))
        start = newest.index(after) + 1 if after else 0
        names = newest[start : start + limit]
        return {
            "object": "list",
            "data": [self._shown(name) for name in names],
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
            "has_more": start + limit < len(newest),
        }

    def _step(self, name):
        """A batch goes a step on whenever somebody looks at it."""
        self.polls[name] += 1
        batch = self.batches[name]
        if batch["status"] in STEPS[:-1]:
            batch["status"] = STEPS[STEPS.index(batch["status"]) + 1]
        elif batch["status"] == STEPS[-1]:
            batch["status"] = batch["ending"]
            self._end(batch)
        return self._shown(name)

    def _end(self, batch):
        if batch["ending"] == "failed":
            error = {"code": "model_not_found", "message": "no such model", "line": 1}
            batch["errors"] = {"object": "list", "data": [error | {"param": None}]}
            return
        lines = self._requests(batch["input_file_id"])
        if batch["ending"] == "cancelled":
            lines = lines[:2]
        output, errors = [], []
        for line in lines:
            _, fault, value = self.reply(line["body"])
            if fault == "missing":
                continue
            row = {"id": "batch_req_1", "custom_id": line["custom_id"], "error": None}
            if fault == "expired":
                error = {"code": "batch_expired", "message": "This request could not be executed."}
                errors.append(row | {"response": None, "error": error})
            elif isinstance(fault, int):
                body = {"error": {"message": "no"}}
                errors.append(row | {"response": response(fault, body)})
            else:
                output.append(row | {"response": response(200, value)})
                self.answered[line["custom_id"]] += 1
        for key, rows in (("output_file_id", output), ("error_file_id", errors)):
            if rows:
                batch[key] = f"file-{len(self.files)}"
                # In any order, which the API promises nothing about.
                text = "".join(json.dumps(row) + "\n" for row in reversed(rows))
                self.files[batch[key]] = text.encode()
        batch["request_counts"] |= {"completed": len(output), "failed": len(errors)}

    def _shown(self, name):
        return {key: value for key, value in self.batches[name].items() if key != "ending"}


def response(code, body):
    return {"status_code": code, "request_id": "req_1", "body": body}


def encoded(value):
    return json.dumps(value).encode()
