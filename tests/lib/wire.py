"""tests/lib/wire.py - a small HTTP/1.1 client on raw sockets.

It keeps what polite libraries hide: the order and spelling of headers, whether a body ended as its
framing promised, and how the connection ended. And it can be rude: read slowly, hang up early,
send several requests at once, send what is no HTTP at all.

    response = fetch(("127.0.0.1", 65001), "GET", "/v2/", [("Accept", "a"), ("Accept", "b")])
    with Connection(address) as c: c.send_request("GET", "/v2/"); response = c.read_response("GET")
"""
import json
import socket
import ssl

TIMEOUT_S = 30


class CutShort(Exception):
    """The peer went away in the middle of a message."""


class Response:
    def __init__(self, status, reason, headers):
        self.status = status
        self.reason = reason
        self.headers = headers      # [(name as sent, value)]
        self.body = b""
        self.is_complete = False    # the body ended as its framing said
        self.is_chunked = False

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        values = self.all(name)
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    @property
    def error_codes(self):
        return [error["code"] for error in self.json()["errors"]]

    def __repr__(self):
        ending = "" if self.is_complete else ", cut short"
        return f"<{self.status} {self.headers} {len(self.body)} bytes{ending}: {self.body[:200]!r}>"


def connect(address, timeout_s=TIMEOUT_S):
    if isinstance(address, str):  # a path
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout_s)
        sock.connect(address)
        return sock
    sock = socket.create_connection(address, timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def request_bytes(method, target, headers=(), body=b"", host="test", close=False):
    lines = [f"{method} {target} HTTP/1.1"]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body and "content-length" not in names and "transfer-encoding" not in names:
        lines.append(f"Content-Length: {len(body)}")
    if close and "connection" not in names:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Connection:
    def __init__(self, address, timeout_s=TIMEOUT_S, tls=None, receive_buffer=None):
        """tls: an ssl.SSLContext. receive_buffer: bytes the kernel may hold for us."""
        if receive_buffer:
            self.sock = socket.socket()
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.sock.settimeout(timeout_s)
            self.sock.connect(address)
        else:
            self.sock = connect(address, timeout_s)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # who refuses a body need not read it; the answer, if there is one, is read next

    def send_request(self, method, target, headers=(), body=b"", **more):
        self.send(request_bytes(method, target, headers, body, **more))

    def fill(self):
        """Reads once more into the buffer; False at the end of the stream."""
        try:
            data = self.sock.recv(262144)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            data = b""
        self.buffer += data
        return bool(data)

    def read_line(self):
        while b"\r\n" not in self.buffer:
            if not self.fill():
                raise CutShort(f"connection ended inside a line: {self.buffer[:200]!r}")
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def read_exactly(self, count):
        """The next `count` bytes, or fewer at the end of the stream."""
        parts, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        while have < count and self.fill():
            parts.append(self.buffer)
            have += len(self.buffer)
            self.buffer = b""
        data = b"".join(parts)
        self.buffer = data[count:]
        return data[:count]

    def read_to_end(self):
        parts = [self.buffer]
        self.buffer = b""
        while self.fill():
            parts.append(self.buffer)
            self.buffer = b""
        return b"".join(parts)

    def read_head(self):
        status_line = self.read_line().decode("latin-1")
        version, status, *reason = status_line.split(" ", 2)
        if not version.startswith("HTTP/1."):
            raise CutShort(f"no HTTP: {status_line!r}")
        headers = []
        while line := self.read_line():
            name, value = line.decode("latin-1").split(":", 1)
            headers.append((name, value.strip()))
        return Response(int(status), reason[0] if reason else "", headers)

    def read_body(self, response, method="GET"):
        length = response.header("Content-Length")
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            response.is_complete = True
        elif (response.header("Transfer-Encoding") or "").lower() == "chunked":
            response.is_chunked = True
            self.read_chunked(response)
        elif length is not None:
            response.body = self.read_exactly(int(length))
            response.is_complete = len(response.body) == int(length)
        else:
            response.body = self.read_to_end()
            response.is_complete = True
        return response

    def read_chunked(self, response):
        parts = []
        try:
            while size := int(self.read_line().split(b";")[0], 16):
                parts.append(self.read_exactly(size))
                if len(parts[-1]) < size:
                    break
                self.read_line()
            else:
                while self.read_line():
                    pass
                response.is_complete = True
        except (CutShort, ValueError):
            pass
        response.body = b"".join(parts)

    def read_response(self, method="GET"):
        response = self.read_head()
        while response.status == 100:
            response = self.read_head()
        return self.read_body(response, method)

    def is_closed_by_peer(self):
        """Waits for the end of the stream; True if it came before the time limit."""
        try:
            while self.fill():
                pass
            return True
        except TimeoutError:
            return False


def fetch(address, method, target, headers=(), body=b"", timeout_s=TIMEOUT_S, tls=None, **more):
    """One request on a connection of its own."""
    with Connection(address, timeout_s, tls) as connection:
        connection.send_request(method, target, headers, body, close=True, **more)
        return connection.read_response(method)


def exchange(address, data, timeout_s=TIMEOUT_S):
    """Sends raw bytes, closes the sending side, returns all that comes back."""
    with Connection(address, timeout_s) as connection:
        try:
            connection.send(data)
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused in the middle: what was answered before still counts
        return connection.read_to_end()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
