package store

import (
	"errors"
	"fmt"
	"strings"
)

// GlobalOwner is the slug under which the platform's own keyset is kept. No
// tenant can bear it.
const GlobalOwner = "global"

// maxName bounds client ids and scope names, in bytes. Escaped whole it is
// 3*80 bytes, which with ".json" stays under the 255 of a file name.
const maxName = 80

var (
	slugChars     = charsOf(lower + digits + "-")
	clientIDChars = charsOf(lower + upper + digits + "._~-")
	requestChars  = charsOf(lower + upper + digits + "._-")
	kidChars      = charsOf(lower + upper + digits + "_-")
)

// CheckSlug refuses what cannot be the slug of a tenant: 1 to 63 of a-z, 0-9 and
// "-", neither first nor last a "-" (a DNS label in lower case), and "global".
func CheckSlug(s string) error {
	if s == GlobalOwner {
		return errors.New(`slug "global" is reserved for the platform's own keys`)
	}
	return CheckKeysetOwner(s)
}

// CheckKeysetOwner refuses what cannot own a keyset: neither the form of a slug
// nor "global".
func CheckKeysetOwner(s string) error {
	switch {
	case s == "":
		return errors.New("slug is empty")
	case !slugChars.holds(s, 63) || dashed(s):
		return fmt.Errorf(`slug %s must be 1 to 63 of a-z, 0-9 and "-", and neither start nor end with "-"`, quote(s))
	}
	return nil
}

// CheckClientID refuses what cannot be a client_id: 1 to 80 of the unreserved
// characters of RFC 3986, the first a letter or digit.
func CheckClientID(s string) error {
	switch {
	case s == "":
		return errors.New("client_id is empty")
	case !clientIDChars.holds(s, maxName) || !startsName(s):
		return fmt.Errorf("client_id %s must be 1 to %d of A-Z, a-z, 0-9, \".\", \"_\", \"~\" and \"-\", the first a letter or digit", quote(s), maxName)
	}
	return nil
}

// startsName reports whether a text begins with a letter or digit.
func startsName(s string) bool {
	c := s[0]
	return c|32 >= 'a' && c|32 <= 'z' || c >= '0' && c <= '9'
}

// CheckScopeName refuses what cannot be the name of a scope: a scope-token of
// RFC 6749 section 3.3, 1 to 80 characters.
func CheckScopeName(s string) error {
	if s == "" {
		return errors.New("scope name is empty")
	}
	if len(s) > maxName {
		return fmt.Errorf("scope name %s is longer than %d characters", quote(s), maxName)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return fmt.Errorf(`scope name %s must be visible ASCII without space, '"' and '\'`, quote(s))
		}
	}
	return nil
}

// CheckRequestID refuses what cannot be a request id: 1 to 64 of A-Z, a-z, 0-9,
// ".", "_" and "-".
func CheckRequestID(s string) error {
	if !requestChars.holds(s, 64) {
		return fmt.Errorf(`request id %s must be 1 to 64 of A-Z, a-z, 0-9, ".", "_" and "-"`, quote(s))
	}
	return nil
}

const upperHex = "0123456789ABCDEF"

