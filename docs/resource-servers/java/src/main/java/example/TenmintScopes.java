// Scopes and networks of tenmint's access tokens. Without dependencies: copy this file.
// Checked against scope-vectors.json and network-vectors.json by tenmint's own tests.

package example;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** What a token permits, and from where it may be used. */
public final class TenmintScopes {
    /** Actions of tenmint's own. The action * does not cover them. */
    public static final Set<String> MANAGEMENT_ACTIONS = Set.of(
            "api_keys.read", "api_keys.create", "api_keys.update", "api_keys.revoke", "api_keys.any_network",
            "roles.read", "roles.write", "signing_keys.read", "signing_keys.rotate", "usage.read", "audit.read",
            "tokens.introspect", "organization.read", "organization.write", "organizations.read",
            "organizations.write");

    private static final int MAX_BYTES = 200;
    private static final int MAX_NETWORKS = 100;
    private static final Pattern WORD = Pattern.compile("[a-z0-9_-]+");
    private static final Pattern SEGMENT = Pattern.compile("[A-Za-z0-9._~-]+");
    private static final Pattern DECIMAL = Pattern.compile("0|[1-9][0-9]{0,2}");
    private static final Pattern GROUP = Pattern.compile("[0-9A-Fa-f]{1,4}");
    private static final Set<String> EVERYTHING = Set.of("*", "**", "*/**");

    private TenmintScopes() {}

    /**
     * Whether a token with these claims may be used for a scope, such as "read:projects/42". What is not a
     * scope is not permitted, so that it may be put together from a path.
     */
    public static boolean permits(Map<String, Object> claims, String asked) {
        if (!(claims.get("scope") instanceof String scopes)) return false;
        for (String held : scopes.split(" ")) {
            if (covers(held, asked)) return true;
        }
        return false;
    }

    /** Whether everything that one scope permits, the other does too. */
    public static boolean covers(String held, String asked) {
        Scope one = read(held), other = read(asked);
        return one != null && other != null
                && actionIncludes(one.action, other.action) && filterIncludes(one.filter, other.filter);
    }

    /** The one way to write a scope: a string, or a map with action and resource. Null for what is none. */
    public static String canonical(Object written) {
        Scope known = null;
        if (written instanceof String text) known = read(text);
        if (written instanceof Map<?, ?> halves && halves.get("action") instanceof String action) {
            boolean isFiltered = halves.containsKey("resource");
            boolean isWhole = halves.size() == (isFiltered ? 2 : 1);
            if (isWhole && !isFiltered) known = scope(action, null);
            if (isWhole && halves.get("resource") instanceof String filter) known = scope(action, filter);
        }
        if (known == null) return null;
        return known.filter == null ? known.action : known.action + ":" + known.filter;
    }

    /**
     * Whether a token with these claims may be used from a client's address. Without the claim from
     * everywhere. A claim that cannot be made out allows nobody.
     */
    public static boolean allows(Map<String, Object> claims, String address) {
        if (!claims.containsKey("allowed_ip_cidrs")) return true;
        if (!(claims.get("allowed_ip_cidrs") instanceof List<?> list)) return false;
        if (list.isEmpty() || list.size() > MAX_NETWORKS) return false;
        Address client = unmapped(readAddress(address), 0);
        if (client == null) return false;
        boolean isAllowed = false;
        for (Object entry : list) {
            Network network = readNetwork(entry);
            if (network == null) return false;
            isAllowed |= network.start.bits == client.bits
                    && client.value.shiftRight(network.free).equals(network.start.value.shiftRight(network.free));
        }
        return isAllowed;
    }

    /** Without a filter it is about every resource. */
    private record Scope(String action, String filter) {}

    private static Scope read(String text) {
        int colon = text.indexOf(':');
        return colon < 0 ? scope(text, null) : scope(text.substring(0, colon), text.substring(colon + 1));
    }

    private static Scope scope(String action, String filter) {
        if (action.length() + (filter == null ? 0 : filter.length() + 1) > MAX_BYTES) return null;
        String words = action.endsWith(".*") ? action.substring(0, action.length() - 2) : action;
        for (String word : words.split("\\.", -1)) {
            if (!action.equals("*") && !WORD.matcher(word).matches()) return null;
        }
        if (filter == null || EVERYTHING.contains(filter)) return new Scope(action, null);
        for (String segment : segments(filter)) {
            boolean isPlain = SEGMENT.matcher(segment).matches() && !segment.equals(".") && !segment.equals("..");
            if (!isPlain && !segment.equals("*")) return null;
        }
        return new Scope(action, filter);
    }

