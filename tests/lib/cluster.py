"""tests/lib/cluster.py - the cluster key and the messages between nodes and supernodes, spoken by
scripts: docs/protocol.md, written a second time.

    key = Key("a secret of 16 characters or more")
    headers, nonce = key.sign_request("/v1/hello", body)       key.check_reply(header, nonce, body)
    key.ticket(digest, site)      key.seal(context, text)      key.open(context, sealed)

A wrong MAC is made by a Key of another secret, an old request by `wall_ms`.
"""
import base64
import hashlib
import hmac
import os
import time

SECRET = "the secret of the test cluster"
VERSION = b"v1"


def now_ms():
    return int(time.time() * 1000)


def make_id():
    return os.urandom(8).hex()


def sum_of(data):
    """What a piece's bytes have to hash to, as it stands in an assignment."""
    return hashlib.sha256(data).hexdigest()[:32]


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def bits(pieces, n_pieces):
    """Bit i % 8 of byte i / 8."""
    out = bytearray((n_pieces + 7) // 8)
    for piece in pieces:
        out[piece // 8] |= 1 << piece % 8
    return base64url(bytes(out))


def pieces_of(text, n_pieces):
    data = from_base64url(text)
    return {i for i in range(n_pieces) if data[i // 8] >> i % 8 & 1}


def choose_piece_size(size):
    """cache_pieces_choose_size()."""
    piece = 256 * 1024
    while piece < 16 * 1024 * 1024 and size > piece * 256:
        piece *= 2
    return piece


def hkdf(secret, word, length):
    """RFC 5869 with SHA-256 and no salt."""
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = hmac.new(extracted, block + f"darter 1 {word}".encode() + bytes([count]),
                         hashlib.sha256).digest()
        out += block
        count += 1
    return out[:length]


class Key:
    def __init__(self, secret=SECRET):
        raw = secret.encode()
        self.secret = secret
        self.macs = {word: hkdf(raw, word, 32) for word in ("request", "reply", "ticket")}
        self.number = int.from_bytes(hkdf(raw, "id", 4), "big") >> 4
        self.aes = Aes(hkdf(raw, "seal", 32))

    def write(self, folder, name="cluster.key"):
        """The file that daemons are given."""
        path = os.path.join(folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="ascii") as file:
            file.write(f"# of a test\n{self.secret}\n")
        return path

    def mac(self, use, *parts):
        digest = hmac.new(self.macs[use], digestmod=hashlib.sha256)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return f"k{self.number:07x}.{digest.hexdigest()[:32]}"

    # ---- requests and replies ----

    def sign_request(self, path, body, wall_ms=None):
        """([header], nonce)"""
        moment = f"v1 {wall_ms if wall_ms is not None else now_ms()}"
        nonce = os.urandom(16).hex()
        mac = self.mac("request", moment.encode(), nonce.encode(), b"POST", path.encode(), body)
        return [("Darter-Auth", f"{moment} {nonce} {mac}")], nonce

    def check_request(self, header, path, body):
        """The nonce, or None: not signed with this key."""
        try:
            version, moment, nonce, mac = header.split(" ")
        except (AttributeError, ValueError):
            return None
        good = self.mac("request", f"{version} {moment}".encode(), nonce.encode(), b"POST",
                        path.encode(), body)
        return nonce if hmac.compare_digest(good, mac) else None

    def sign_reply(self, nonce, body):
        return [("Darter-Auth", f"v1 {self.mac('reply', VERSION, nonce.encode(), body)}")]

    def check_reply(self, header, nonce, body):
        return header == f"v1 {self.mac('reply', VERSION, nonce.encode(), body)}"

    # ---- tickets ----

    def ticket(self, digest, site="default", expires_ms=None):
        first = f"v1 {expires_ms if expires_ms is not None else now_ms() + 600_000}"
        mac = self.mac("ticket", first.encode(), site.encode(), digest.encode())
        return f"{first} {site} {mac}"

    def check_ticket(self, ticket, digest, site="default"):
        try:
            version, expires, its_site, mac = ticket.split(" ")
        except (AttributeError, ValueError):
            return False
        good = self.mac("ticket", f"{version} {expires}".encode(), its_site.encode(),
                        digest.encode())
        return mac == good and its_site == site and int(expires) > now_ms()

    # ---- sealing ----

    def seal(self, context, text):
        nonce = os.urandom(12)
        sealed, tag = self.aes.gcm(nonce, context.encode(), text.encode(), is_seal=True)
        return base64url(self.number.to_bytes(4, "big") + nonce + sealed + tag)

    def open(self, context, sealed):
        """The text, or None: not under this key, or for something else."""
        raw = from_base64url(sealed)
        text, tag = self.aes.gcm(raw[4:16], context.encode(), raw[16:-16], is_seal=False)
        return text.decode() if tag == raw[-16:] else None


def double(byte):
    return byte << 1 ^ (0x11b if byte & 0x80 else 0)


def make_box():
    """The S-box of AES (FIPS 197, 5.1.1)."""
    box, p, q = [0] * 256, 1, 1
    while True:
        p ^= double(p)
        for shift in (1, 2, 4):
            q ^= q << shift
        q &= 0xff
        if q & 0x80:
            q ^= 0x09
        value = q
        for turn in range(1, 5):
            value ^= (q << turn | q >> 8 - turn) & 0xff
        box[p] = value ^ 0x63
        if p == 1:
            break
    box[0] = 0x63
    return box


class Aes:
    """AES-256 in Galois/Counter mode (NIST SP 800-38D), for texts of a few lines."""

    BOX = make_box()

    def __init__(self, key):
        words = [list(key[i:i + 4]) for i in range(0, 32, 4)]
        round_constant = 1
        for i in range(8, 60):
            word = list(words[i - 1])
            if i % 8 == 0:
                word = [self.BOX[byte] for byte in word[1:] + word[:1]]
                word[0] ^= round_constant
                round_constant = double(round_constant)
            elif i % 8 == 4:
                word = [self.BOX[byte] for byte in word]
            words.append([a ^ b for a, b in zip(words[i - 8], word)])
        self.rounds = [sum(words[i:i + 4], []) for i in range(0, 60, 4)]
        self.hash_key = int.from_bytes(self.block(bytes(16)), "big")

    def block(self, data):
        state = [a ^ b for a, b in zip(data, self.rounds[0])]
        for number in range(1, 15):
            state = [self.BOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
            if number < 14:
                state = sum((self.mix(state[i:i + 4]) for i in range(0, 16, 4)), [])
            state = [a ^ b for a, b in zip(state, self.rounds[number])]
        return bytes(state)

    @staticmethod
    def mix(column):
        whole = column[0] ^ column[1] ^ column[2] ^ column[3]
        return [column[i] ^ whole ^ double(column[i] ^ column[(i + 1) % 4]) for i in range(4)]

    def times_key(self, x):
        product, v = 0, self.hash_key
        for i in range(127, -1, -1):
            if x >> i & 1:
                product ^= v
            v = v >> 1 ^ (0xe1 << 120 if v & 1 else 0)
        return product

    def ghash(self, context, data):
        value = 0
        padded = b"".join(part + bytes(-len(part) % 16) for part in (context, data))
        padded += (8 * len(context)).to_bytes(8, "big") + (8 * len(data)).to_bytes(8, "big")
        for i in range(0, len(padded), 16):
            value = self.times_key(value ^ int.from_bytes(padded[i:i + 16], "big"))
        return value

    def gcm(self, nonce, context, data, is_seal):
        """(the other text, its tag)"""
        stream = b"".join(self.block(nonce + count.to_bytes(4, "big"))
                          for count in range(2, 2 + (len(data) + 15) // 16))
        other = bytes(a ^ b for a, b in zip(data, stream))
        tag = self.ghash(context, other if is_seal else data)
        tag ^= int.from_bytes(self.block(nonce + (1).to_bytes(4, "big")), "big")
        return other, tag.to_bytes(16, "big")
