package reader

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// CheckSecret reports whether a secret is one of the client's that is good at
// the given time. It is false for a client that is disabled, or that does not
// authenticate with a secret. It takes the same time wherever secrets differ.
//
// Generated secrets cost a microsecond. One that people chose and that was
// imported is stored as argon2id and costs some 30 ms and 19 MiB, at the most
// 256 MiB and 16 passes: a server bounds how many of these it checks at once.
func (c *Client) CheckSecret(secret []byte, now time.Time) bool {
	if !c.Enabled || c.TokenEndpointAuthMethod != "client_secret_basic" && c.TokenEndpointAuthMethod != "client_secret_post" {
		return false
	}
	good := false
	for _, s := range c.Secrets { // all of them: which one it is stays untold
		if s.good(now) && verify(s.Hash, secret) {
			good = true
		}
	}
	return good
}

// good reports whether the secret may be used at a time. A state that this
// build does not know is no reason to let somebody in.
func (s *Secret) good(now time.Time) bool {
	return (s.State == "active" || s.State == "retiring") && (s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt))
}

// verify compares a secret with a hash of either form. Any other is the hash of
// nothing.
func verify(hash string, secret []byte) bool {
	rest, ok := strings.CutPrefix(hash, "sha256$")
	if !ok {
		return verifyArgon2id(hash, secret)
	}
	saltText, digestText, _ := strings.Cut(rest, "$")
	salt, err1 := decode(base64.RawURLEncoding, saltText)
	want, err2 := decode(base64.RawURLEncoding, digestText)
	if err1 != nil || err2 != nil || len(salt) != 16 {
		return false
	}
	h := sha256.New()
	h.Write(salt)
	h.Write(secret)
	return subtle.ConstantTimeCompare(h.Sum(nil), want) == 1
}

// What a hash may ask for. It comes from an archive that was restored, perhaps:
// unbounded, one could take all memory.
const (
	argonMaxMemory = 256 * 1024 // KiB
	argonMaxTime   = 16
	argonMaxLanes  = 16
	argonMaxBytes  = 64
)

// verifyArgon2id reads the PHC string format,
// $argon2id$v=19$m=...,t=...,p=...$<salt>$<hash>, base64 without padding.
func verifyArgon2id(hash string, secret []byte) bool {
	part := strings.Split(hash, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false
	}
	var memory, passes, lanes uint32
	if _, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil ||
		part[3] != fmt.Sprintf("m=%d,t=%d,p=%d", memory, passes, lanes) {
		return false
	}
	if passes < 1 || passes > argonMaxTime || lanes < 1 || lanes > argonMaxLanes || memory < 8*lanes || memory > argonMaxMemory {
		return false
	}
	salt, err1 := decode(base64.RawStdEncoding, part[4])
	want, err2 := decode(base64.RawStdEncoding, part[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > argonMaxBytes || len(want) < 16 || len(want) > argonMaxBytes {
		return false
	}
	got := argon2.IDKey(secret, salt, passes, memory, uint8(lanes), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

// decode is strict: of two spellings of the same bytes only one is read.
func decode(form *base64.Encoding, s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // which package base64 passes over
		return nil, base64.CorruptInputError(0)
	}
	return form.Strict().DecodeString(s)
}
