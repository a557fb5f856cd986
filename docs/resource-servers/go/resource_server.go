// A resource server on net/http: its routes take tokens that tenmint issued, and nothing else.
//
//	ISSUER=https://auth.example AUDIENCE=https://api.example go run .
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

var issuer, audience = os.Getenv("ISSUER"), os.Getenv("AUDIENCE")

func main() {
	keys, revoked, err := fetchKeys()
	if err != nil {
		log.Fatal(err)
	}
	// Tokens of a revoked key do not count until their end.
	if err := revoked.Follow(5 * time.Second); err != nil {
		log.Fatal(err)
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /whoami", func(answer http.ResponseWriter, request *http.Request) {
		claims := callerOf(request)
		say(answer, 200, map[string]any{"key": claims["client_id"], "organization": claims["org"]})
	})
	routes.HandleFunc("GET /files", func(answer http.ResponseWriter, request *http.Request) {
		if require(answer, request, "files.read") {
			say(answer, 200, map[string]any{"files": []string{}})
		}
	})
	routes.HandleFunc("GET /projects/{project}", func(answer http.ResponseWriter, request *http.Request) {
		project := request.PathValue("project")
		if require(answer, request, "read:projects/"+project) {
			say(answer, 200, map[string]any{"project": project})
		}
	})
	server := http.Server{
		Addr:              "127.0.0.1:" + cmp.Or(os.Getenv("PORT"), "8090"),
		Handler:           authenticated(keys, revoked, routes),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

// The keys of the issuer, kept fresh.
type keys struct {
	keyfunc.Keyfunc
	// When they last came, in Unix seconds.
	fetched atomic.Int64
}

const (
	maxAge   = 5 * time.Minute  // how long they are held, as tenmint says
	cooldown = 10 * time.Second // between two looks for a key that is not known: strangers make up names
	staleFor = time.Hour        // how long they count on when the issuer cannot be reached
)

// Once, at the start: the metadata say where the keys are, and what is revoked.
func fetchKeys() (*keys, *Revocations, error) {
	if issuer == "" || audience == "" {
		return nil, nil, errors.New("say ISSUER and AUDIENCE")
	}
	found := &keys{}
	client := &http.Client{Timeout: 5 * time.Second, Transport: found}
	response, err := client.Get(issuer + "/.well-known/openid-configuration")
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	var metadata struct {
		Issuer      string `json:"issuer"`
		JWKS        string `json:"jwks_uri"`
		Revocations string `json:"tenmint_revocations_uri"`
	}
	if err := json.NewDecoder(response.Body).Decode(&metadata); err != nil {
		return nil, nil, fmt.Errorf("the metadata of %s: %w", issuer, err)
	}
	if metadata.Issuer != issuer {
		return nil, nil, fmt.Errorf("the metadata are those of %q", metadata.Issuer)
	}
	mustBeThere := false
	found.Keyfunc, err = keyfunc.NewDefaultOverrideCtx(context.Background(), []string{metadata.JWKS}, keyfunc.Override{
		Client:                    client,
		NoErrorReturnFirstHTTPReq: &mustBeThere,
		RefreshInterval:           maxAge,
		RefreshUnknownKID:         rate.NewLimiter(rate.Every(cooldown), 1),
		RateLimitWaitMax:          5 * time.Second,
	})
	revoked := &Revocations{
		Issuer: issuer,
		URL:    metadata.Revocations,
		Verify: found.freshlySigned,
		Now:    func() int64 { return time.Now().Unix() },
	}
	return found, revoked, err
}

// RoundTrip notes when the issuer last answered.
func (keys *keys) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(request)
	if err == nil && response.StatusCode == 200 {
		keys.fetched.Store(time.Now().Unix())
	}
	return response, err
}

var algorithms = jwt.WithValidMethods([]string{"ES256", "EdDSA", "RS256"}) // of these, the one that the key is for

var anything = jwt.NewParser(algorithms, jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())

// Header and claims of whatever the issuer signed.
func (keys *keys) signed(text string) (header, claims map[string]any, err error) {
	said := jwt.MapClaims{}
	token, err := anything.ParseWithClaims(text, said, keys.named)
	if err != nil {
		return nil, nil, err
	}
	return token.Header, said, nil
}

