// Revocation feeds of tenmint, and which tokens they void. Without dependencies: copy this file.
// Checked against revocation-vectors.json by tenmint's own tests.

package example;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.LongSupplier;

/** What an issuer has revoked. */
public final class TenmintRevocations {
    /** What an issuer signed. Numbers are Integer, Long or Instant. */
    public record Signed(Map<String, Object> header, Map<String, Object> claims) {}

    /** In which claim of a token stands what each kind in a feed names. */
    private static final Map<String, String> CLAIM_OF =
            Map.of("keys", "client_id", "organizations", "org", "tokens", "jti", "signing_keys", "");
    private static final int AHEAD = 300;

    private record Feed(long seq, long exp, Map<String, Map<String, Long>> revoked) {}

    private final String issuer;
    private final URI url;
    private final Function<String, Signed> verify;
    private final LongSupplier now;
    private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();
    private volatile Feed held;
    private String tag;

    /**
     * `verify` checks a JWT's signature by the issuer's keys, of a JWKS no older than its max-age, and nothing
     * else; it throws for what does not count. `now` is the present in Unix seconds.
     */
    public TenmintRevocations(String issuer, URI url, Function<String, Signed> verify, LongSupplier now) {
        this.issuer = issuer;
        this.url = url;
        this.verify = verify;
        this.now = now;
    }

    /** Whether a token with these claims, that this key signed, must be refused. */
    public boolean voids(Map<String, Object> claims, String kid) {
        Feed known = held;
        if (known == null) return false;
        Long issued = whole(claims.get("iat"));
        for (var kind : CLAIM_OF.entrySet()) {
            Map<String, Long> listed = known.revoked.get(kind.getKey());
            Object name = kind.getKey().equals("signing_keys") ? kid : claims.get(kind.getValue());
            Long before = listed.isEmpty() ? null : listed.get(alias(String.valueOf(name)));
            if (before != null && (issued == null || issued < before)) return true;
        }
        return false;
    }

    /** Whether it is known at present what is revoked. If not, refuse with 503. */
    public boolean areKnown() {
        Feed known = held;
        return known != null && now.getAsLong() < known.exp;
    }

    /** Takes a feed for what is known, if it counts. Otherwise throws, and changes nothing. */
    public synchronized void keep(String text) {
        Signed signed = verify.apply(text);
        String typ = String.valueOf(signed.header.get("typ")).toLowerCase(Locale.ROOT);
        if (typ.startsWith("application/")) typ = typ.substring("application/".length());
        if (!typ.equals("revocations+jwt") || !issuer.equals(String.valueOf(signed.claims.get("iss")))) {
            throw new IllegalArgumentException("not a revocation feed of this issuer");
        }
        Long issued = whole(signed.claims.get("iat"));
        Long exp = whole(signed.claims.get("exp"));
        Long seq = whole(signed.claims.get("seq"));
        if (issued == null || exp == null || seq == null || !(signed.claims.get("revoked") instanceof Map<?, ?> said)) {
            throw new IllegalArgumentException("not a revocation feed");
        }
        if (exp <= now.getAsLong() || issued > now.getAsLong() + AHEAD) {
            throw new IllegalArgumentException("a revocation feed of another time");
        }
        Map<String, Map<String, Long>> revoked = new HashMap<>();
        for (String kind : CLAIM_OF.keySet()) revoked.put(kind, read(said, kind));
        Feed known = held;
        if (known != null) {
            String kid = alias(String.valueOf(signed.header.get("kid")));
            if (known.revoked.get("signing_keys").containsKey(kid)) {
                throw new IllegalArgumentException("signed by a key that is withdrawn");
            }
            if (seq <= known.seq) {
                // Not newer: it adds to what is known, and takes nothing away.
                known.revoked.forEach((kind, listed) -> listed.forEach(
                        (name, before) -> revoked.get(kind).merge(name, before, Math::max)));
                seq = known.seq;
                exp = known.exp;
            }
        }
        held = new Feed(seq, exp, revoked);
    }

    /** Asks the issuer once. */
    public synchronized void update() throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(url).timeout(Duration.ofSeconds(5));
        if (tag != null && held.exp > now.getAsLong() + 60) request.header("If-None-Match", tag);
        var answer = http.send(request.build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() == 304) return;
        if (answer.statusCode() != 200) throw new IOException("status " + answer.statusCode());
        keep(answer.body());
        tag = answer.headers().firstValue("ETag").orElse(null);
    }

    /** Asks the issuer now, and then again and again. */
    public TenmintRevocations follow(Duration every) throws IOException, InterruptedException {
        update();
        var timer = Executors.newSingleThreadScheduledExecutor(task -> {
            var thread = new Thread(task, "revocations");
            thread.setDaemon(true);
            return thread;
        });
        timer.scheduleWithFixedDelay(() -> {
            try {
                update();
            } catch (IOException | InterruptedException | RuntimeException why) {
                // It is tried again, and what is known ends by itself.
                System.getLogger("revocations").log(System.Logger.Level.WARNING, "the feed was not fetched: " + why);
            }
        }, every.toMillis(), every.toMillis(), TimeUnit.MILLISECONDS);
        return this;
    }

    /** How a feed calls what has this name. */
    static String alias(String name) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(name.getBytes(StandardCharsets.UTF_8));
            return Base64.getUrlEncoder().withoutPadding().encodeToString(Arrays.copyOf(digest, 16));
        } catch (NoSuchAlgorithmException why) {
            throw new IllegalStateException("every JDK has it", why);
        }
    }

    private static Map<String, Long> read(Map<?, ?> revoked, String kind) {
        Object said = revoked.containsKey(kind) ? revoked.get(kind) : Map.of();
        if (!(said instanceof Map<?, ?> listed)) throw new IllegalArgumentException("not a revocation feed: " + kind);
        Map<String, Long> read = new HashMap<>();
        listed.forEach((name, written) -> {
            Long before = whole(written);
            if (before == null) throw new IllegalArgumentException("not a revocation feed: " + kind);
            read.put((String) name, before);
        });
        return read;
    }

    private static Long whole(Object value) {
        if (value instanceof Instant instant) return instant.getEpochSecond();
        return value instanceof Long || value instanceof Integer ? ((Number) value).longValue() : null;
    }
}
