package example;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Holds the Java helper against the shared vectors. Prints what differs. */
public final class CheckVectors {
    private static final JsonMapper JSON = new JsonMapper();

    public static void main(String[] arguments) {
        JsonNode scopes = JSON.readTree(Path.of(System.getenv("SCOPE_VECTORS")));
        JsonNode networks = JSON.readTree(Path.of(System.getenv("NETWORK_VECTORS")));
        List<Object> wrong = new ArrayList<>();
        int count = 0;
        for (JsonNode vector : scopes.get("parse")) {
            count += 1;
            Object input = JSON.treeToValue(vector.get("input"), Object.class);
            String canonical = vector.has("canonical") ? vector.get("canonical").asString() : null;
            if (!Objects.equals(TenmintScopes.canonical(input), canonical)) wrong.add(vector);
        }
        for (JsonNode vector : scopes.get("covers")) {
            count += 1;
            String held = vector.get("held").asString(), asked = vector.get("asked").asString();
            boolean covers = vector.get("covers").asBoolean();
            Map<String, Object> claims = Map.of("scope", "x.y " + held);
            boolean isRight = TenmintScopes.covers(held, asked) == covers
                    && TenmintScopes.permits(claims, asked) == covers;
            if (!isRight) wrong.add(vector);
        }
        for (JsonNode vector : networks.get("cases")) {
            @SuppressWarnings("unchecked")
            Map<String, Object> claims = JSON.treeToValue(vector.get("claims"), Map.class);
            for (String verdict : List.of("allowed", "refused")) {
                for (JsonNode address : vector.get(verdict)) {
                    count += 1;
                    boolean isAllowed = TenmintScopes.allows(claims, address.asString());
                    if (isAllowed != verdict.equals("allowed")) wrong.add(List.of(vector, address));
                }
            }
        }
        JsonNode revocations = JSON.readTree(Path.of(System.getenv("REVOCATION_VECTORS")));
        for (JsonNode vector : revocations.get("cases")) {
            long now = revocations.get("now").asLong();
            var known = new TenmintRevocations(revocations.get("issuer").asString(), URI.create("http://127.0.0.1"),
                    text -> signed(revocations.get("jwks").get("keys"), text), () -> now);
            for (JsonNode feed : vector.get("feeds")) {
                count += 1;
                if (counts(known, feed.get("feed").asString()) != feed.get("counts").asBoolean()) wrong.add(feed);
            }
            for (JsonNode token : vector.get("tokens")) {
                count += 1;
                var signed = signed(revocations.get("jwks").get("keys"), token.get("token").asString());
                boolean isVoid = known.voids(signed.claims(), (String) signed.header().get("kid"));
                if (isVoid != token.get("void").asBoolean()) wrong.add(token);
            }
        }
        Set<?> known = JSON.treeToValue(scopes.get("management_actions"), Set.class);
        if (!TenmintScopes.MANAGEMENT_ACTIONS.equals(known)) wrong.add("management_actions");
        System.out.println(JSON.writeValueAsString(Map.of("count", count, "wrong", wrong)));
    }

    private static boolean counts(TenmintRevocations known, String feed) {
        try {
            known.keep(feed);
            return true;
        } catch (RuntimeException why) {
            return false;
        }
    }

    /** Header and claims of what one of these Ed25519 keys signed. */
    @SuppressWarnings("unchecked")
    private static TenmintRevocations.Signed signed(JsonNode keys, String text) {
        String[] parts = text.split("\\.");
        Base64.Decoder base64 = Base64.getUrlDecoder();
        Map<String, Object> header = JSON.readValue(base64.decode(parts[0]), Map.class);
        try {
            for (JsonNode key : keys) {
                if (!key.get("kid").asString().equals(header.get("kid"))) continue;
                // What comes before the key itself in SubjectPublicKeyInfo.
                byte[] prefix = HexFormat.of().parseHex("302a300506032b6570032100");
                byte[] der = Arrays.copyOf(prefix, 44);
                System.arraycopy(base64.decode(key.get("x").asString()), 0, der, 12, 32);
                Signature signature = Signature.getInstance("Ed25519");
                signature.initVerify(KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(der)));
                signature.update((parts[0] + "." + parts[1]).getBytes(StandardCharsets.UTF_8));
                if (signature.verify(base64.decode(parts[2]))) {
                    return new TenmintRevocations.Signed(header, JSON.readValue(base64.decode(parts[1]), Map.class));
                }
            }
        } catch (GeneralSecurityException why) {
            throw new IllegalArgumentException(why);
        }
        throw new IllegalArgumentException("not signed by any of the keys");
    }
}
