package story_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// archive is
//
//	archive truncate IN OUT   without its last third
//	archive alter IN OUT      one bit of a document flipped, packed again
//	archive level IN OUT      of a level that no release has reached yet
//	archive format IN OUT     of a format that no release has reached yet
//
// The last two are whole: their sums are those of their content.
func archive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: archive truncate|alter|level|format IN OUT")
	}
	b, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	switch args[0] {
	case "truncate":
		b = b[:len(b)*2/3]
	case "alter":
		b = repack(ts, b, `"display_name": "Acme`, `"display_name": "Bcme`, false)
	case "level":
		b = repack(ts, b, `"level": 1`, `"level": 9`, true)
	case "format":
		b = repack(ts, b, `"format_version": "1.0"`, `"format_version": "9.0"`, true)
	default:
		ts.Fatalf("archive %s: unknown", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b, 0o600))
}

// repack changes text inside of an archive, everywhere and to the same length,
// so that every member stays in its place, and the sums as well if they are to hold.
func repack(ts *testscript.TestScript, packed []byte, from, to string, sums bool) []byte {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	ts.Check(err)
	plain, err := io.ReadAll(z)
	ts.Check(err)
	if len(from) != len(to) || !bytes.Contains(plain, []byte(from)) {
		ts.Fatalf("cannot put %q in the place of %q", to, from)
	}
	if sums {
		change(ts, plain, from, to)
	} else {
		plain = bytes.ReplaceAll(plain, []byte(from), []byte(to))
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	ts.Check(err)
	_, err = w.Write(plain)
	ts.Check(err)
	ts.Check(w.Close())
	return b.Bytes()
}

// change replaces text in the members of a tar and their old sums by the new.
func change(ts *testscript.TestScript, plain []byte, from, to string) {
	const block = 512
	replaced := map[string]string{}
	for at := 0; at+block <= len(plain) && plain[at] != 0; {
		size, err := strconv.ParseInt(strings.Trim(string(plain[at+124:at+136]), "\x00 "), 8, 64)
		ts.Check(err)
		body := plain[at+block : at+block+int(size)]
		if strings.HasPrefix(string(plain[at:]), "SHA256SUMS\x00") {
			for old, sum := range replaced {
				copy(body, bytes.ReplaceAll(body, []byte(old), []byte(sum)))
			}
		} else if bytes.Contains(body, []byte(from)) {
			old := sha256.Sum256(body)
			copy(body, bytes.ReplaceAll(body, []byte(from), []byte(to)))
			sum := sha256.Sum256(body)
			replaced[hex.EncodeToString(old[:])] = hex.EncodeToString(sum[:])
		}
		at += block + (int(size)+block-1)/block*block
	}
	if len(replaced) == 0 {
		ts.Fatalf("no member has %q", from)
	}
}
