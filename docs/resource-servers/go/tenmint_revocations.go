// Revocation feeds of tenmint, and which tokens they void. Without dependencies: copy this file.
// Checked against revocation-vectors.json by tenmint's own tests.

package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	ahead   = 300      // seconds that a feed may come from the future
	largest = 16 << 20 // bytes of a feed
)

// In which claim of a token stands what each kind in a feed names.
var claimOf = map[string]string{"keys": "client_id", "organizations": "org", "tokens": "jti", "signing_keys": ""}

// Revocations are what an issuer has revoked.
type Revocations struct {
	Issuer, URL string
	// Verify checks a JWT's signature by the issuer's keys, of a JWKS no older than its max-age, and nothing
	// else. It gives header and claims.
	Verify func(text string) (header, claims map[string]any, err error)
	// Now is the present in Unix seconds.
	Now func() int64

	lock sync.RWMutex
	held *feed
	tag  string
}

type feed struct {
	seq, exp int64
	// By kind, by alias: the instant before which tokens are void.
	revoked map[string]map[string]int64
}

// Voids says whether a token with these claims, that this key signed, must be refused.
func (known *Revocations) Voids(claims map[string]any, kid string) bool {
	known.lock.RLock()
	defer known.lock.RUnlock()
	if known.held == nil {
		return false
	}
	issued, _ := whole(claims["iat"])
	for kind, claim := range claimOf {
		name := kid
		if kind != "signing_keys" {
			name, _ = claims[claim].(string)
		}
		if len(known.held.revoked[kind]) > 0 && issued < known.held.revoked[kind][alias(name)] {
			return true
		}
	}
	return false
}

// AreKnown says whether it is known at present what is revoked. If not, refuse with 503.
func (known *Revocations) AreKnown() bool {
	known.lock.RLock()
	defer known.lock.RUnlock()
	return known.held != nil && known.Now() < known.held.exp
}

// Keep takes a feed for what is known, if it counts. Otherwise it says why not, and changes nothing.
func (known *Revocations) Keep(text string) error {
	header, claims, err := known.Verify(text)
	if err != nil {
		return err
	}
	typ, _ := header["typ"].(string)
	if strings.TrimPrefix(strings.ToLower(typ), "application/") != "revocations+jwt" || claims["iss"] != known.Issuer {
		return errors.New("not a revocation feed of this issuer")
	}
	next, issued, err := readFeed(claims)
	if err != nil {
		return err
	}
	if now := known.Now(); next.exp <= now || issued > now+ahead {
		return errors.New("a revocation feed of another time")
	}
	known.lock.Lock()
	defer known.lock.Unlock()
	if held := known.held; held != nil {
		kid, _ := header["kid"].(string)
		if _, isWithdrawn := held.revoked["signing_keys"][alias(kid)]; isWithdrawn {
			return errors.New("signed by a key that is withdrawn")
		}
		if next.seq <= held.seq {
			// Not newer: it adds to what is known, and takes nothing away.
			for kind, listed := range held.revoked {
				for name, before := range listed {
					next.revoked[kind][name] = max(before, next.revoked[kind][name])
				}
			}
			next.seq, next.exp = held.seq, held.exp
		}
	}
	known.held = next
	return nil
}

// Update asks the issuer once.
func (known *Revocations) Update() error {
	request, err := http.NewRequest("GET", known.URL, nil)
	if err != nil {
		return err
	}
	known.lock.RLock()
	if known.tag != "" && known.held.exp > known.Now()+60 {
		request.Header.Set("If-None-Match", known.tag)
	}
	known.lock.RUnlock()
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotModified {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, largest))
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	if err == nil {
		err = known.Keep(string(text))
	}
	if err == nil {
		known.lock.Lock()
		known.tag = response.Header.Get("ETag")
		known.lock.Unlock()
	}
	return err
}

// Follow asks the issuer now, and then again and again.
func (known *Revocations) Follow(every time.Duration) error {
	if err := known.Update(); err != nil {
		return err
	}
	go func() {
		for range time.Tick(every) {
			// It is tried again, and what is known ends by itself.
			if err := known.Update(); err != nil {
				log.Printf("the revocation feed was not fetched: %v", err)
			}
		}
	}()
	return nil
}

// How a feed calls what has this name.
func alias(name string) string {
	digest := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(digest[:16])
}

func readFeed(claims map[string]any) (next *feed, issued int64, err error) {
	next = &feed{revoked: map[string]map[string]int64{}}
	revoked, isThere := claims["revoked"].(map[string]any)
	if !isThere {
		return nil, 0, errors.New("not a revocation feed")
	}
	for name, into := range map[string]*int64{"seq": &next.seq, "iat": &issued, "exp": &next.exp} {
		if *into, err = whole(claims[name]); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	for kind := range claimOf {
		next.revoked[kind] = map[string]int64{}
		written, isSaid := revoked[kind]
		listed, isObject := written.(map[string]any)
		if isSaid && !isObject {
			return nil, 0, fmt.Errorf("not a revocation feed: %s", kind)
		}
		for name, value := range listed {
			if next.revoked[kind][name], err = whole(value); err != nil {
				return nil, 0, err
			}
		}
	}
	return next, issued, nil
}

func whole(value any) (int64, error) {
	number, isNumber := value.(float64)
	if !isNumber || number != math.Trunc(number) || math.Abs(number) > 1<<53 {
		return 0, errors.New("not a whole number")
	}
	return int64(number), nil
}
