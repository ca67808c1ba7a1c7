package pki

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
)

// SecretPrefix begins every generated client secret, so that scanners find one
// that leaked.
const SecretPrefix = "cps_"

const (
	secretSeedBytes = 32
	labelSecret     = "cpctl client secret 1\x00" // and the request id
	labelSalt       = "cpctl client salt 1\x00"   // and the request id
	sha256Prefix    = "sha256$"
)

// DeriveSecret makes the client secret of a request from the 32 random bytes
// that its sender keeps for retries: the prefix and 256 bits in base64url. The
// same seed and request id give the same secret, so a retry shows what the first
// attempt showed and nothing of it is stored.
func DeriveSecret(seed []byte, requestID string) (string, error) {
	raw, err := deriveFromSeed(seed, labelSecret, requestID, 32)
	if err != nil {
		return "", err
	}
	return SecretPrefix + base64.RawURLEncoding.EncodeToString(raw), nil
}

// DeriveSalt makes the salt that goes with DeriveSecret. It is as public as any
// salt and says nothing of the seed.
func DeriveSalt(seed []byte, requestID string) ([16]byte, error) {
	raw, err := deriveFromSeed(seed, labelSalt, requestID, 16)
	if err != nil {
		return [16]byte{}, err
	}
	return [16]byte(raw), nil
}

func deriveFromSeed(seed []byte, label, requestID string, n int) ([]byte, error) {
	if len(seed) != secretSeedBytes {
		return nil, fmt.Errorf("the seed of a secret has %d bytes, not %d", len(seed), secretSeedBytes)
	}
	if requestID == "" {
		return nil, fmt.Errorf("a secret is derived for a request, and this one has no id")
	}
	return hkdf.Key(sha256.New, seed, nil, label+requestID, n)
}

// HashSecret is how a generated secret is stored: sha256$<salt>$<digest>, both
// base64url without padding, digest = SHA-256(salt, secret). A slow hash would
// protect 256 random bits no better and would slow the token endpoint.
func HashSecret(secret string, salt [16]byte) string {
	digest := saltedDigest(secret, salt[:])
	return sha256Prefix + base64.RawURLEncoding.EncodeToString(salt[:]) + "$" + base64.RawURLEncoding.EncodeToString(digest[:])
}

// VerifySecret tells whether hash, made by HashSecret or HashImported, is that
// of secret. The comparison takes the same time wherever they differ. A hash of
// another form, or one that asks for more than 256 MiB or 16 passes, is no
// hash of anything: false.
func VerifySecret(hash, secret string) bool {
	if rest, ok := strings.CutPrefix(hash, sha256Prefix); ok {
		saltText, digestText, _ := strings.Cut(rest, "$")
		salt, err1 := decode(base64.RawURLEncoding, saltText)
		want, err2 := decode(base64.RawURLEncoding, digestText)
		if err1 != nil || err2 != nil || len(salt) != 16 {
			return false
		}
		got := saltedDigest(secret, salt)
		return subtle.ConstantTimeCompare(got[:], want) == 1
	}
	return verifyImported(hash, secret)
}

// SecretHint is what lists show of a secret: "..." and its last four
// characters; of one shorter than 16 bytes, or one that ends in something that
// is not visible ASCII, only the dots.
func SecretHint(secret string) string {
	const dots, shown, least = "...", 4, 16
	if len(secret) < least {
		return dots
	}
	end := secret[len(secret)-shown:]
	if strings.ContainsFunc(end, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return dots
	}
	return dots + end
}

func saltedDigest(secret string, salt []byte) [32]byte {
	return sha256.Sum256(append(append(make([]byte, 0, len(salt)+len(secret)), salt...), secret...))
}
