"""Holds the Python helpers against the shared vectors. Prints what differs."""

import json
import os
import sys

sys.path.insert(0, os.environ["HELPERS"])
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
print(json.dumps({"count": count, "wrong": wrong}))
