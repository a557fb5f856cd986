package example;

import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.Map;
import java.util.function.Function;

import jakarta.servlet.DispatcherType;

import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.jwk.source.RateLimitReachedException;
import com.nimbusds.jose.proc.SecurityContext;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.NestedExceptionUtils;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.authorization.AuthorizationDecision;
import org.springframework.security.config.ObjectPostProcessor;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.core.OAuth2Error;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidatorResult;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtAudienceValidator;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtException;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.server.resource.BearerTokenErrors;
import org.springframework.security.oauth2.server.resource.InvalidBearerTokenException;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;
import org.springframework.security.oauth2.server.resource.web.BearerTokenAuthenticationEntryPoint;
import org.springframework.security.oauth2.server.resource.web.BearerTokenResolver;
import org.springframework.security.oauth2.server.resource.web.DefaultBearerTokenResolver;
import org.springframework.security.oauth2.server.resource.web.authentication.BearerTokenAuthenticationFilter;
import org.springframework.security.web.AuthenticationEntryPoint;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.authentication.AuthenticationEntryPointFailureHandler;
import org.springframework.web.client.RestClient;

/** Which tokens count, and how the others are refused. */
@Configuration
class Tokens {
    private final String issuer;
    private final String audience;

    Tokens(@Value("${ISSUER}") String issuer, @Value("${AUDIENCE}") String audience) {
        this.issuer = issuer;
        this.audience = audience;
    }

