"""Obtains tokens with Authlib and revokes them, over requests and over httpx."""

import json
import os

from authlib.integrations.httpx_client import OAuth2Client
from authlib.integrations.requests_client import OAuth2Session


def revoke(client_class, auth_method):
    client = client_class(
        os.environ["CLIENT_ID"],
        os.environ["CLIENT_SECRET"],
        token_endpoint_auth_method=auth_method,
        revocation_endpoint_auth_method=auth_method,
    )
    token = client.fetch_token(
        os.environ["TOKEN_URL"],
        grant_type="client_credentials",
        resource=os.environ["RESOURCE"],
    )
    answer = client.revoke_token(
        os.environ["REVOKE_URL"],
        token=token["access_token"],
        token_type_hint="access_token",
    )
    return {"access_token": token["access_token"], "status": answer.status_code}


print(
    json.dumps(
        {
            f"{client_class.__module__}, {auth_method}": revoke(client_class, auth_method)
            for client_class in (OAuth2Session, OAuth2Client)
            for auth_method in ("client_secret_basic", "client_secret_post")
        }
    )
)
