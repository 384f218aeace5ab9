"""A webhook: answers on a port, and appends each message to a file, one per line."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with Path(sys.argv[2]).open("a") as file:
            file.write(f"{body}\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


HTTPServer(("0.0.0.0", int(sys.argv[1])), Hook).serve_forever()  # noqa: S104 - seen from the nodes
