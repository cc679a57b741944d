"""tests/lib/auth.py - who may pull what from a scripted origin, and the token realm it names.

    auth = Auth(users={"alice": "pw"}, may={"alice": {"private/app"}}, public={"library/web"})
    origin = Origin(auth=auth)
    token = auth.token_for("alice", "private/app")       what a client would get from the realm

Tokens are random words remembered here, so a test can revoke() or let one expire. `mode`:
  "bearer"  401 with a Bearer challenge; the realm gives anonymous tokens for public repositories
  "basic"   the registry takes user and password itself
  "harbor"  as Harbor 2.16: 401 without Authorization also in public projects; a token from the
            realm is always 200, with nothing granted at worst; an Authorization that fails is
            challenged with Basic; user and password work directly on /v2/; no POST at the realm
"""
import base64
import json
import os
import time
import urllib.parse


class Grant:
    def __init__(self, user, repos, ends):
        self.user = user
        self.repos = repos
        self.ends = ends


class Auth:
    def __init__(self, mode="bearer", users=None, may=None, public=(), anonymous=True,
                 service="registry.test", realm=None, ttl_s=300):
        self.mode = mode
        self.users = users or {}
        self.may = {user: set(repos) for user, repos in (may or {}).items()}
        self.public = set(public)
        self.anonymous = anonymous  # does the realm give tokens without a user?
        self.service = service
        self.realm = realm          # URL; None = /token of the origin itself
        self.ttl_s = ttl_s
        self.grants = {}            # token -> Grant
        self.is_realm_down = False

    # ---- for tests ----

    def token_for(self, user, *repos):
        """A token as the realm would give it; user None = anonymous."""
        allowed = {repo for repo in repos if self.user_may(user, repo)}
        token = f"token-{user or 'anonymous'}-{os.urandom(12).hex()}"
        self.grants[token] = Grant(user, allowed, time.monotonic() + self.ttl_s)
        return token

    def revoke(self, token):
        del self.grants[token]

    def user_may(self, user, repo):
        return repo in self.public or repo in self.may.get(user, ())

    # ---- for the origin ----

    def basic_user(self, request):
        """(was Basic tried, user or None)"""
        value = request.header("authorization") or ""
        if not value.lower().startswith("basic "):
            return False, None
        try:
            user, password = base64.b64decode(value[6:]).decode().split(":", 1)
        except ValueError:
            return True, None
        return True, user if self.users.get(user) == password else None

    def allows(self, request):
        value = request.header("authorization")
        repo = request.repo
        tried_basic, user = self.basic_user(request)
        if tried_basic and self.mode in ("basic", "harbor"):
            return user is not None and (repo is None or self.user_may(user, repo))
        if value and value.lower().startswith("bearer "):
            grant = self.grants.get(value[7:])
            if grant is None or grant.ends < time.monotonic():
                return False
            return repo is None or repo in grant.repos
        if self.mode == "basic":
            return repo in self.public
        return False

    def challenge(self, request, base_url):
        """The value of WWW-Authenticate for a request that may not pass."""
        had_authorization = request.header("authorization") is not None
        if self.mode == "basic" or (self.mode == "harbor" and had_authorization):
            return 'Basic realm="harbor"' if self.mode == "harbor" else 'Basic realm="registry"'
        value = f'Bearer realm="{self.realm or base_url + "/token"}",service="{self.service}"'
        if request.repo:
            value += f',scope="repository:{request.repo}:pull"'
        if had_authorization:
            value += ',error="invalid_token"'
        return value

    def answer_token(self, request):
        """The realm: (status, JSON bytes)."""
        if self.is_realm_down:
            return 503, b"{}"
        tried_basic, user = self.basic_user(request)
        scopes = request.query_all("scope")
        if request.method == "POST":
            if self.mode == "harbor":
                return 404, b"{}"
            form = urllib.parse.parse_qs(request.body.decode())
            scopes = form.get("scope", [])
            if form.get("grant_type") == ["password"]:
                tried_basic = True
                name = form.get("username", [""])[0]
                right = self.users.get(name) == form.get("password", [None])[0]
                user = name if right else None
        refused = (tried_basic and user is None) or (user is None and not self.anonymous)
        if refused and self.mode != "harbor":
            return 401, b'{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}'
        repos = [part.split(":")[1] for scope in scopes for part in scope.split(" ")
                 if part.startswith("repository:")]
        token = self.token_for(user, *repos)
        return 200, json.dumps({"token": token, "access_token": token,
                                "expires_in": self.ttl_s}).encode()
