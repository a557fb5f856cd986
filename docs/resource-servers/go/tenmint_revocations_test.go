package main

import (
	"encoding/json"
	"testing"

	"github.com/MicahParks/keyfunc/v3"
)

func TestFeedsAreAsTheVectorsSay(t *testing.T) {
	var vectors struct {
		Issuer string
		Now    int64
		JWKS   json.RawMessage
		Cases  []struct {
			Name  string
			Feeds []struct {
				Feed   string
				Counts bool
			}
			Tokens []struct {
				Token string
				Void  bool
			}
		}
	}
	read(t, "../../revocation-vectors.json", &vectors)
	if len(vectors.Cases) < 10 {
		t.Fatal("vectors are missing")
	}
	found, err := keyfunc.NewJWKSetJSON(vectors.JWKS)
	if err != nil {
		t.Fatal(err)
	}
	keys := &keys{Keyfunc: found}
	for _, vector := range vectors.Cases {
		known := Revocations{Issuer: vectors.Issuer, Verify: keys.signed, Now: func() int64 { return vectors.Now }}
		for _, one := range vector.Feeds {
			if err := known.Keep(one.Feed); (err == nil) != one.Counts {
				t.Errorf("%s: %v", vector.Name, err)
			}
		}
		for _, one := range vector.Tokens {
			header, claims, err := keys.signed(one.Token)
			if err != nil {
				t.Fatal(err)
			}
			kid, _ := header["kid"].(string)
			if known.Voids(claims, kid) != one.Void {
				t.Errorf("%s: %v", vector.Name, claims)
			}
		}
	}
}
