"""tests/lib/origin.py - a registry that keeps a record of all it is asked and can misbehave.

    origin = Origin(); image = make_image(); origin.add("library/web", image, "latest")
    origin.misbehave(faults.status(503), kind="manifest", method="HEAD", times=2)
    ... let somebody pull from origin.url ...
    origin.count(kind="blob"), origin.blob_bytes[digest], origin.requests
    origin.close()

One thread per connection, raw sockets, so any framing can be sent. `requests` and `blob_bytes` are
filled while answers are sent: wait for conditions, not for time. The rules of misbehave() are tried
in order; the first that matches and is not used up takes the exchange.
"""
import collections
import json
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse

from lib.image import OCI_INDEX, digest_of

PIECE = 65536
ROUTES = [
    ("ping", re.compile(r"^/v2/?$")),
    ("catalog", re.compile(r"^/v2/_catalog$")),
    ("token", re.compile(r"^/token$")),
    ("cdn", re.compile(r"^/cdn/(?P<ref>[^/]+)$")),
    ("manifest", re.compile(r"^/v2/(?P<repo>.+)/manifests/(?P<ref>[^/]+)$")),
    ("blob", re.compile(r"^/v2/(?P<repo>.+)/blobs/(?P<ref>[^/]+)$")),
    ("tags", re.compile(r"^/v2/(?P<repo>.+)/tags/list$")),
    ("referrers", re.compile(r"^/v2/(?P<repo>.+)/referrers/(?P<ref>[^/]+)$")),
]
CODES = {400: "UNSUPPORTED", 401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN",
         405: "UNSUPPORTED", 412: "PROJECTPOLICYVIOLATION", 429: "TOOMANYREQUESTS"}


class HangUp(Exception):
    """This connection is over."""


class Request:
    def __init__(self, method, target, headers, body):
        self.method = method
        self.target = target
        self.headers = headers          # [(lower-case name, value)]
        self.body = body
        self.at = time.monotonic()
        parts = urllib.parse.urlsplit(target)
        self.path = parts.path
        self.query = parts.query
        self.kind, self.repo, self.ref = "other", None, None
        for kind, pattern in ROUTES:
            if match := pattern.match(parts.path):
                self.kind = kind
                self.repo = match.groupdict().get("repo")
                self.ref = match.groupdict().get("ref")
                break
        self.status = None              # of the answer; None = none was sent
        self.sent = 0                   # bytes of body sent

    def header(self, name):
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    def query_all(self, name):
        return urllib.parse.parse_qs(self.query).get(name, [])

    def __repr__(self):
        return f"<{self.method} {self.target} -> {self.status}, {self.sent} bytes>"


class Reply:
    def __init__(self, status, headers=(), body=b""):
        self.status = status
        self.headers = list(headers)
        self.body = body

    def get(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def set(self, name, value):
        """Replaces a header; None leaves it out."""
        self.headers = [pair for pair in self.headers if pair[0].lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))


class Exchange:
    """One request and the way its answer goes out; what a fault plays with."""

    def __init__(self, origin, sock, request, reply):
        self.origin = origin
        self.sock = sock
        self.request = request
        self.reply = reply

    def send(self):
        self.send_head()
        self.send_body(self.reply.body)

    def send_head(self):
        self.request.status = self.reply.status
        head = [f"HTTP/1.1 {self.reply.status} Because"]
        head += [f"{name}: {value}" for name, value in self.reply.headers]
        self.raw("\r\n".join(head).encode("latin-1") + b"\r\n\r\n")

    def send_body(self, data):
        if self.request.method == "HEAD":
            return
        view = memoryview(data)
        for offset in range(0, len(view), PIECE):
            part = view[offset:offset + PIECE]
            # Before they leave: whoever has got them must find them counted.
            self.origin.count_bytes(self.request, len(part))
            self.raw(part)

    def raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise HangUp() from error

    def hang_up(self):
        raise HangUp()

    def reset(self):
        sock = self.sock
        if isinstance(sock, ssl.SSLSocket):
            raise HangUp()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise HangUp()


