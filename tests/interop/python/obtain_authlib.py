"""Obtains tokens with Authlib, over requests and over httpx. Prints what came of each way."""

import json
import os

from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.integrations.requests_client import OAuth2Session


def obtain(client_class, auth_method, given):
    client = client_class(
        given["client_id"],
        given["client_secret"],
        scope=given["scope"],
        token_endpoint_auth_method=auth_method,
    )
    try:
        return client.fetch_token(os.environ["TOKEN_URL"], grant_type="client_credentials")
    except OAuthError as refusal:
        return {"error": refusal.error, "error_description": refusal.description}


def each_way(given):
    return {
        f"{client_class.__module__}, {auth_method}": obtain(client_class, auth_method, given)
        for client_class in (OAuth2Session, OAuth2Client)
        for auth_method in ("client_secret_basic", "client_secret_post")
    }


print(json.dumps([each_way(given) for given in json.loads(os.environ["CLIENTS"])]))
