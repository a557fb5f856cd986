// Scopes and networks of tenmint's access tokens. Without dependencies: copy this file.
// Checked against scope-vectors.json and network-vectors.json by tenmint's own tests.

package main

import (
	"net/netip"
	"regexp"
	"strings"
)

// ManagementActions are tenmint's own. The action * does not cover them.
var ManagementActions = strings.Fields(`
	api_keys.read api_keys.create api_keys.update api_keys.revoke api_keys.any_network
	roles.read roles.write signing_keys.read signing_keys.rotate usage.read audit.read tokens.introspect
	organization.read organization.write organizations.read organizations.write
`)

const (
	maxBytes    = 200
	maxNetworks = 100
)

var (
	word    = regexp.MustCompile(`^[a-z0-9_-]+$`)
	segment = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)
)

// Permits says whether a token with these claims may be used for a scope, such as "read:projects/42".
// What is not a scope is not permitted, so that it may be put together from a path.
func Permits(claims map[string]any, asked string) bool {
	scopes, _ := claims["scope"].(string)
	for held := range strings.SplitSeq(scopes, " ") {
		if Covers(held, asked) {
			return true
		}
	}
	return false
}

// Covers says whether everything that one scope permits, the other does too.
func Covers(held, asked string) bool {
	one, isOne := readScope(held)
	other, isOther := readScope(asked)
	return isOne && isOther && actionIncludes(one.action, other.action) && filterIncludes(one.filter, other.filter)
}

// Canonical is the one way to write a scope, if it is one: a string, or what JSON makes of an object
// with action and resource.
func Canonical(written any) (string, bool) {
	var known scope
	ok := false
	switch written := written.(type) {
	case string:
		known, ok = readScope(written)
	case map[string]any:
		action, isText := written["action"].(string)
		resource, hasResource := written["resource"]
		filter, isFilter := resource.(string)
		members := 1
		if hasResource {
			members = 2
		}
		if isText && isFilter == hasResource && len(written) == members {
			known, ok = scopeOf(action, filter, hasResource)
		}
	}
	if known.filter == "" {
		return known.action, ok
	}
	return known.action + ":" + known.filter, ok
}

// Allows says whether a token with these claims may be used from a client's address. Without the claim
// from everywhere. A claim that cannot be made out allows nobody.
func Allows(claims map[string]any, address string) bool {
	claim, isThere := claims["allowed_ip_cidrs"]
	if !isThere {
		return true
	}
	list, _ := claim.([]any)
	client, err := netip.ParseAddr(address)
	if err != nil || client.Zone() != "" || len(list) < 1 || len(list) > maxNetworks {
		return false
	}
	allowed := false
	for _, entry := range list {
		network, ok := readNetwork(entry)
		if !ok {
			return false
		}
		allowed = allowed || network.Contains(client.Unmap())
	}
	return allowed
}

// No filter stands for every resource.
type scope struct{ action, filter string }

func readScope(text string) (scope, bool) {
	action, filter, isFiltered := strings.Cut(text, ":")
	return scopeOf(action, filter, isFiltered)
}

func scopeOf(action, filter string, isFiltered bool) (scope, bool) {
	bytes := len(action)
	if isFiltered {
		bytes += 1 + len(filter)
	}
	if bytes > maxBytes || !isAction(action) {
		return scope{}, false
	}
	if !isFiltered || filter == "*" || filter == "**" || filter == "*/**" {
		return scope{action: action}, true
	}
	segments, _ := split(filter)
	for _, one := range segments {
		if one == "." || one == ".." || one != "*" && !segment.MatchString(one) {
			return scope{}, false
		}
	}
	return scope{action, filter}, true
}

func isAction(action string) bool {
	if action == "*" {
		return true
	}
	for one := range strings.SplitSeq(strings.TrimSuffix(action, ".*"), ".") {
		if !word.MatchString(one) {
			return false
		}
	}
	return true
}

func split(filter string) (segments []string, isOpen bool) {
	filter, isOpen = strings.CutSuffix(filter, "/**")
	return strings.Split(filter, "/"), isOpen
}

func actionIncludes(held, asked string) bool {
	if held != "*" {
		words, isOpen := strings.CutSuffix(held, "*")
		return held == asked || isOpen && strings.HasPrefix(asked, words)
	}
	words, isOpen := strings.CutSuffix(asked, ".*")
	for _, action := range ManagementActions {
		if action == asked || isOpen && strings.HasPrefix(action, words+".") {
			return false
		}
	}
	return true
}

func filterIncludes(held, asked string) bool {
	if held == "" || asked == "" {
		return held == ""
	}
	one, oneIsOpen := split(held)
	other, otherIsOpen := split(asked)
	if len(other) < len(one) {
		return false
	}
	for at, segment := range one {
		if segment != "*" && segment != other[at] {
			return false
		}
	}
	return oneIsOpen || len(other) == len(one) && !otherIsOpen
}

// A bare address is a network of its own. IPv4 is IPv4, also where IPv6 writes it down.
func readNetwork(entry any) (netip.Prefix, bool) {
	text, _ := entry.(string)
	network, err := netip.ParsePrefix(text)
	if !strings.Contains(text, "/") {
		var address netip.Addr
		address, err = netip.ParseAddr(text)
		network = netip.PrefixFrom(address, address.BitLen())
	}
	// A network is written by its first address.
	if err != nil || strings.Contains(text, "%") || network != network.Masked() {
		return netip.Prefix{}, false
	}
	if network.Addr().Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	return network, true
}
