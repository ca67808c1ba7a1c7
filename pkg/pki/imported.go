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
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false
	}
	var memory, time, lanes uint32
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &lanes); err != nil ||
		fmt.Sprintf("m=%d,t=%d,p=%d", memory, time, lanes) != parts[3] {
		return false
	}
	if time < 1 || time > argonMaxTime || lanes < 1 || lanes > argonMaxLanes || memory < 8*lanes || memory > argonMaxMemory {
		return false
	}
	salt, err1 := decode(base64.RawStdEncoding, parts[4])
	want, err2 := decode(base64.RawStdEncoding, parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > argonMaxBytes || len(want) < 16 || len(want) > argonMaxBytes {
		return false
	}
	got := argon2.IDKey([]byte(secret), salt, time, memory, uint8(lanes), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}
