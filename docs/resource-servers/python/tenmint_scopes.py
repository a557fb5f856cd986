"""Scopes and networks of tenmint's access tokens. Without dependencies: copy this file.

Checked against scope-vectors.json and network-vectors.json by tenmint's own tests.
"""

import ipaddress
import re

# Actions of tenmint's own. The action * does not cover them.
MANAGEMENT_ACTIONS = frozenset(
    """
    api_keys.read api_keys.create api_keys.update api_keys.revoke api_keys.any_network
    roles.read roles.write signing_keys.read signing_keys.rotate usage.read audit.read tokens.introspect
    organization.read organization.write organizations.read organizations.write
    """.split()
)

_MAX_BYTES = 200
_MAX_NETWORKS = 100
_WORD = re.compile(r"[a-z0-9_-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
_PREFIX_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")


def permits(claims, asked):
    """Whether a token with these claims may be used for a scope, such as "read:projects/42".

    What is not a scope is not permitted, so that it may be put together from a path.
    """
    scopes = claims.get("scope")
    if not isinstance(scopes, str):
        return False
    return any(covers(held, asked) for held in scopes.split(" "))


def covers(held, asked):
    """Whether everything that one scope permits, the other does too."""
    try:
        (held_action, held_filter), (asked_action, asked_filter) = _read(held), _read(asked)
    except ValueError:
        return False
    return _action_includes(held_action, asked_action) and _filter_includes(held_filter, asked_filter)


def canonical(scope):
    """The one way to write a scope. Raises ValueError for what is none."""
    action, resource = _read(scope)
    return action if resource is None else f"{action}:{resource}"


def allows(claims, address):
    """Whether a token with these claims may be used from a client's address, a string.

    Without the claim from everywhere. A claim that cannot be made out allows nobody.
    """
    if "allowed_ip_cidrs" not in claims:
        return True
    networks = claims["allowed_ip_cidrs"]
    if not isinstance(networks, list) or not 1 <= len(networks) <= _MAX_NETWORKS:
        return False
    try:
        address = _address(address)
        address = getattr(address, "ipv4_mapped", None) or address
        networks = [_network(text) for text in networks]
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in networks)


def _read(scope):
    if isinstance(scope, str):
        action, colon, resource = scope.partition(":")
        resource = resource if colon else None
    elif isinstance(scope, dict) and "action" in scope and scope.keys() <= {"action", "resource"}:
        if not all(isinstance(half, str) for half in scope.values()):
            raise ValueError("the halves of a scope are strings")
        action, resource = scope["action"], scope.get("resource")
    else:
        raise ValueError("a scope is a string, or an object with an action")
    if len(action) + (0 if resource is None else len(resource) + 1) > _MAX_BYTES:
        raise ValueError("the scope is too long")
    return _read_action(action), None if resource is None else _read_filter(resource)


def _read_action(action):
    words = action.removesuffix(".*")
    if action != "*" and not all(_WORD.fullmatch(word) for word in words.split(".")):
        raise ValueError("not an action")
    return action


def _read_filter(resource):
    if resource in ("*", "**", "*/**"):
        return None
    *segments, last = resource.split("/")
    if last != "**":
        segments.append(last)
    for segment in segments:
        if segment in (".", "..") or not (segment == "*" or _SEGMENT.fullmatch(segment)):
            raise ValueError("not a resource filter")
    return resource


def _action_includes(held, asked):
    if held == "*":
        if asked == "*":
            return True
        if asked.endswith(".*"):
            return not any(action.startswith(asked[:-1]) for action in MANAGEMENT_ACTIONS)
        return asked not in MANAGEMENT_ACTIONS
    if held.endswith(".*"):
        return asked.startswith(held[:-1])
    return held == asked


def _filter_includes(held, asked):
    if held is None or asked is None:
        return held is None
    held_is_open, asked_is_open = held.endswith("/**"), asked.endswith("/**")
    held = held.removesuffix("/**").split("/")
    asked = asked.removesuffix("/**").split("/")
    if len(asked) < len(held):
        return False
    if not all(one == "*" or one == other for one, other in zip(held, asked)):
        return False
    return held_is_open or (len(asked) == len(held) and not asked_is_open)


def _address(text):
    if not isinstance(text, str) or "%" in text:
        raise ValueError("not an address")
    return ipaddress.ip_address(text)


def _network(text):
    if not isinstance(text, str):
        raise ValueError("not a network")
    address, slash, bits = text.partition("/")
    address = _address(address)
    if slash and not _PREFIX_LENGTH.fullmatch(bits):
        raise ValueError("not a prefix length")
    bits = int(bits) if slash else address.max_prefixlen
    network = ipaddress.ip_network(f"{address}/{bits}")
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None and bits >= 96:
        return ipaddress.ip_network(f"{mapped}/{bits - 96}")
    return network
