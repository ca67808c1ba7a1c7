package snapshot

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

// fuzzLimits keep one input of a fuzzer cheap.
var fuzzLimits = Limits{Total: 4 << 20, Member: 1 << 20, Members: 200}

// FuzzArchive reads archives as they come from strangers, compressed: in memory
// that the limits bound, and what is accepted is written as what reads the same.
func FuzzArchive(f *testing.F) {
	old, err := os.ReadFile("testdata/format-1.0.tgz")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(old)
	for _, img := range []*store.Image{store.NewImage(), small(f), sample(f)} {
		f.Add(pack(f, img))
	}
	list := parts(f, old)
	f.Add(bomb(f, list[:1], "tenants/zz/tenant.json", ' ', 1<<20, 1))
	f.Add(bomb(f, list[:len(list)-1], sumsName, '0', 1<<20, 1))
	f.Add(gzipHeader)
	f.Fuzz(func(t *testing.T, packed []byte) {
		var c *Contents
		spent := spentOn(func() { c, err = Read(bytes.NewReader(packed), fuzzLimits) })
		// Fixed buffers, and a few times what unpacks: bytes, documents, their indexes.
		if most := uint64(4<<20 + 8*fuzzLimits.Total); spent > most {
			t.Fatalf("%d bytes were allocated for an archive of %d, at most %d are allowed", spent, len(packed), most)
		}
		if err != nil {
			if c != nil || !errors.Is(err, store.ErrIntegrity) && !errors.Is(err, store.ErrNewer) {
				t.Fatalf("contents = %v, err = %v, want a refusal", c, err)
			}
			return
		}
		var once, twice bytes.Buffer
		if err := Write(&once, c.Image, c.Manifest.ClusterID); err != nil {
			t.Fatalf("accepted, and cannot be written: %v", err)
		}
		again, err := Read(bytes.NewReader(once.Bytes()), Limits{})
		if err != nil || again.Image.StateDigest() != c.Image.StateDigest() || again.Manifest.Index != c.Manifest.Index {
			t.Fatalf("accepted, and written as another state: %v", err)
		}
		if err := Write(&twice, again.Image, again.Manifest.ClusterID); err != nil || !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Fatalf("the same state was written as other bytes: %v", err)
		}
	})
}

// FuzzManifest: a manifest is refused, said to be newer, or written again as it was.
func FuzzManifest(f *testing.F) {
	for _, img := range []*store.Image{store.NewImage(), small(f), sample(f)} {
		b, err := encodeMember(ManifestOf(img, testCluster))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(bytes.Replace(b, []byte(`"1.0"`), []byte(`"1.7"`), 1))
		f.Add(bytes.Replace(b, []byte(`{`), []byte(`{ "unknown": 1,`), 1))
		f.Add(bytes.Replace(b, []byte(`"level": `), []byte(`"level": 9`), 1))
	}
	f.Add([]byte(`{"kind":"snapshot","format_version":"2.0","level":"x"}`))
	f.Add([]byte(`{"kind":"snapshot","format_version":"01.0"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rd := &reader{lim: Limits{}.withDefaults()}
		err := rd.takeManifest(b)
		if err != nil || rd.newer != nil {
			if rd.newer != nil && (err != nil || !errors.Is(rd.newer, store.ErrNewer)) {
				t.Fatalf("%q is newer, %v, and %v", b, rd.newer, err)
			}
			return
		}
		if err := checkClusterID(rd.manifest.ClusterID); err != nil || rd.manifest.Level > rd.lim.MaxLevel || rd.manifest.Kind != kind {
			t.Fatalf("%q was taken as %+v, %v", b, rd.manifest, err)
		}
		again, err := encodeMember(rd.manifest)
		if err != nil || rd.manifest.FormatVersion == FormatVersion && !bytes.Equal(again, b) {
			t.Fatalf("%q was taken and is written as %q, %v", b, again, err)
		}
	})
}

// FuzzSystemDocuments: a document below system/ is refused or kept as it is.
func FuzzSystemDocuments(f *testing.F) {
	for d := range sample(f).Scan(store.SystemPrefix) {
		f.Add(d.Path, d.Bytes)
	}
	f.Add("system/certs/0a.json", []byte("{\n  \"a\": [],\n  \"b\": {}\n}\n"))
	f.Add("system/Cluster.json", []byte("{}\n"))
	f.Add("system/requests.json", []byte("null\n"))
	f.Add("system/../x.json", []byte("1e5\n"))
	f.Fuzz(func(t *testing.T, path string, b []byte) {
		s, most, err := place(path)
		if err != nil || s != systemDocs || int64(len(b)) > most {
			return
		}
		rd := &reader{tx: store.NewImage().Begin(), folded: map[string]string{}}
		if rd.takeSystem(path, b) != nil {
			return
		}
		img, _ := rd.tx.Freeze(1, 1)
		packed := pack(t, img)
		c, err := Read(bytes.NewReader(packed), Limits{})
		if err != nil {
			t.Fatalf("%q with %q was taken, and its archive is refused: %v", path, b, err)
		}
		if d := c.Image.Get(path); d == nil || !bytes.Equal(d.Bytes, b) {
			t.Fatalf("%q with %q was taken and is %v", path, b, d)
		}
	})
}

// spentOn is how many bytes f allocates in all; a fuzzer's worker runs nothing
// beside it.
func spentOn(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
