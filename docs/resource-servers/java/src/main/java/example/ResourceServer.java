package example;

import java.util.Map;
import java.util.regex.Pattern;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.ResponseEntity;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;

/** A resource server on Spring Boot: its routes take tokens that tenmint issued, and nothing else. */
@SpringBootApplication
@RestController
public class ResourceServer {
    private static final Pattern PLAIN = Pattern.compile("[A-Za-z0-9._~*:/-]+");

    @Value("${AUDIENCE}")
    private String audience;

    public static void main(String[] arguments) {
        SpringApplication.run(ResourceServer.class, arguments);
    }

    @GetMapping("/whoami")
    Map<String, Object> whoami(@AuthenticationPrincipal Jwt token) {
        return Map.of("key", token.getClaim("client_id"), "organization", token.getClaim("org"));
    }

    @GetMapping("/files")
    Map<String, Object> files(@AuthenticationPrincipal Jwt token) {
        require(token, "files.read");
        return Map.of("files", new String[0]);
    }

    @GetMapping("/projects/{project}")
    Map<String, Object> project(@AuthenticationPrincipal Jwt token, @PathVariable String project) {
        require(token, "read:projects/" + project);
        return Map.of("project", project);
    }

    private static void require(Jwt token, String scope) {
        if (!TenmintScopes.permits(token.getClaims(), scope)) throw new MissingScope(scope);
    }

    private static class MissingScope extends RuntimeException {
        MissingScope(String scope) {
            super(scope);
        }
    }

    /** RFC 6750, section 3. */
    @ExceptionHandler
    ResponseEntity<Map<String, Object>> refuse(MissingScope missing) {
        String challenge = "Bearer realm=\"" + audience + "\", error=\"insufficient_scope\"";
        // What a stranger put into the path is not put into a header.
        if (PLAIN.matcher(missing.getMessage()).matches()) challenge += ", scope=\"" + missing.getMessage() + "\"";
        return ResponseEntity.status(403).header("WWW-Authenticate", challenge)
                .body(Map.of("error", "insufficient_scope", "error_description", "this needs another scope"));
    }
}
