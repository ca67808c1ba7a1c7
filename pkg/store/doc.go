package store

import (
	"encoding/json"
	"fmt"
	"slices"
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
	Tenant                  string
	ClientID                string
	GrantTypes              []string
	Scopes                  []string
	TokenEndpointAuthMethod string
	RequirePKCE             bool
	AccessTokenTTL          Duration
	IDTokenTTL              Duration
	RefreshTokenTTL         Duration
}

// ScopeHead is what rules need of a scope.
type ScopeHead struct {
	Tenant    string
	Name      string
	DependsOn []string
	System    bool
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
	switch ref.Kind {
	case "tenant":
		t := new(Tenant)
		err = json.Unmarshal(b, t)
		d.CreateRevision, d.Revision, d.Head = t.CreateRevision, t.Revision, t
	case "client":
		err = readClient(b, d, ref)
	case "scope":
		err = readScope(b, d, ref)
	case "keyset":
		var ks Keyset
		err = json.Unmarshal(b, &ks)
		d.CreateRevision, d.Revision, d.Head = ks.CreateRevision, ks.Revision, ks.head()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// NewDocOf is NewDoc for bytes that DecodeDoc has read, without reading them again
// where that is worth something.
func NewDocOf(path string, b []byte, decoded any) (*Doc, error) {
	c, ok := decoded.(*Client)
	if !ok {
		return NewDoc(path, b)
	}
	ref, err := ParsePath(path)
	if err != nil {
		return nil, err
	}
	return &Doc{Path: path, Bytes: b, Sum: term(path, b), CreateRevision: c.CreateRevision, Revision: c.Revision, Head: c.head(ref)}, nil
}

// head is what readClient makes of the client's bytes. It holds nothing of the client
// itself, whose strings may be parts of a longer text.
func (c *Client) head(ref Ref) *ClientHead {
	h := &ClientHead{
		Tenant: ref.Tenant, ClientID: ref.Name, TokenEndpointAuthMethod: wordOf(c.TokenEndpointAuthMethod, authMethods), RequirePKCE: c.RequirePKCE,
		GrantTypes: make([]string, len(c.GrantTypes)), Scopes: make([]string, len(c.Scopes)),
		AccessTokenTTL: c.AccessTokenTTL, IDTokenTTL: c.IDTokenTTL, RefreshTokenTTL: c.RefreshTokenTTL,
	}
	for i, g := range c.GrantTypes {
		h.GrantTypes[i] = wordOf(g, grantTypes)
	}
	for i, s := range c.Scopes {
		h.Scopes[i] = strings.Clone(s)
	}
	return h
}

// wordOf is the word among those that are shared by all documents, or a copy.
func wordOf(s string, words []string) string {
	if i := slices.Index(words, s); i >= 0 {
		return words[i]
	}
	return strings.Clone(s)
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