// EscapeName makes the file name of a document out of its name, without
// ".json". Everything outside [a-z0-9._-] and a leading "." becomes %XX, so that
// "A" and "a" never meet on a disk that ignores case and no file is hidden.
func EscapeName(name string) string {
	var b strings.Builder
	b.Grow(len(name))
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' && i > 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

// UnescapeName is the inverse of EscapeName. It refuses every file name that
// EscapeName would not have made, so that a document has one path only.
func UnescapeName(file string) (string, error) {
	if file == "" || len(file) > 3*maxName {
		return "", fmt.Errorf("file name %s is empty or too long", quote(file))
	}
	name := make([]byte, 0, len(file))
	for i := 0; i < len(file); i++ {
		c := file[i]
		if c == '%' {
			if i+2 >= len(file) {
				return "", fmt.Errorf("file name %s ends inside an escape", quote(file))
			}
			hi, lo := strings.IndexByte(upperHex, file[i+1]), strings.IndexByte(upperHex, file[i+2])
			if hi < 0 || lo < 0 {
				return "", fmt.Errorf("file name %s has an escape that is not two upper-case hex digits", quote(file))
			}
			c, i = byte(hi<<4|lo), i+2
		}
		name = append(name, c)
	}
	if EscapeName(string(name)) != file {
		return "", fmt.Errorf("file name %s is not in its one escaped form", quote(file))
	}
	return string(name), nil
}

// The paths of the documents below data/. The caller has checked the names.

// TenantPath is tenants/<slug>/tenant.json.
func TenantPath(slug string) string { return "tenants/" + slug + "/tenant.json" }

// ClientPath is tenants/<slug>/clients/<escaped id>.json.
func ClientPath(slug, id string) string {
	return "tenants/" + slug + "/clients/" + EscapeName(id) + ".json"
}

// ScopePath is tenants/<slug>/scopes/<escaped name>.json.
func ScopePath(slug, name string) string {
	return "tenants/" + slug + "/scopes/" + EscapeName(name) + ".json"
}

// KeysetPath is keys/<slug>/keyset.json.
func KeysetPath(slug string) string { return "keys/" + slug + "/keyset.json" }

// JWKSPath is keys/<slug>/jwks.json.
func JWKSPath(slug string) string { return "keys/" + slug + "/jwks.json" }

// Ref names one document, or with the kind "key" one key inside a keyset.
type Ref struct {
	Kind   string // tenant, client, scope, keyset, jwks or key
	Tenant string // slug; of a keyset, jwks or key also "global"
	Name   string // client_id, scope name or kid; empty for the others
}

// Path is the file of the document below data/; of a key, that of its keyset.
func (r Ref) Path() string {
	switch r.Kind {
	case "tenant":
		return TenantPath(r.Tenant)
	case "client":
		return ClientPath(r.Tenant, r.Name)
	case "scope":
		return ScopePath(r.Tenant, r.Name)
	case "keyset", "key":
		return KeysetPath(r.Tenant)
	case "jwks":
		return JWKSPath(r.Tenant)
	}
	return ""
}

// String is the name as operators write it: tenant/acme, client/acme/web.
func (r Ref) String() string {
	s := r.Kind + "/" + r.Tenant
	if r.Name != "" {
		s += "/" + r.Name
	}
	return s
}

func (r Ref) check() error {
	switch r.Kind {
	case "tenant":
		return CheckSlug(r.Tenant)
	case "client":
		return errors.Join(CheckSlug(r.Tenant), CheckClientID(r.Name))
	case "scope":
		return errors.Join(CheckSlug(r.Tenant), CheckScopeName(r.Name))
	case "keyset", "jwks":
		return CheckKeysetOwner(r.Tenant)
	case "key":
		if err := CheckKeysetOwner(r.Tenant); err != nil {
			return err
		}
		if !kidChars.holds(r.Name, 64) {
			return fmt.Errorf("kid %s must be base64url, at most 64 characters", quote(r.Name))
		}
		return nil
	}
	return fmt.Errorf("kind %s must be one of tenant, client, scope, keyset, jwks, key", quote(r.Kind))
}

// ParsePath is the inverse of the five path functions. A path that none of them
// could have made from legal names (absolute, "..", a bad slug, a second way of
// escaping a name) is an error.
func ParsePath(path string) (Ref, error) {
	part := strings.Split(path, "/")
	var r Ref
	switch {
	case len(part) == 3 && part[0] == "tenants" && part[2] == "tenant.json":
		r = Ref{Kind: "tenant", Tenant: part[1]}
	case len(part) == 3 && part[0] == "keys" && part[2] == "keyset.json":
		r = Ref{Kind: "keyset", Tenant: part[1]}
	case len(part) == 3 && part[0] == "keys" && part[2] == "jwks.json":
		r = Ref{Kind: "jwks", Tenant: part[1]}
	case len(part) == 4 && part[0] == "tenants" && (part[2] == "clients" || part[2] == "scopes"):
		file, ok := strings.CutSuffix(part[3], ".json")
		if !ok {
			return Ref{}, fmt.Errorf("path %s is not of a document", quote(path))
		}
		name, err := UnescapeName(file)
		if err != nil {
			return Ref{}, fmt.Errorf("path %s: %w", quote(path), err)
		}
		r = Ref{Kind: strings.TrimSuffix(part[2], "s"), Tenant: part[1], Name: name}
	default:
		return Ref{}, fmt.Errorf("path %s is not of a document", quote(path))
	}
	if err := r.check(); err != nil {
		return Ref{}, fmt.Errorf("path %s: %w", quote(path), err)
	}
	return r, nil
}

// ParseRef is the inverse of Ref.String. The name of a scope may hold slashes.
func ParseRef(s string) (Ref, error) {
	part := strings.SplitN(s, "/", 3)
	if len(part) < 2 {
		return Ref{}, fmt.Errorf("name %s must be KIND/TENANT or KIND/TENANT/NAME", quote(s))
	}
	r := Ref{Kind: part[0], Tenant: part[1]}
	if len(part) == 3 {
		r.Name = part[2]
		if r.Name == "" || r.Kind == "tenant" || r.Kind == "keyset" || r.Kind == "jwks" {
			return Ref{}, fmt.Errorf("name %s has a part too many", quote(s))
		}
	}
	if err := r.check(); err != nil {
		return Ref{}, fmt.Errorf("name %s: %w", quote(s), err)
	}
	return r, nil
}

// quote shows a string of unknown origin and length inside a message.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%.*q...", most, s)
	}
	return fmt.Sprintf("%q", s)
}
