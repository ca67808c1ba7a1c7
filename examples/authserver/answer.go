package main

import (
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/cpctl/cpctl/pkg/reader"
)

func (s *server) jwks(w http.ResponseWriter, r *http.Request) {
	set, err := s.files.JWKS(r.PathValue("tenant"))
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Write(set)
}

// tenant is what is known of one. While its exported key is not the active one
// it is looked for again: exporting is no change of the files.
func (s *server) tenant(slug string) *signedWith {
	at := (*s.state.Load())[slug]
	if at != nil && at.key == nil && s.keys[slug] != "" {
		if _, err := s.load(); err != nil {
			log.Print(err)
		}
		at = (*s.state.Load())[slug]
	}
	return at
}

// token is the client_credentials grant (RFC 6749 section 4.4) for clients that
// authenticate with client_secret_basic.
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	id, err1 := url.QueryUnescape(id) // RFC 6749 section 2.3.1
	secret, err2 := url.QueryUnescape(secret)
	client, err := s.files.Client(r.PathValue("tenant"), id)
	if err != nil && !errors.Is(err, reader.ErrNotFound) {
		refuse(w, err)
		return
	}
	at := s.tenant(r.PathValue("tenant"))
	now := time.Now()
	switch {
	case err != nil, err1 != nil, err2 != nil, at == nil, at.tenant.State != "active",
		client.TokenEndpointAuthMethod != "client_secret_basic", !client.CheckSecret([]byte(secret), now):
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
	case r.PostFormValue("grant_type") != "client_credentials" || !slices.Contains(client.GrantTypes, "client_credentials"):
		answer(w, http.StatusBadRequest, map[string]any{"error": "unauthorized_client"})
	case at.key == nil:
		answer(w, http.StatusServiceUnavailable, map[string]any{"error": "temporarily_unavailable"})
	default:
		ttl := client.AccessTokenTTL.Std()
		if ttl == 0 {
			ttl = at.tenant.TokenPolicy.AccessTokenTTL.Std()
		}
		jwt, err := sign(at.key, map[string]any{"iss": at.tenant.Issuer, "sub": client.ClientID, "client_id": client.ClientID,
			"aud": client.Audience, "iat": now.Unix(), "exp": now.Add(ttl).Unix()})
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, http.StatusOK, map[string]any{"access_token": jwt, "token_type": "Bearer", "expires_in": int(ttl.Seconds())})
	}
}

func refuse(w http.ResponseWriter, err error) {
	if errors.Is(err, reader.ErrNotFound) {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	log.Print(err)
	http.Error(w, "unavailable", http.StatusServiceUnavailable)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