class Rule:
    def __init__(self, fault, times, skip, when, fields):
        self.fault = fault
        self.times = times
        self.skip = skip
        self.when = when
        self.fields = fields
        self.hits = 0

    def matches(self, request):
        if self.times is not None and self.hits >= self.times:
            return False
        if any(getattr(request, name) != value for name, value in self.fields.items()):
            return False
        if self.when and not self.when(request):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.hits += 1
        return True


class Repository:
    def __init__(self):
        self.manifests = {}   # digest -> Image
        self.tags = {}        # tag -> digest
        self.blobs = {}       # digest -> bytes
        self.referrers = collections.defaultdict(list)  # digest -> descriptors


class Origin:
    def __init__(self, host="127.0.0.1", port=0, tls=None, auth=None, name=None):
        """tls: an ssl.SSLContext for servers. name: the host clients know it by."""
        self.repos = {}
        self.auth = auth
        self.tls = tls
        self.requests = []
        self.blob_bytes = collections.Counter()
        self.rules = []
        self.extra_headers = []          # on every answer: rate limits, warnings
        self.is_accept_strict = False    # 404 for a manifest type the client did not name
        self.has_referrers = True
        self.policy_refuses = set()      # manifest digests that get 412, as Harbor's policies do
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self.sockets = set()
        self.listener = socket.create_server((host, port), backlog=512)
        self.reserved = socket.socket()  # of no use before the end
        self.host, self.port = self.listener.getsockname()[:2]
        default_port = 443 if tls else 80
        authority = (name or self.host) + ("" if self.port == default_port else f":{self.port}")
        self.url = f"{'https' if tls else 'http'}://{authority}"
        self.acceptor = threading.Thread(target=self.accept_loop, daemon=True)
        self.acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """From now on connections are refused, and those that are open end."""
        self.closing.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        # First: a descriptor of the same number may soon be the next registry's, and a thread that
        # is about to ask for a connection would take one of its.
        self.acceptor.join()
        self.listener.close()
        self.reserve_port()
        with self.lock:
            for sock in list(self.sockets):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def reserve_port(self):
        """Bound, and nobody listens: a server of another test that got the port would answer."""
        try:
            self.reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # over TIME_WAIT
            self.reserved.bind((self.host, self.port))
            self.reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError:
            pass  # closed twice, or somebody was quicker

    # ---- what it holds ----

    def repository(self, name):
        return self.repos.setdefault(name, Repository())

    def add(self, repo, image, *tags):
        repository = self.repository(repo)
        for each in image.every_manifest():
            repository.manifests[each.digest] = each
            repository.blobs.update(each.blobs)
            subject = json.loads(each.manifest).get("subject")
            if subject:
                self.add_referrer(repository, subject["digest"], each)
        for tag in tags:
            repository.tags[tag] = image.digest
        return image

    @staticmethod
    def add_referrer(repository, subject, image):
        manifest = json.loads(image.manifest)
        repository.referrers[subject].append({
            "mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest),
            "artifactType": manifest.get("artifactType", ""),
            "annotations": manifest.get("annotations", {})})

    def add_blob(self, repo, data, algorithm="sha256"):
        digest = digest_of(data, algorithm)
        self.repository(repo).blobs[digest] = data
        return digest

    # ---- misbehaving, and the record ----

    def misbehave(self, fault, times=None, skip=0, when=None, **fields):
        """fields: kind, method, repo, ref. times: how often; skip: matches to let pass first."""
        rule = Rule(fault, times, skip, when, fields)
        with self.lock:
            self.rules.append(rule)
        return rule

    def behave(self):
        with self.lock:
            self.rules.clear()

    def select(self, **fields):
        with self.lock:
            return [request for request in self.requests
                    if all(getattr(request, name) == value for name, value in fields.items())]

    def count(self, **fields):
        return len(self.select(**fields))

    def forget(self):
        """Empties the record."""
        with self.lock:
            self.requests.clear()
            self.blob_bytes.clear()

    def count_bytes(self, request, count):
        with self.lock:
            request.sent += count
            if request.kind in ("blob", "cdn"):
                self.blob_bytes[request.ref] += count

    def wait(self, event, seconds):
        """Waits for an event, the time, or the end of the origin. True = the origin ends."""
        deadline = time.monotonic() + seconds
        while not event.is_set() and not self.closing.is_set():
            left = deadline - time.monotonic()
            if left <= 0 or event.wait(min(left, 0.05)):
                break
        return self.closing.is_set()

    # ---- serving ----

    def accept_loop(self):
        while not self.closing.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with self.lock:
            self.sockets.add(sock)
        plain = sock
        try:
            sock.settimeout(120)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            reader = sock.makefile("rb")
            while self.serve_one(sock, reader):
                pass
        except (HangUp, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.sockets.discard(plain)
            try:
                sock.close()
                reader.close()
            except (OSError, UnboundLocalError):
                pass

    def serve_one(self, sock, reader):
        request = self.read_request(reader)
        if request is None or self.closing.is_set():
            return False
        with self.lock:
            self.requests.append(request)
            rule = next((rule for rule in self.rules if rule.matches(request)), None)
        exchange = Exchange(self, sock, request, self.reply_to(request))
        if rule:
            rule.fault(exchange)
        else:
            exchange.send()
        wants_close = (request.header("connection") or "").lower() == "close"
        return not wants_close and not self.closing.is_set()

    @staticmethod
    def read_request(reader):
        line = reader.readline(65536).decode("latin-1").rstrip("\r\n")
        if not line:
            return None
        method, target, _version = line.split(" ")
        headers = []
        while True:
            line = reader.readline(65536).decode("latin-1").rstrip("\r\n")
            if not line:
                break
            name, value = line.split(":", 1)
            headers.append((name.lower(), value.strip()))
        length = int(dict(headers).get("content-length", 0))
        return Request(method, target, headers, reader.read(length) if length else b"")

    # ---- right answers ----

    def error_reply(self, status, headers=(), body=None, code=None):
        if body is None:
            body = json.dumps({"errors": [{
                "code": code or CODES.get(status, "UNKNOWN"), "message": f"status {status}",
                "detail": None}]}).encode()
        return Reply(status, [("Content-Type", "application/json"), *headers,
                              ("Content-Length", len(body))], body)

    def reply_to(self, request, ignore_range=False):
        reply = self.choose_reply(request, ignore_range)
        reply.headers = [("Docker-Distribution-Api-Version", "registry/2.0"),
                         *self.extra_headers, *reply.headers]
        return reply

    def choose_reply(self, request, ignore_range):
        if request.kind == "token":
            status, body = self.auth.answer_token(request) if self.auth else (404, b"{}")
            return self.json_reply(body, status=status)
        if request.kind == "cdn":
            return self.bytes_reply(request, self.find_blob(request.ref), ignore_range)
        if self.auth and not self.is_open(request) and not self.auth.allows(request):
            return self.error_reply(401, [
                ("WWW-Authenticate", self.auth.challenge(request, self.url))])
        if request.kind == "ping":
            return self.json_reply(b"{}")
        if request.method not in ("GET", "HEAD"):
            return self.error_reply(405)
        answer = getattr(self, "answer_" + request.kind, None)
        return answer(request, ignore_range) if answer else self.error_reply(404)

    def is_open(self, request):
        """Only a registry with Basic lets its public repositories be read without a word."""
        return self.auth.mode == "basic" and request.repo in self.auth.public

    def find_blob(self, digest):
        for repository in self.repos.values():
            if digest in repository.blobs:
                return repository.blobs[digest]
        return None

    @staticmethod
    def json_reply(body, status=200, headers=(), media_type="application/json"):
        return Reply(status, [("Content-Type", media_type), *headers,
                              ("Content-Length", len(body))], body)

    def answer_manifest(self, request, _ignore_range):
        repository = self.repos.get(request.repo)
        if repository is None:
            return self.error_reply(404, code="NAME_UNKNOWN")
        image = repository.manifests.get(repository.tags.get(request.ref, request.ref))
        if image is not None and self.is_accept_strict:
            accepted = re.split(r"\s*,\s*", request.header("accept") or "")
            image = image if image.media_type in accepted else None
        if image is None:
            return self.error_reply(404, code="MANIFEST_UNKNOWN")
        if image.digest in self.policy_refuses:
            return self.error_reply(412)
        headers = [("Docker-Content-Digest", image.digest), ("ETag", f'"{image.digest}"')]
        if (request.header("if-none-match") or "").strip('"') == image.digest:
            return Reply(304, headers)
        return self.json_reply(image.manifest, headers=headers, media_type=image.media_type)

    def answer_blob(self, request, ignore_range):
        repository = self.repos.get(request.repo)
        data = repository.blobs.get(request.ref) if repository else None
        return self.bytes_reply(request, data, ignore_range)

    def bytes_reply(self, request, data, ignore_range):
        if data is None:
            return self.error_reply(404, code="BLOB_UNKNOWN")
        headers = [("Content-Type", "application/octet-stream"), ("Accept-Ranges", "bytes"),
                   ("Docker-Content-Digest", request.ref), ("ETag", f'"{request.ref}"')]
        match = re.match(r"^bytes=(\d*)-(\d*)$", request.header("range") or "")
        if not match or match.groups() == ("", "") or ignore_range:
            return Reply(200, [*headers, ("Content-Length", len(data))], data)
        first, last = match.groups()
        if first == "":
            start, end = max(0, len(data) - int(last)), len(data) - 1
        else:
            start, end = int(first), min(int(last), len(data) - 1) if last else len(data) - 1
        if start >= len(data) or start > end:
            return self.error_reply(416, [("Content-Range", f"bytes */{len(data)}")])
        part = data[start:end + 1]
        return Reply(206, [*headers, ("Content-Range", f"bytes {start}-{end}/{len(data)}"),
                           ("Content-Length", len(part))], part)

    def page(self, request, names, key, base):
        """n and last of the distribution specification, with its Link header."""
        last = (request.query_all("last") or [""])[0]
        names = sorted(name for name in names if name > last)
        count = request.query_all("n")
        headers = []
        if count and int(count[0]) < len(names):
            names = names[:int(count[0])]
            query = urllib.parse.urlencode({"last": names[-1] if names else "", "n": count[0]})
            headers = [("Link", f'<{request.path}?{query}>; rel="next"')]
        return self.json_reply(json.dumps({**base, key: names}).encode(), headers=headers)

    def answer_tags(self, request, _ignore_range):
        if request.repo not in self.repos:
            return self.error_reply(404, code="NAME_UNKNOWN")
        return self.page(request, self.repos[request.repo].tags, "tags", {"name": request.repo})

    def answer_catalog(self, request, _ignore_range):
        return self.page(request, self.repos, "repositories", {})

    def answer_referrers(self, request, _ignore_range):
        if not self.has_referrers:
            return self.error_reply(404)
        repository = self.repos.get(request.repo)
        found = list(repository.referrers[request.ref]) if repository else []
        wanted = request.query_all("artifactType")
        headers = []
        if wanted:
            found = [each for each in found if each["artifactType"] == wanted[0]]
            headers = [("OCI-Filters-Applied", "artifactType")]
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found})
        return self.json_reply(body.encode(), headers=headers, media_type=OCI_INDEX)


class SilentListener:
    """A host that answers no packet: its queue of connections is full, so a SYN is dropped."""

    def __init__(self, host="127.0.0.1"):
        self.listener = socket.socket()
        self.listener.bind((host, 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        self.fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((host, self.port))
            self.fillers.append(filler)

    def close(self):
        for sock in [self.listener, *self.fillers]:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
