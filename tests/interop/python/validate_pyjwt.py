"""Validates tokens with PyJWT, knowing the issuer and the audience. Prints a verdict on each."""

import json
import os
import urllib.request

import jwt

issuer, audience = os.environ["ISSUER"], os.environ["AUDIENCE"]

# As in PyJWT's documentation: the metadata say where the keys are and what they sign with.
with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration") as response:
    metadata = json.load(response)
signing_algorithms = metadata["id_token_signing_alg_values_supported"]
keys = jwt.PyJWKClient(metadata["jwks_uri"])


def validate(token):
    try:
        key = keys.get_signing_key_from_jwt(token)
        claims = jwt.decode(
            token,
            key=key,
            algorithms=signing_algorithms,
            issuer=issuer,
            audience=audience,
            options={"require": ["exp", "iat", "iss", "aud", "sub", "client_id", "jti"]},
        )
    except jwt.PyJWTError as refusal:
        return {"refused": type(refusal).__name__}
    return {"claims": claims}


tokens = json.loads(os.environ["TOKENS"])
print(json.dumps({name: validate(token) for name, token in tokens.items()}))
