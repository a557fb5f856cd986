"""Obtains tokens without pause and validates each with PyJWT, until told to stop. Prints what came of it."""

import base64
import json
import os
import pathlib
import time
import urllib.request

import jwt

env = os.environ
ready, stop = pathlib.Path(env["READY"]), pathlib.Path(env["STOP"])

# Only the lifetime of the cache is not PyJWT's own: it is what the server tells validators.
keys = jwt.PyJWKClient(env["JWKS_URL"], lifespan=float(env["MAX_AGE"]))

credentials = f"{env['CLIENT_ID']}:{env['CLIENT_SECRET']}".encode()
headers = {"Authorization": "Basic " + base64.b64encode(credentials).decode()}
request = urllib.request.Request(env["TOKEN_URL"], b"grant_type=client_credentials", headers)

validated, kids, refused, last_refused = 0, [], {}, None
while not stop.exists():
    with urllib.request.urlopen(request) as response:
        token = json.load(response)["access_token"]
    try:
        key = keys.get_signing_key_from_jwt(token)
        jwt.decode(
            token,
            key=key,
            algorithms=["ES256", "EdDSA"],
            issuer=env["ISSUER"],
            audience=env["AUDIENCE"],
            # Its clock is the server's, and the same second may be the next one for either.
            leeway=2,
        )
    except jwt.PyJWTError as refusal:
        name = type(refusal).__name__
        refused[name] = refused.get(name, 0) + 1
        last_refused = time.time()
    else:
        validated += 1
        if key.key_id not in kids:
            kids.append(key.key_id)
        ready.touch()
    time.sleep(0.02)
print(json.dumps({"validated": validated, "kids": kids, "refused": refused, "last_refused": last_refused}))
