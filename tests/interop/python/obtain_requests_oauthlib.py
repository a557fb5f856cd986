"""Obtains tokens with requests-oauthlib. Prints what came of each way."""

import json
import os

from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

# oauthlib's own switch for plain http, which the server under test speaks on loopback.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"


def obtain(given, **credentials):
    client = BackendApplicationClient(client_id=given["client_id"], scope=given["scope"])
    session = OAuth2Session(client=client)
    try:
        return session.fetch_token(os.environ["TOKEN_URL"], **credentials)
    except OAuth2Error as refusal:
        return {"error": refusal.error, "error_description": refusal.description}


def each_way(given):
    client_id, client_secret = given["client_id"], given["client_secret"]
    return {
        "basic": obtain(given, auth=HTTPBasicAuth(client_id, client_secret)),
        "basic, made from the id": obtain(given, client_id=client_id, client_secret=client_secret),
        "body": obtain(given, client_secret=client_secret, include_client_id=True),
    }


print(json.dumps([each_way(given) for given in json.loads(os.environ["CLIENTS"])]))
