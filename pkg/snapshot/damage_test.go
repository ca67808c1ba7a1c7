package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// Of a flipped bit the best answer is a refusal. But DEFLATE can say the same in
// many ways (code lengths of symbols that do not occur, distances inside a run),
// and which of them a release of the compressor chooses is not part of the
// format: what is accepted must then be the same content.
func TestNoFlippedBitChangesTheContent(t *testing.T) {
	t.Parallel()
	img := small(t)
	good := pack(t, img)
	accepted := 0
	for i := 0; i < len(good); i += stride {
		b := bytes.Clone(good)
		b[i] ^= 1 << (i % 8)
		c, err := Read(bytes.NewReader(b), Limits{})
		switch {
		case err == nil:
			accepted++
			if c.Image.StateDigest() != img.StateDigest() || c.Image.Index != img.Index || c.Image.Term != img.Term || c.Manifest.ClusterID != testCluster {
				t.Fatalf("byte %d of %d: accepted with other content", i, len(good))
			}
		case !errors.Is(err, store.ErrIntegrity):
			t.Fatalf("byte %d of %d: err = %v, want class integrity", i, len(good), err)
		}
	}
	if accepted > len(good)/50 {
		t.Errorf("%d flips of %d were accepted, which is more than the few without a meaning", accepted, len(good))
	}
}

// The same in front of the compression: no bit of the tar stream is without
// meaning, and none is read past.
func TestNoFlippedBitOfTheTarIsAccepted(t *testing.T) {
	t.Parallel()
	plain := tarOf(parts(t, pack(t, small(t))))
	for i := 0; i < len(plain); i += stride {
		if plain[i] == 0 && i%16 > 0 {
			continue // of the many zeros of headers and padding, some
		}
		b := bytes.Clone(plain)
		b[i] ^= 1 << (i % 8)
		if _, err := readTar(b); !errors.Is(err, store.ErrIntegrity) {
			t.Fatalf("byte %d of %d: err = %v, want class integrity", i, len(plain), err)
		}
	}
}

// readTar reads an archive that is not compressed, in stored blocks.
func readTar(plain []byte) (*Contents, error) {
	return Read(bytes.NewReader(stored(plain)), Limits{})
}

func TestEveryTruncationIsRefused(t *testing.T) {
	t.Parallel()
	good := pack(t, small(t))
	for n := 0; n < len(good); n += stride {
		c, err := Read(bytes.NewReader(good[:n]), Limits{})
		if !errors.Is(err, store.ErrIntegrity) || c != nil {
			t.Fatalf("%d of %d bytes: err = %v, want class integrity", n, len(good), err)
		}
	}
	plain := tarOf(parts(t, good))
	for n := 0; n < len(plain); n += 13 * stride { // odd: no common factor with 512
		if _, err := readTar(plain[:n]); !errors.Is(err, store.ErrIntegrity) {
			t.Fatalf("%d of %d bytes of tar: err = %v, want class integrity", n, len(plain), err)
		}
	}
}

var errDisk = errors.New("disk error")

// A reader that fails is not damage: another read may find the archive whole.
func TestAnErrorOfTheReaderIsReturned(t *testing.T) {
	t.Parallel()
	good := pack(t, small(t))
	for n := 0; n < len(good); n += stride {
		_, err := Read(io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(errDisk)), Limits{})
		if !errors.Is(err, errDisk) || errors.Is(err, store.ErrIntegrity) {
			t.Fatalf("after %d of %d bytes: err = %v, want %v", n, len(good), err, errDisk)
		}
	}
}

