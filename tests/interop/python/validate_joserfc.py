"""Validates tokens with joserfc, knowing the JWKS URL, issuer and audience. Prints a verdict on each."""

import json
import os
import urllib.request

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

with urllib.request.urlopen(os.environ["JWKS_URL"]) as response:
    keys = KeySet.import_key_set(json.load(response))
# Each key says besides which of these it is for, and that is minded too.
algorithms = ["ES256", "EdDSA", "RS256"]
claims_of = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": os.environ["ISSUER"]},
    aud={"essential": True, "value": os.environ["AUDIENCE"]},
    exp={"essential": True},
    sub={"essential": True},
)


def validate(token):
    try:
        claims = jwt.decode(token, keys, algorithms=algorithms).claims
        claims_of.validate(claims)
    except JoseError as refusal:
        return {"refused": type(refusal).__name__}
    return {"claims": claims}


tokens = json.loads(os.environ["TOKENS"])
print(json.dumps({name: validate(token) for name, token in tokens.items()}))
