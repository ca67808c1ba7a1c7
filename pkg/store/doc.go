package store

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Doc is one document of the image. It never changes once it is there.
type Doc struct {
	Path           string // below data/, or system/...
	Bytes          []byte // canonical JSON
	Sum            Digest // its term in the digests
	CreateRevision uint64
	Revision       uint64
	Head           any // *Tenant, *ClientHead, *ScopeHead, *KeysetHead; nil for the rest
}

// ClientHead is what rules and lists need of a client.
type ClientHead struct {
	Tenant                  string   `json:"tenant"`
	ClientID                string   `json:"client_id"`
	GrantTypes              []string `json:"grant_types"`
	Scopes                  []string `json:"scopes"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method"`
	RequirePKCE             bool     `json:"require_pkce"`
	AccessTokenTTL          Duration `json:"access_token_ttl"`
	IDTokenTTL              Duration `json:"id_token_ttl"`
	RefreshTokenTTL         Duration `json:"refresh_token_ttl"`
}

// ScopeHead is what rules need of a scope.
type ScopeHead struct {
	Tenant    string   `json:"tenant"`
	Name      string   `json:"name"`
	DependsOn []string `json:"depends_on"`
	System    bool     `json:"system"`
}

// KeysetHead is what rules need of a keyset.
type KeysetHead struct {
	Expiry Time // earliest end of a retiring key; 0 if none retires
	Live   int  // keys that are not revoked
}

// NewDoc parses the few fields that rules need of a published document. The
// path must be one of ours, and the bytes canonical.
func NewDoc(path string, b []byte) (*Doc, error) {
	d := &Doc{Path: path, Bytes: b, Sum: term(path, b)}
	ref, err := ParsePath(path)
	if err != nil {
		return nil, err
	}
	var meta struct {
		CreateRevision uint64 `json:"create_revision"`
		Revision       uint64 `json:"revision"`
	}
	switch ref.Kind {
	case "tenant":
		t := new(Tenant)
		if err := json.Unmarshal(b, t); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		meta.CreateRevision, meta.Revision, d.Head = t.CreateRevision, t.Revision, t
	case "client":
		var c struct {
			ClientHead
			CreateRevision uint64 `json:"create_revision"`
			Revision       uint64 `json:"revision"`
		}
		if err := json.Unmarshal(b, &c); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		meta.CreateRevision, meta.Revision, d.Head = c.CreateRevision, c.Revision, &c.ClientHead
	case "scope":
		var s struct {
			ScopeHead
			CreateRevision uint64 `json:"create_revision"`
			Revision       uint64 `json:"revision"`
		}
		if err := json.Unmarshal(b, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		meta.CreateRevision, meta.Revision, d.Head = s.CreateRevision, s.Revision, &s.ScopeHead
	case "keyset":
		var ks Keyset
		if err := json.Unmarshal(b, &ks); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		meta.CreateRevision, meta.Revision, d.Head = ks.CreateRevision, ks.Revision, ks.head()
	case "jwks":
	}
	d.CreateRevision, d.Revision = meta.CreateRevision, meta.Revision
	return d, nil
}

func (ks *Keyset) head() *KeysetHead {
	h := new(KeysetHead)
	for _, k := range ks.Keys {
		if k.State != KeyRevoked {
			h.Live++
		}
		if k.State == KeyRetiring && (h.Expiry == 0 || k.VerifyUntil < h.Expiry) {
			h.Expiry = k.VerifyUntil
		}
	}
	return h
}

// systemDoc is a document that is replicated but never published under data/.
func systemDoc(path string, b []byte) *Doc {
	return &Doc{Path: path, Bytes: b, Sum: term(path, b)}
}

// published reports whether a path belongs to data/.
func published(path string) bool { return !strings.HasPrefix(path, SystemPrefix) }

// SystemPrefix starts the paths of replicated documents that are not published.
const SystemPrefix = "system/"
