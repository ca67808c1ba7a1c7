package attacks

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"testing"
)

// spellings are the ways in which something may stand somewhere: as it is, in
// hex, and in base64 wherever it begins in what was encoded.
func spellings(secret []byte) (out [][]byte) {
	lower := hex.EncodeToString(secret)
	out = append(out, secret, []byte(lower), []byte(strings.ToUpper(lower)))
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			text := enc.EncodeToString(append(make([]byte, before), secret...))
			text = text[(before*8+5)/6:] // characters that hold a bit of what comes before
			if rest := (before + len(secret)) % 3; rest != 0 {
				text = text[:len(text)-1] // and of what comes after
			}
			if !slices.ContainsFunc(out, func(b []byte) bool { return string(b) == text }) {
				out = append(out, []byte(text))
			}
		}
	}
	return out
}

// found tells whether something holds a secret, in one of its spellings.
func holds(b []byte, secret [][]byte) bool {
	return slices.ContainsFunc(secret, func(s []byte) bool { return bytes.Contains(b, s) })
}

// unpacked is what stands in a file: an archive's content, or the bytes
// themselves without the pages of zeroes.
func unpacked(t *testing.T, b []byte) []byte {
	t.Helper()
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	const page = 4096
	zero := make([]byte, page)
	var out []byte
	for len(b) > 0 {
		n := min(page, len(b))
		if !bytes.Equal(b[:n], zero[:n]) {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}

// What is searched for is found, however it is written down.
func TestASecretIsFoundInEverySpelling(t *testing.T) {
	secret := []byte("0123456789abcdefghijklmnopqrstu\xff")
	for _, around := range []string{"", "x", "xy", "xyz"} {
		plain := []byte(around + string(secret) + around)
		for name, b := range map[string][]byte{
			"as it is":            plain,
			"in hex":              []byte(hex.EncodeToString(plain)),
			"in upper-case hex":   []byte(strings.ToUpper(hex.EncodeToString(plain))),
			"in base64":           []byte(base64.StdEncoding.EncodeToString(plain)),
			"in base64url":        []byte(base64.URLEncoding.EncodeToString(plain)),
			"in base64, unpadded": []byte(base64.RawStdEncoding.EncodeToString(plain)),
		} {
			if !holds(b, spellings(secret)) {
				t.Errorf("%s, between %q: not found in %q", name, around, b)
			}
			if holds(b, spellings([]byte("another secret of 32 characters."))) {
				t.Errorf("%s: found what is not there", name)
			}
		}
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(append(make([]byte, 8192), secret...))
	w.Close()
	if b := unpacked(t, zipped.Bytes()); !holds(b, spellings(secret)) || len(b) > 4096 {
		t.Errorf("in an archive: %d bytes", len(b))
	}
}
