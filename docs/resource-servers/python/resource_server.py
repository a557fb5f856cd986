"""A resource server on FastAPI: its routes take tokens that tenmint issued, and nothing else.

pip install fastapi uvicorn 'PyJWT[crypto]'
ISSUER=https://auth.example AUDIENCE=https://api.example uvicorn --no-proxy-headers resource_server:app
"""

import json
import os
import re
import urllib.request

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request

from tenmint_revocations import Revocations
from tenmint_scopes import allows, permits

ISSUER, AUDIENCE = os.environ["ISSUER"], os.environ["AUDIENCE"]
# Once, at the start: the metadata say where the keys are.
with urllib.request.urlopen(f"{ISSUER}/.well-known/openid-configuration", timeout=5) as response:
    metadata = json.load(response)
if metadata["issuer"] != ISSUER:
    raise SystemExit("the metadata are of another issuer")
# Held for five minutes; a key that is not known is looked for, at most every ten seconds.
KEYS = jwt.PyJWKClient(metadata["jwks_uri"], lifespan=300, cooldown_duration=10, timeout=5)
ALGORITHMS = ["ES256", "EdDSA", "RS256"]  # of these, the one that the key is for


def signed(text):
    """Header and claims of whatever the issuer signed."""
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
    key = KEYS.get_signing_key_from_jwt(text)
    decoded = jwt.decode_complete(text, key, algorithms=ALGORITHMS, options=options)
    return decoded["header"], decoded["payload"]


# What is revoked, asked every five seconds: tokens of a revoked key do not count until their end.
REVOCATIONS = Revocations(ISSUER, signed, metadata["tenmint_revocations_uri"])
REVOCATIONS.follow()


def refuse(status, error=None, description=None, scope=None):
    """RFC 6750, section 3."""
    said = {"realm": AUDIENCE, "error": error, "error_description": description, "scope": scope}
    said = ", ".join(f'{name}="{value}"' for name, value in said.items() if value)
    return HTTPException(status, description, {"WWW-Authenticate": f"Bearer {said}"})


def bearer(request):
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise refuse(400, "invalid_request", "send one Authorization header")
    scheme, _, token = (headers or [""])[0].partition(" ")
    if scheme.lower() != "bearer":
        raise refuse(401)
    return token.strip()


def caller(request: Request):
    """The claims of the token that came with a request."""
    token = bearer(request)
    try:
        decoded = jwt.decode_complete(
            token,
            KEYS.get_signing_key_from_jwt(token),
            algorithms=ALGORITHMS,
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=5,
            options={"require": ["exp", "iat", "iss", "aud", "sub", "client_id", "jti"]},
        )
    except jwt.PyJWKClientConnectionError:
        raise HTTPException(503, "tokens cannot be checked at present", {"Retry-After": "2"})
    except jwt.PyJWTError:
        raise refuse(401, "invalid_token", "this token does not count here, or no longer")
    if str(decoded["header"].get("typ")).lower() not in ("at+jwt", "application/at+jwt"):
        raise refuse(401, "invalid_token", "this is not an access token")
    claims = decoded["payload"]
    if REVOCATIONS.voids(claims, decoded["header"]["kid"]):
        raise refuse(401, "invalid_token", "this token is revoked")
    if not REVOCATIONS.is_known:
        raise HTTPException(503, "tokens cannot be checked at present", {"Retry-After": "2"})
    # The peer's address. Behind a proxy, start uvicorn with --proxy-headers and the proxy's address
    # in --forwarded-allow-ips. By default it believes whoever is on the same machine.
    if not allows(claims, request.client.host if request.client else None):
        raise HTTPException(403, "this token cannot be used from this network address")
    return claims


def require(claims, scope):
    if not permits(claims, scope):
        # What a stranger put into the path is not put into a header.
        named = scope if re.fullmatch(r"[A-Za-z0-9._~*:/-]+", scope) else None
        raise refuse(403, "insufficient_scope", "this needs another scope", named)


app = FastAPI()


@app.get("/whoami")
def whoami(claims=Depends(caller)):
    return {"key": claims["client_id"], "organization": claims["org"]}


@app.get("/files")
def files(claims=Depends(caller)):
    require(claims, "files.read")
    return {"files": []}


@app.get("/projects/{project}")
def project(project: str, claims=Depends(caller)):
    require(claims, f"read:projects/{project}")
    return {"project": project}
