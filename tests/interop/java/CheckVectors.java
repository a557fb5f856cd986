package example;

import java.nio.file.Path;
import java.util.ArrayList;
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
        Set<?> known = JSON.treeToValue(scopes.get("management_actions"), Set.class);
        if (!TenmintScopes.MANAGEMENT_ACTIONS.equals(known)) wrong.add("management_actions");
        System.out.println(JSON.writeValueAsString(Map.of("count", count, "wrong", wrong)));
    }
}
