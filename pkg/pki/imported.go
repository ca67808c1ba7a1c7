package pki

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of a new argon2id hash: 19 MiB, 2 passes, 1 lane, about 30 ms of one
// core; the least that OWASP's password storage cheat sheet gives for argon2id.
const (
	argonMemory = 19 * 1024 // KiB
	argonTime   = 2
	argonLanes  = 1
	argonBytes  = 32
)

// What a stored hash may ask for. Hashes come back from archives, so their
// parameters are input: unbounded, one of them could take all memory.
const (
	argonMaxMemory = 256 * 1024 // KiB
	argonMaxTime   = 16
	argonMaxLanes  = 16
	argonMaxBytes  = 64
)

// HashImported is how a secret that people chose is stored: as argon2id in the
// PHC string format, $argon2id$v=19$m=...,t=...,p=...$<salt>$<hash>, base64
// without padding.
func HashImported(secret string, salt [16]byte) string {
	sum := argon2.IDKey([]byte(secret), salt[:], argonTime, argonMemory, argonLanes, argonBytes)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		base64.RawStdEncoding.EncodeToString(salt[:]), base64.RawStdEncoding.EncodeToString(sum))
}

func verifyImported(hash, secret string) bool {
	h, ok := parseImported(hash)
	if !ok {
		return false
	}
	got := argon2.IDKey([]byte(secret), h.salt, h.time, h.memory, h.lanes, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(got, h.sum) == 1
}

// imported is a stored hash taken apart.
type imported struct {
	memory, time uint32 // KiB, passes
	lanes        uint8
	salt, sum    []byte
}

// parseImported accepts the one spelling of a hash, within the bounds of its cost.
func parseImported(hash string) (h imported, ok bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, false
	}
	var lanes uint32
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &lanes); err != nil ||
		fmt.Sprintf("m=%d,t=%d,p=%d", h.memory, h.time, lanes) != parts[3] {
		return h, false
	}
	if h.time < 1 || h.time > argonMaxTime || lanes < 1 || lanes > argonMaxLanes || h.memory < 8*lanes || h.memory > argonMaxMemory {
		return h, false
	}
	h.lanes = uint8(lanes)
	var err1, err2 error
	h.salt, err1 = decode(base64.RawStdEncoding, parts[4])
	h.sum, err2 = decode(base64.RawStdEncoding, parts[5])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.salt) > argonMaxBytes || len(h.sum) < 16 || len(h.sum) > argonMaxBytes {
		return h, false
	}
	return h, true
}
