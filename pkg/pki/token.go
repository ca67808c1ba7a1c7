package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// Token lets one newcomer, a node or a person, into a cluster. What it is good
// for stands in the cluster's record of its id; the newcomer needs to know no
// more than which cluster that is.
type Token struct {
	ID     string   // 16 lower-case hex digits; public
	Secret [32]byte // of which the cluster keeps the hash
	CA     [32]byte // SHA-256 of the certificate of the cluster authority, DER
}

const (
	tokenPrefix   = "cpctl-token-1:"
	labelTokenSum = "cpctl token checksum 1\x00"
	tokenIDBytes  = 8
	tokenSumBytes = 8 // tells a token that was cut or mistyped from one that is not known

	// MaxToken bounds the text of a token: it has 156 bytes and a newline.
	MaxToken = 256
)

// NewToken draws a token. Its secret never leaves the one who asks the cluster
// to take it; the answer says what CA is.
func NewToken() (t Token, err error) {
	var id [tokenIDBytes]byte
	if _, err := rand.Read(id[:]); err != nil {
		return t, err
	}
	t.ID = hex.EncodeToString(id[:])
	_, err = rand.Read(t.Secret[:])
	return t, err
}

// Fingerprint is the SHA-256 of the first certificate of a PEM file.
func Fingerprint(certPEM []byte) ([32]byte, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return [32]byte{}, errors.New("no PEM block of a certificate")
	}
	return sha256.Sum256(block.Bytes), nil
}

// Hash is what the cluster keeps of the secret: 64 hex digits. A slow hash would
// protect 256 random bits no better.
func (t Token) Hash() string { return TokenHash(t.Secret[:]) }

// TokenHash is the hash of the secret that somebody shows.
func TokenHash(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}

// TokenMatches tells in constant time whether a secret has the hash.
func TokenMatches(hash string, secret []byte) bool {
	return subtle.ConstantTimeCompare([]byte(TokenHash(secret)), []byte(hash)) == 1
}

// Encode is the text of a token, one line: the version, the id, the secret in
// base64url without padding, the fingerprint in hex, and a checksum.
func (t Token) Encode() []byte {
	body := tokenPrefix + t.ID + ":" + base64.RawURLEncoding.EncodeToString(t.Secret[:]) + ":" + hex.EncodeToString(t.CA[:])
	return []byte(body + ":" + tokenSum(body) + "\n")
}

func tokenSum(body string) string {
	sum := sha256.Sum256([]byte(labelTokenSum + body))
	return hex.EncodeToString(sum[:tokenSumBytes])
}

// ParseToken is the inverse of Encode; the final newline may be missing. What is
// no token is a *store.Error of CodeInvalid, one that is not as it was made is
// of CodeDenied. Neither holds what was read.
func ParseToken(b []byte) (Token, error) {
	line := string(bytes.TrimSuffix(b, []byte("\n")))
	rest, ok := strings.CutPrefix(line, tokenPrefix)
	if !ok {
		return Token{}, store.Errorf(store.CodeInvalid, "not a token: it does not begin with %q", tokenPrefix).
			WithHint("a token is made by: cpctl token create")
	}
	parts := strings.Split(rest, ":")
	if len(parts) != 4 || !TokenID(parts[0]) {
		return Token{}, alteredToken()
	}
	secret, err1 := decode(base64.RawURLEncoding, parts[1])
	ca, err2 := hex.DecodeString(parts[2])
	t := Token{ID: parts[0]}
	if err1 != nil || err2 != nil || copy(t.Secret[:], secret) != len(secret) || copy(t.CA[:], ca) != len(ca) ||
		subtle.ConstantTimeCompare(t.Encode(), []byte(line+"\n")) != 1 { // the checksum, too
		return Token{}, alteredToken()
	}
	return t, nil
}

func alteredToken() *store.Error {
	return denied("the token is not as it was made: its checksum does not match").
		WithHint("copy it again, whole and on one line, or make another: cpctl token create")
}

// TokenID tells whether s has the form of a token's id.
func TokenID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == tokenIDBytes && s == strings.ToLower(s)
}

// Format keeps the token out of every print, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[token %s]", t.ID) }

// MarshalText keeps the token out of JSON and of structured logs.
func (t Token) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", t), nil }