// The same by keys that came lately: one that was withdrawn must not say that nothing is revoked.
func (keys *keys) freshlySigned(text string) (header, claims map[string]any, err error) {
	if keys.age() > maxAge+time.Minute {
		return nil, nil, errors.New("the keys are old")
	}
	return keys.signed(text)
}

func (keys *keys) age() time.Duration {
	return time.Since(time.Unix(keys.fetched.Load(), 0))
}

func (keys *keys) named(token *jwt.Token) (any, error) {
	if kid, _ := token.Header["kid"].(string); kid == "" {
		return nil, errors.New("no key is named")
	}
	return keys.Keyfunc.Keyfunc(token)
}

var tokens = jwt.NewParser(
	algorithms,
	jwt.WithIssuer(issuer),
	jwt.WithAudience(audience),
	jwt.WithExpirationRequired(),
	jwt.WithIssuedAt(),
	jwt.WithLeeway(5*time.Second),
	jwt.WithStrictDecoding(),
)

// Lets requests through that bring a token, with its claims.
func authenticated(keys *keys, revoked *Revocations, next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		headers := request.Header.Values("Authorization")
		if len(headers) > 1 {
			refuse(answer, 400, "invalid_request", "send one Authorization header", "")
			return
		}
		scheme, written, _ := strings.Cut(strings.Join(headers, ""), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			refuse(answer, 401, "", "", "")
			return
		}
		if keys.age() > maxAge+staleFor || !revoked.AreKnown() {
			answer.Header().Set("Retry-After", "2")
			say(answer, 503, map[string]any{"error": "temporarily_unavailable"})
			return
		}
		claims, kid, err := verify(keys, strings.TrimSpace(written))
		if err != nil || revoked.Voids(claims, kid) {
			refuse(answer, 401, "invalid_token", "this token does not count here, or no longer", "")
			return
		}
		// The peer's address. Behind a proxy this is the proxy's: then read the header that your proxy,
		// and nobody else, sets.
		address, _, _ := net.SplitHostPort(request.RemoteAddr)
		if !Allows(claims, address) {
			say(answer, 403, map[string]any{"error": "access_denied"})
			return
		}
		next.ServeHTTP(answer, request.WithContext(context.WithValue(request.Context(), caller{}, map[string]any(claims))))
	})
}

// The claims of a token, and which key signed it.
func verify(keys *keys, written string) (claims jwt.MapClaims, kid string, err error) {
	claims = jwt.MapClaims{}
	token, err := tokens.ParseWithClaims(written, claims, keys.named)
	if err != nil {
		return nil, "", err
	}
	typ, _ := token.Header["typ"].(string)
	if strings.TrimPrefix(strings.ToLower(typ), "application/") != "at+jwt" {
		return nil, "", errors.New("this is no access token")
	}
	for _, name := range []string{"sub", "client_id", "jti"} {
		if text, _ := claims[name].(string); text == "" {
			return nil, "", fmt.Errorf("%s is missing", name)
		}
	}
	kid, _ = token.Header["kid"].(string)
	return claims, kid, nil
}

type caller struct{}

// The claims of the token that came with a request.
func callerOf(request *http.Request) map[string]any {
	claims, _ := request.Context().Value(caller{}).(map[string]any)
	return claims
}

var plain = regexp.MustCompile(`^[A-Za-z0-9._~*:/-]+$`)

// Whether the caller holds a scope. If not, the answer is given.
func require(answer http.ResponseWriter, request *http.Request, scope string) bool {
	if Permits(callerOf(request), scope) {
		return true
	}
	if !plain.MatchString(scope) {
		scope = "" // What a stranger put into the path is not put into a header.
	}
	refuse(answer, 403, "insufficient_scope", "this needs another scope", scope)
	return false
}

// RFC 6750, section 3.
func refuse(answer http.ResponseWriter, status int, code, description, scope string) {
	challenge := fmt.Sprintf("Bearer realm=%q", audience)
	for _, said := range [][2]string{{"error", code}, {"error_description", description}, {"scope", scope}} {
		if said[1] != "" {
			challenge += fmt.Sprintf(", %s=%q", said[0], said[1])
		}
	}
	answer.Header().Set("WWW-Authenticate", challenge)
	say(answer, status, map[string]any{"error": code, "error_description": description})
}

func say(answer http.ResponseWriter, status int, body any) {
	answer.Header().Set("Content-Type", "application/json")
	answer.WriteHeader(status)
	_ = json.NewEncoder(answer).Encode(body)
}
