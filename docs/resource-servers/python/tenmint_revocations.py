"""Revocation feeds of tenmint, and which tokens they void. Without dependencies: copy this file.
Checked against revocation-vectors.json by tenmint's own tests.
"""

import base64
import hashlib
import logging
import threading
import time
import urllib.error
import urllib.request

_KINDS = {"keys": "client_id", "organizations": "org", "tokens": "jti"}
_AHEAD = 300
_LARGEST = 16 * 1024 * 1024


def alias(name):
    """How a feed calls what has this name."""
    digest = hashlib.sha256(name.encode()).digest()[:16]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Revocations:
    """What an issuer has revoked.

    verify(text) checks a JWT's signature by the issuer's keys, of a JWKS no older than its max-age,
    and nothing else. It gives header and claims, or raises.
    """

    def __init__(self, issuer, verify, url=None, clock=time.time):
        self._issuer, self._verify, self._clock = issuer, verify, clock
        self._url = url or f"{issuer}/.well-known/revocations"
        self._held, self._etag = None, None

    def voids(self, claims, kid):
        """Whether a token with these claims, that this key signed, must be refused."""
        revoked = self._held["revoked"] if self._held else {}
        names = {kind: claims.get(claim) for kind, claim in _KINDS.items()} | {"signing_keys": kid}
        for kind, name in names.items():
            listed = revoked.get(kind)
            if listed and claims["iat"] < listed.get(alias(str(name)), 0):
                return True
        return False

    @property
    def is_known(self):
        """Whether it is known at present what is revoked. If not, refuse with 503."""
        return self._held is not None and self._clock() < self._held["exp"]

    def keep(self, text):
        """Takes a feed for what is known, if it counts. Otherwise raises, and changes nothing."""
        header, claims = self._verify(text)
        typ = str(header.get("typ")).lower().removeprefix("application/")
        held, now = self._held, self._clock()
        if typ != "revocations+jwt" or claims.get("iss") != self._issuer:
            raise ValueError("not a revocation feed of this issuer")
        if not all(_is_whole(claims.get(name)) for name in ("iat", "exp", "seq")):
            raise ValueError("not a revocation feed")
        if claims["exp"] <= now or claims["iat"] > now + _AHEAD:
            raise ValueError("a revocation feed of another time")
        if held and alias(header["kid"]) in held["revoked"]["signing_keys"]:
            raise ValueError("signed by a key that is withdrawn")
        revoked = {kind: _read(claims, kind) for kind in (*_KINDS, "signing_keys")}
        if held and claims["seq"] <= held["seq"]:
            # Not newer: it adds to what is known, and takes nothing away.
            for kind, listed in held["revoked"].items():
                for name, before in listed.items():
                    revoked[kind][name] = max(before, revoked[kind].get(name, 0))
            claims = held
        self._held = {"seq": claims["seq"], "exp": claims["exp"], "revoked": revoked}

    def update(self):
        """Asks the issuer once."""
        request = urllib.request.Request(self._url)
        if self._etag and self._held["exp"] > self._clock() + 60:
            request.add_header("If-None-Match", self._etag)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                self.keep(response.read(_LARGEST).decode())
                self._etag = response.headers["ETag"]
        except urllib.error.HTTPError as error:
            if error.code != 304:
                raise

    def follow(self, every=5.0):
        """Asks the issuer now, and then again and again behind the requests' backs."""
        self.update()

        def run():
            while True:
                time.sleep(every)
                try:
                    self.update()
                except Exception as why:  # It is tried again, and what is known ends by itself.
                    logging.warning("the revocation feed was not fetched: %s", why)

        threading.Thread(target=run, name="revocations", daemon=True).start()


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _read(claims, kind):
    revoked = claims.get("revoked")
    listed = revoked.get(kind, {}) if isinstance(revoked, dict) else None
    if not isinstance(listed, dict) or not all(map(_is_whole, listed.values())):
        raise ValueError("not a revocation feed")
    return dict(listed)
