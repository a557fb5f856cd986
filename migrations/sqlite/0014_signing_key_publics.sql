-- One private key never signs for two issuers: each could forge for the other.
CREATE UNIQUE INDEX signing_keys_by_public ON signing_keys (public_jwk);