    @Bean
    SecurityFilterChain onlyWithTokens(HttpSecurity http) throws Exception {
        return http
                .authorizeHttpRequests(requests -> requests
                        // What was refused before anybody was asked for a token keeps its own status.
                        .dispatcherTypeMatchers(DispatcherType.ERROR).permitAll()
                        // The peer's address. Behind a proxy this is the proxy's: then have Tomcat's
                        // RemoteIpValve trust that proxy, and no other.
                        .anyRequest().access((caller, asked) ->
                                new AuthorizationDecision(caller.get() instanceof JwtAuthenticationToken it
                                        && TenmintScopes.allows(it.getToken().getClaims(),
                                                asked.getRequest().getRemoteAddr()))))
                .exceptionHandling(no -> no.accessDeniedHandler((request, answer, why) -> answer.setStatus(403)))
                .oauth2ResourceServer(tokens -> tokens
                        .jwt(jwt -> jwt.decoder(tokenDecoder()))
                        .bearerTokenResolver(oneHeader())
                        .authenticationEntryPoint(challenge())
                        .accessDeniedHandler((request, answer, why) -> answer.setStatus(403))
                        .protectedResourceMetadata(metadata -> metadata
                                .protectedResourceMetadataCustomizer(it -> it.authorizationServer(issuer)))
                        .withObjectPostProcessor(unavailableIsNoError()))
                // Nothing is kept between requests, so nothing can be forged across sites.
                .sessionManagement(sessions -> sessions.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
                .csrf(csrf -> csrf.disable())
                .build();
    }

    @Bean
    JwtDecoder tokenDecoder() {
        var metadata = metadata();
        var keys = keys(metadata);
        var revoked = revocations(metadata, decoder(keys));
        var tokens = decoder(keys);
        tokens.setJwtValidator(new DelegatingOAuth2TokenValidator<>(
                new JwtTypeValidator("at+jwt", "application/at+jwt"),
                new JwtIssuerValidator(issuer),
                new JwtAudienceValidator(audience),
                new JwtTimestampValidator(Duration.ofSeconds(5)),
                isThere("exp"), isThere("iat"), isThere("sub"), isThere("client_id"), isThere("jti"),
                isNotVoid(revoked)));
        return written -> {
            var token = tokens.decode(written);
            if (!revoked.areKnown()) throw new JwtException("it is not known what is revoked");
            return token;
        };
    }

    /** Of these algorithms, the one that the key is for. Spring knows no EdDSA. */
    private static NimbusJwtDecoder decoder(JWKSource<SecurityContext> keys) {
        return NimbusJwtDecoder.withJwkSource(keys)
                .jwsAlgorithms(known -> Collections.addAll(known, SignatureAlgorithm.ES256, SignatureAlgorithm.RS256))
                .build();
    }

    private static OAuth2TokenValidator<Jwt> isNotVoid(TenmintRevocations revoked) {
        var why = new OAuth2Error("invalid_token", "this token is revoked", null);
        return token -> revoked.voids(token.getClaims(), String.valueOf(token.getHeaders().get("kid")))
                ? OAuth2TokenValidatorResult.failure(why)
                : OAuth2TokenValidatorResult.success();
    }

    /** Asked every five seconds: tokens of a revoked key do not count until their end. */
    private TenmintRevocations revocations(Map<?, ?> metadata, NimbusJwtDecoder anything) {
        anything.setJwtValidator(token -> OAuth2TokenValidatorResult.success());
        Function<String, TenmintRevocations.Signed> verify = text -> {
            var feed = anything.decode(text);
            return new TenmintRevocations.Signed(feed.getHeaders(), feed.getClaims());
        };
        var url = URI.create((String) metadata.get("tenmint_revocations_uri"));
        try {
            return new TenmintRevocations(issuer, url, verify, () -> Instant.now().getEpochSecond())
                    .follow(Duration.ofSeconds(5));
        } catch (IOException | InterruptedException why) {
            throw new IllegalStateException("what is revoked cannot be fetched", why);
        }
    }

    private static OAuth2TokenValidator<Jwt> isThere(String claim) {
        return new JwtClaimValidator<Object>(claim, value -> value != null);
    }

    /** Once, at the start: they say where the keys are, and what is revoked. */
    private Map<?, ?> metadata() {
        Map<?, ?> metadata = RestClient.create().get().uri(issuer + "/.well-known/openid-configuration")
                .retrieve().body(Map.class);
        if (metadata == null || !issuer.equals(metadata.get("issuer"))) {
            throw new IllegalStateException("the metadata are of another issuer");
        }
        return metadata;
    }

    /**
     * Held for five minutes, and an hour longer while the issuer cannot be reached; a key that is not known is
     * looked for, but not without end: strangers can make up names.
     */
    private static JWKSource<SecurityContext> keys(Map<?, ?> metadata) {
        try {
            return JWKSourceBuilder.<SecurityContext>create(URI.create((String) metadata.get("jwks_uri")).toURL())
                    .cache(300_000, 5_000).rateLimited(10_000).outageTolerant(3_600_000).build();
        } catch (MalformedURLException why) {
            throw new IllegalStateException(why);
        }
    }

    /** Spring would pass over all but the first of several. */
    private static BearerTokenResolver oneHeader() {
        var resolver = new DefaultBearerTokenResolver();
        return request -> {
            if (Collections.list(request.getHeaders("Authorization")).size() > 1) {
                throw new OAuth2AuthenticationException(BearerTokenErrors.invalidRequest("send one Authorization header"));
            }
            return resolver.resolve(request);
        };
    }

    private AuthenticationEntryPoint challenge() {
        var bearer = new BearerTokenAuthenticationEntryPoint();
        bearer.setRealmName(audience);
        return (request, answer, why) -> {
            if (!(why instanceof AuthenticationServiceException)) {
                bearer.commence(request, answer, why);
            } else if (NestedExceptionUtils.getRootCause(why) instanceof RateLimitReachedException) {
                // It was looked for a moment ago.
                bearer.commence(request, answer, new InvalidBearerTokenException("its key is not known"));
            } else {
                // The keys cannot be fetched and none are held, or it is not known what is revoked.
                answer.setHeader("Retry-After", "2");
                answer.setStatus(503);
            }
        };
    }

    /** By itself Spring makes 500 of keys that cannot be fetched. */
    private ObjectPostProcessor<BearerTokenAuthenticationFilter> unavailableIsNoError() {
        var handler = new AuthenticationEntryPointFailureHandler(challenge());
        handler.setRethrowAuthenticationServiceException(false);
        return new ObjectPostProcessor<>() {
            @Override
            public <O extends BearerTokenAuthenticationFilter> O postProcess(O filter) {
                filter.setAuthenticationFailureHandler(handler);
                return filter;
            }
        };
    }
}
