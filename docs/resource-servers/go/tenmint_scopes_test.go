package main

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

func TestScopesAreAsTheVectorsSay(t *testing.T) {
	var vectors struct {
		ManagementActions []string `json:"management_actions"`
		Parse             []struct {
			Input     any
			Canonical string
			Error     bool
		}
		Covers []struct {
			Held, Asked, Why string
			Covers           bool
		}
	}
	read(t, "../../scope-vectors.json", &vectors)
	if len(vectors.Parse) < 50 || len(vectors.Covers) < 50 {
		t.Fatal("vectors are missing")
	}
	if !slices.Equal(slices.Sorted(slices.Values(ManagementActions)), slices.Sorted(slices.Values(vectors.ManagementActions))) {
		t.Error("other management actions")
	}
	for _, vector := range vectors.Parse {
		canonical, ok := Canonical(vector.Input)
		if ok == vector.Error || canonical != vector.Canonical {
			t.Errorf("%v: %q", vector.Input, canonical)
		}
	}
	for _, vector := range vectors.Covers {
		claims := map[string]any{"scope": "x.y " + vector.Held}
		if Covers(vector.Held, vector.Asked) != vector.Covers || Permits(claims, vector.Asked) != vector.Covers {
			t.Errorf("%s covers %s? %s", vector.Held, vector.Asked, vector.Why)
		}
	}
}

func TestNetworksAreAsTheVectorsSay(t *testing.T) {
	var vectors struct {
		Cases []struct {
			Claims           map[string]any
			Allowed, Refused []string
		}
	}
	read(t, "../../network-vectors.json", &vectors)
	if len(vectors.Cases) < 40 {
		t.Fatal("vectors are missing")
	}
	for _, vector := range vectors.Cases {
		for _, address := range vector.Allowed {
			if !Allows(vector.Claims, address) {
				t.Errorf("%v refuses %s", vector.Claims, address)
			}
		}
		for _, address := range vector.Refused {
			if Allows(vector.Claims, address) {
				t.Errorf("%v allows %s", vector.Claims, address)
			}
		}
	}
}

func TestWithoutScopesNothingIsPermitted(t *testing.T) {
	for _, claims := range []map[string]any{nil, {"scope": nil}, {"scope": ""}, {"scope": []any{"read"}}} {
		if Permits(claims, "read") {
			t.Errorf("%v permits", claims)
		}
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}