func TestReadDoesNotDependOnTheSizeOfReads(t *testing.T) {
	good := pack(t, sample(t))
	for name, r := range map[string]io.Reader{
		"one byte at a time":         iotest.OneByteReader(bytes.NewReader(good)),
		"the end with the last data": iotest.DataErrReader(bytes.NewReader(good)),
		"half of what was asked":     iotest.HalfReader(bytes.NewReader(good)),
	} {
		if _, err := Read(r, Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// fullDisk takes room bytes and then fails.
type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		n := d.room
		d.room = 0
		return n, errDisk
	}
	d.room -= len(p)
	return len(p), nil
}

func TestWriteReturnsTheErrorOfItsWriter(t *testing.T) {
	t.Parallel()
	img := store.NewImage() // every step of writing is there, and it is short
	size := len(pack(t, img))
	for n := 0; n < size; n += stride {
		if err := Write(&fullDisk{room: n}, img, testCluster); !errors.Is(err, errDisk) {
			t.Fatalf("room for %d bytes: err = %v, want %v", n, err, errDisk)
		}
	}
}

func TestNewerIsJudgedAfterTheSums(t *testing.T) {
	good := pack(t, sample(t))
	level := func(n uint32) []byte {
		tx := build(t)
		c := tx.Counters()
		c.Level = n
		tx.SetCounters(c)
		img, _ := tx.Freeze(1, 1)
		return pack(t, img)
	}
	major := func(more ...part) []part {
		list := edit(t, parts(t, good), manifestName, `"1.0"`, `"2.3"`)
		for _, p := range more {
			list = insert(t, list, sumsName, p)
		}
		return list
	}
	t.Run("a level above the caller's is newer", func(t *testing.T) {
		wantRefused(t, level(mutation.Level+1), store.CodeNewer, fmt.Sprintf("level %d;", mutation.Level+1), fmt.Sprintf("up to level %d", mutation.Level))
	})
	t.Run("a level that the caller can read is read", func(t *testing.T) {
		if _, err := Read(bytes.NewReader(level(mutation.Level+1)), Limits{MaxLevel: mutation.Level + 1}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a newer major version is newer", func(t *testing.T) {
		wantRefused(t, zip(t, tarOf(resum(major()))), store.CodeNewer, "2.3")
	})
	t.Run("a newer major version may have other members", func(t *testing.T) {
		list := resum(major(part{name: "realms/acme/x.yaml", body: []byte("a: b\n")}, part{name: "audit.log"}))
		wantRefused(t, zip(t, tarOf(list)), store.CodeNewer, "2.3")
	})
	t.Run("a newer major version may have another manifest", func(t *testing.T) {
		list := parts(t, good)
		list[0].body = []byte(`{"kind":"snapshot","format_version":"3.0","revision":"many"}`)
		wantRefused(t, zip(t, tarOf(resum(list))), store.CodeNewer, "3.0")
	})
	t.Run("a newer document format is newer", func(t *testing.T) {
		list := edit(t, parts(t, good), "tenants/globex/tenant.json", `"1.0"`, `"1.1"`)
		wantRefused(t, zip(t, tarOf(resum(list))), store.CodeNewer, "1.1")
	})
	t.Run("a newer document format without its sum is damage", func(t *testing.T) {
		list := edit(t, parts(t, good), "tenants/globex/tenant.json", `"1.0"`, `"1.1"`)
		wantRefused(t, zip(t, tarOf(list)), store.CodeIntegrity, "tenants/globex/tenant.json")
	})
	t.Run("a manifest that became newer by damage is damage", func(t *testing.T) {
		wantRefused(t, zip(t, tarOf(major())), store.CodeIntegrity, manifestName)
	})
	t.Run("a newer archive with a damaged member is damage", func(t *testing.T) {
		list := edit(t, resum(major()), "system/cluster.json", "key-c", "key-d")
		wantRefused(t, zip(t, tarOf(list)), store.CodeIntegrity, "system/cluster.json")
	})
	t.Run("a newer archive that is truncated is damage", func(t *testing.T) {
		b := zip(t, tarOf(resum(major())))
		wantRefused(t, b[:len(b)-20], store.CodeIntegrity)
	})
	t.Run("a newer archive with a hostile name is damage", func(t *testing.T) {
		list := resum(major(part{name: "../x"}))
		wantRefused(t, zip(t, tarOf(list)), store.CodeIntegrity, "hostile")
	})
	t.Run("a newer minor version may add fields to the manifest", func(t *testing.T) {
		list := edit(t, parts(t, good), manifestName, `"format_version": "1.0",`, `"format_version": "1.7", "hint": "x",`)
		if _, err := Read(bytes.NewReader(zip(t, tarOf(resum(list)))), Limits{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a newer minor version may not add members", func(t *testing.T) {
		list := edit(t, parts(t, good), manifestName, `"1.0"`, `"1.7"`)
		list = resum(insert(t, list, sumsName, part{name: "audit.log"}))
		wantRefused(t, zip(t, tarOf(list)), store.CodeIntegrity, "audit.log")
	})
}

func FuzzRead(f *testing.F) {
	for _, img := range []*store.Image{store.NewImage(), small(f), sample(f)} {
		f.Add(tarOf(parts(f, pack(f, img))))
	}
	f.Add([]byte{})
	f.Add(appendHeader(nil, manifestName, 1<<32))
	f.Add(tarOf([]part{{name: manifestName, body: []byte(`{"kind":"snapshot","format_version":"9.0"}`)}, {name: sumsName}}))
	f.Fuzz(func(t *testing.T, plain []byte) {
		c, err := readTar(plain)
		if err != nil {
			if !errors.Is(err, store.ErrIntegrity) && !errors.Is(err, store.ErrNewer) {
				t.Fatalf("err = %v, want a refusal", err)
			}
			return
		}
		// What is accepted is exactly what would be written, but for a manifest
		// of a newer minor version.
		if again := tarOf(parts(t, pack(t, c.Image))); c.Manifest.FormatVersion == FormatVersion && c.Manifest.ClusterID == testCluster && !bytes.Equal(again, plain) {
			t.Fatal("accepted, and written as other bytes")
		}
	})
}

func TestLinesAreBounded(t *testing.T) {
	for _, c := range []struct {
		fact string
		in   io.Reader
		want string
	}{
		{"lines keep their ends", bytes.NewReader([]byte("a\nbc\n\n")), `["a\n" "bc\n" "\n"] <nil>`},
		{"a line longer than a buffer is whole", bytes.NewReader(append(bytes.Repeat([]byte("x"), 100<<10), '\n')), "102401 <nil>"},
		{"a line without an end is refused", bytes.NewReader([]byte("a\nb")), `["a\n"] the last line has no end`},
		{"an endless line is refused", &endless{}, "[] a line is longer than 4194304 bytes"},
	} {
		var got []string
		var failed error
		for line, err := range lines(c.in) {
			if failed = err; err == nil {
				got = append(got, string(line))
			}
		}
		s := fmt.Sprintf("%q %v", got, failed)
		if len(got) == 1 && len(got[0]) > 100 {
			s = fmt.Sprintf("%d %v", len(got[0]), failed)
		}
		if s != c.want {
			t.Errorf("%s: %s, want %s", c.fact, s, c.want)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
