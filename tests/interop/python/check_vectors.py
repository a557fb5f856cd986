"""Holds the Python helpers against the shared vectors. Prints what differs."""

import json
import os
import sys

import jwt

sys.path.insert(0, os.environ["HELPERS"])
import tenmint_revocations
import tenmint_scopes


def canonical(scope):
    try:
        return tenmint_scopes.canonical(scope)
    except ValueError:
        return None


with open(os.environ["SCOPE_VECTORS"]) as file:
    scopes = json.load(file)
with open(os.environ["NETWORK_VECTORS"]) as file:
    networks = json.load(file)
with open(os.environ["REVOCATION_VECTORS"]) as file:
    revocations = json.load(file)

wrong, count = [], 0
for case in scopes["parse"]:
    count += 1
    if canonical(case["input"]) != case.get("canonical"):
        wrong.append(case)
for case in scopes["covers"]:
    count += 1
    claims = {"scope": f"x.y {case['held']}"}
    found = [tenmint_scopes.covers(case["held"], case["asked"]), tenmint_scopes.permits(claims, case["asked"])]
    if found != [case["covers"]] * 2:
        wrong.append(case)
for case in networks["cases"]:
    for verdict, addresses in ((True, case["allowed"]), (False, case["refused"])):
        for address in addresses:
            count += 1
            if tenmint_scopes.allows(case["claims"], address) is not verdict:
                wrong.append([case, address])
if tenmint_scopes.MANAGEMENT_ACTIONS != set(scopes["management_actions"]):
    wrong.append("management_actions")
keys = jwt.PyJWKSet.from_dict(revocations["jwks"])


def signed(text):
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
    key = keys[jwt.get_unverified_header(text)["kid"]]
    decoded = jwt.decode_complete(text, key, algorithms=["EdDSA"], options=options)
    return decoded["header"], decoded["payload"]


for case in revocations["cases"]:
    count += 1
    known = tenmint_revocations.Revocations(revocations["issuer"], signed, clock=lambda: revocations["now"])
    for feed in case["feeds"]:
        try:
            known.keep(feed["feed"])
            counts = True
        except Exception:
            counts = False
        if counts is not feed["counts"]:
            wrong.append([case["name"], feed])
    for token in case["tokens"]:
        count += 1
        header, claims = signed(token["token"])
        if known.voids(claims, header["kid"]) is not token["void"]:
            wrong.append([case["name"], token])
print(json.dumps({"count": count, "wrong": wrong}))