    private static boolean isOpen(String filter) {
        return filter.endsWith("/**");
    }

    private static String[] segments(String filter) {
        return (isOpen(filter) ? filter.substring(0, filter.length() - 3) : filter).split("/", -1);
    }

    private static boolean actionIncludes(String held, String asked) {
        if (!held.equals("*")) {
            return held.equals(asked)
                    || held.endsWith(".*") && asked.startsWith(held.substring(0, held.length() - 1));
        }
        if (asked.equals("*") || !asked.endsWith(".*")) return !MANAGEMENT_ACTIONS.contains(asked);
        String words = asked.substring(0, asked.length() - 1);
        return MANAGEMENT_ACTIONS.stream().noneMatch(action -> action.startsWith(words));
    }

    private static boolean filterIncludes(String held, String asked) {
        if (held == null || asked == null) return held == null;
        String[] one = segments(held), other = segments(asked);
        if (other.length < one.length) return false;
        for (int at = 0; at < one.length; at++) {
            if (!one[at].equals("*") && !one[at].equals(other[at])) return false;
        }
        return isOpen(held) || other.length == one.length && !isOpen(asked);
    }

    /** An address as a number, and how many bits it has. */
    private record Address(BigInteger value, int bits) {}

    /** A network by its first address, and how many bits are free. */
    private record Network(Address start, int free) {}

    private static Network readNetwork(Object entry) {
        if (!(entry instanceof String text)) return null;
        String[] halves = text.split("/", -1);
        Address start = readAddress(halves[0]);
        if (start == null || halves.length > 2) return null;
        int free = 0;
        if (halves.length == 2) {
            if (!DECIMAL.matcher(halves[1]).matches()) return null;
            free = start.bits - Integer.parseInt(halves[1]);
        }
        // A network is written by its first address.
        if (free < 0 || !start.value.shiftRight(free).shiftLeft(free).equals(start.value)) return null;
        return new Network(unmapped(start, free), free);
    }

    /** IPv4 as IPv4, also where IPv6 writes it down: in ::ffff:0:0/96. */
    private static Address unmapped(Address address, int free) {
        if (address == null || address.bits != 128 || free > 32) return address;
        if (!address.value.shiftRight(32).equals(BigInteger.valueOf(0xffff))) return address;
        return new Address(address.value.and(BigInteger.valueOf(0xffffffffL)), 32);
    }

    /** No name is looked up, as the JDK's own classes might. */
    private static Address readAddress(String text) {
        if (text == null) return null;
        Long v4 = readIPv4(text);
        if (v4 != null) return new Address(BigInteger.valueOf(v4), 32);
        BigInteger v6 = readIPv6(text);
        return v6 == null ? null : new Address(v6, 128);
    }

    private static Long readIPv4(String text) {
        String[] parts = text.split("\\.", -1);
        if (parts.length != 4) return null;
        long value = 0;
        for (String part : parts) {
            if (!DECIMAL.matcher(part).matches() || Integer.parseInt(part) > 255) return null;
            value = value << 8 | Integer.parseInt(part);
        }
        return value;
    }

    private static BigInteger readIPv6(String text) {
        // The last two groups may be written as IPv4.
        int colon = text.lastIndexOf(':');
        if (text.indexOf('.') >= 0) {
            Long v4 = readIPv4(text.substring(colon + 1));
            if (colon < 0 || v4 == null) return null;
            text = text.substring(0, colon + 1) + Long.toHexString(v4 >> 16) + ":" + Long.toHexString(v4 & 0xffff);
        }
        String[] halves = text.split("::", -1);
        List<String> groups = groups(halves[0]);
        List<String> behind = halves.length == 2 ? groups(halves[1]) : List.of();
        int zeros = 8 - groups.size() - behind.size();
        if (halves.length > 2 || (halves.length == 2 ? zeros < 1 : zeros != 0)) return null;
        for (int at = 0; at < zeros; at++) groups.add("0");
        groups.addAll(behind);
        BigInteger value = BigInteger.ZERO;
        for (String group : groups) {
            if (!GROUP.matcher(group).matches()) return null;
            value = value.shiftLeft(16).or(new BigInteger(group, 16));
        }
        return value;
    }

    private static List<String> groups(String half) {
        return new ArrayList<>(half.isEmpty() ? List.of() : List.of(half.split(":", -1)));
    }
}
