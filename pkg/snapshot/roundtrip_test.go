package snapshot

import (
	"archive/tar"
	"bytes"
	stdgzip "compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

func TestWhatIsWrittenReadsBackAsTheSameState(t *testing.T) {
	img := sample(t)
	b := pack(t, img)
	c := unpack(t, b)
	sum := sha256.Sum256(b)
	for _, f := range []struct {
		fact      string
		got, want any
	}{
		{"data digest", c.Image.DataDigest(), img.DataDigest()},
		{"state digest", c.Image.StateDigest(), img.StateDigest()},
		{"index", c.Image.Index, uint64(9800)},
		{"term", c.Image.Term, uint64(4)},
		{"counters", c.Image.Counters(), img.Counters()},
		{"counts", c.Manifest.Counts, store.Counts{Tenants: 2, Clients: 2, Scopes: 3, Keys: 2}},
		{"cluster id", c.Manifest.ClusterID, testCluster},
		{"created_at", c.Manifest.CreatedAt, testTime + 10},
		{"seal key ids", fmt.Sprint(c.Manifest.SealKeyIDs), "[key-a key-b key-c]"},
		{"size", c.Size, int64(len(b))},
		{"sha256", c.SHA256, hex.EncodeToString(sum[:])},
		{"open stage", c.Image.OpenStage().ID, "st1"},
		{"staged bytes", c.Image.StageBytes(), img.StageBytes()},
		{"issuer index", func() string { s, _ := c.Image.IssuerOf("https://id.example.com/t/acme"); return s }(), "acme"},
	} {
		if f.got != f.want {
			t.Errorf("%s = %v, want %v", f.fact, f.got, f.want)
		}
	}
	if again := pack(t, c.Image); !bytes.Equal(again, b) {
		t.Error("the state that was read is written as other bytes")
	}
}

func TestAnEmptyStateIsAnArchive(t *testing.T) {
	b := pack(t, store.NewImage())
	c := unpack(t, b)
	if c.Members != 4 || c.Manifest.CreatedAt != 0 || c.Manifest.SealKeyIDs == nil {
		t.Errorf("members = %d, manifest = %+v", c.Members, c.Manifest)
	}
	if !bytes.Equal(pack(t, c.Image), b) {
		t.Error("written again as other bytes")
	}
}

func TestTheSameStateGivesTheSameBytesWhateverItsHistory(t *testing.T) {
	docs := sampleDocs(t)
	plain, _ := build(t, docs...).Freeze(1, 1)
	want := pack(t, plain)
	for seed := range uint64(5) {
		tx := build(t, shuffled(docs, seed)...)
		extra := tenantDoc(t, "passing", `{"slug":"passing"}`, 3)
		if err := tx.Load(extra.path, extra.bytes); err != nil {
			t.Fatal(err)
		}
		tx.Freeze(1, 1)
		if err := tx.Tenants().Delete("passing"); err != nil {
			t.Fatal(err)
		}
		img, _ := tx.Freeze(1, 1)
		if !bytes.Equal(pack(t, img), want) {
			t.Errorf("history %d: other bytes", seed)
		}
	}
}

// entry is what the standard library sees of a member.
type entry struct {
	hdr  tar.Header
	body []byte
}

func entries(t testing.TB, b []byte) []entry {
	t.Helper()
	gz, err := stdgzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var list []entry
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, entry{*h, body})
	}
}

func TestAnArchiveIsWhatOtherToolsRead(t *testing.T) {
	list := entries(t, pack(t, sample(t)))
	var names []string
	for _, e := range list {
		names = append(names, e.hdr.Name)
		if e.hdr.Typeflag != tar.TypeReg || e.hdr.Mode != 0o600 || e.hdr.ModTime.Unix() != 0 || e.hdr.Uid != 0 || e.hdr.Gid != 0 || e.hdr.Uname != "" {
			t.Errorf("%s: header %+v", e.hdr.Name, e.hdr)
		}
	}
	want := []string{
		"manifest.json",
		"tenants/acme/clients/%57eb.json", "tenants/acme/clients/web.json",
		"tenants/acme/scopes/openid.json", "tenants/acme/scopes/orders%3A" + strings.Repeat("%57", 70) + ".json", "tenants/acme/scopes/orders%3Aread.json",
		"tenants/acme/tenant.json", "tenants/globex/tenant.json",
		"keys/acme/jwks.json", "keys/acme/keyset.json", "keys/global/jwks.json", "keys/global/keyset.json",
		"system/cluster.json", "system/stage.json",
		"system/counters.json",
		"system/stage/tenants/initech/tenant.json", "system/stage-deletions.txt",
		"system/requests.jsonl",
		"SHA256SUMS",
	}
	if !slices.Equal(names, want) {
		t.Errorf("members:\n%s\nwant:\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	var sums strings.Builder
	for _, e := range list[:len(list)-1] {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(e.body), e.hdr.Name)
	}
	if got := string(list[len(list)-1].body); got != sums.String() {
		t.Errorf("SHA256SUMS:\n%s\nwant:\n%s", got, sums.String())
	}
	if got, want := string(list[16].body), "tenants/acme/clients/web.json\ntenants/globex/tenant.json\n"; got != want {
		t.Errorf("staged deletions %q, want %q", got, want)
	}
	var m map[string]any
	if err := json.Unmarshal(list[0].body, &m); err != nil || m["kind"] != "snapshot" || m["format_version"] != "1.0" {
		t.Errorf("manifest %s: %v", list[0].body, err)
	}
}

// The headers of short names are those of archive/tar, so that no tool has
// reason to read them differently.
func TestHeadersAreUSTAR(t *testing.T) {
	for _, size := range []int64{0, 1, 511, 512, 1 << 32, maxSize} {
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "tenants/acme/tenant.json", Size: size, Mode: 0o600, Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if got := appendHeader(nil, "tenants/acme/tenant.json", size); !bytes.Equal(got, b.Bytes()) {
			t.Errorf("size %d:\n%q\nwant\n%q", size, got, b.Bytes())
		}
	}
}

// A record counts the digits of its own length, which may add one.
func TestPAXRecordsCountThemselves(t *testing.T) {
	for n := 1; n <= maxName; n++ {
		r := paxRecord(strings.Repeat("x", n))
		var got int
		if fmt.Sscanf(r, "%d path=", &got); got != len(r) {
			t.Fatalf("name of %d bytes: record says %d, has %d", n, got, len(r))
		}
	}
}

func TestWritingGoesOnWhileTheStateChanges(t *testing.T) {
	tx := build(t, sampleDocs(t)...)
	remember(tx, 500)
	img, _ := tx.Freeze(7, 1)
	want := pack(t, img)
	var more []doc
	for i := range 300 {
		more = append(more, clientDoc(t, "acme", fmt.Sprintf("c%d", i), `{"grant_types":["client_credentials"],"response_types":[],"scopes":[]}`, 8))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i, d := range more {
			if err := tx.Load(d.path, d.bytes); err != nil {
				t.Error(err)
			}
			tx.Remember(store.Record{ID: fmt.Sprintf("later-%d", i), Time: testTime + store.Time(1000+i)})
			tx.Freeze(uint64(8+i), 1)
		}
		if err := tx.Clients("acme").Delete("web"); err != nil {
			t.Error(err)
		}
	}()
	for range 20 {
		if !bytes.Equal(pack(t, img), want) {
			t.Error("the archive of a frozen state changed")
		}
	}
	<-done
	if !bytes.Equal(pack(t, img), want) {
		t.Error("the archive of a frozen state changed")
	}
}

var update = flag.Bool("update", false, "write testdata/ again")

// testdata/format-1.0.tgz was written by the first release. It must be readable
// for ever, and its tar stream must be what is written now; only the compressor
// may come to other bytes. It has no documents, whose form is package store's.
func TestTheFormatIsThatOfTheFirstRelease(t *testing.T) {
	const path = "testdata/format-1.0.tgz"
	tx := build(t)
	remember(tx, 3)
	img, _ := tx.Freeze(77, 3)
	now := pack(t, img)
	if *update {
		if err := os.WriteFile(path, now, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	then, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := unpack(t, then)
	if c.Image.Index != 77 || c.Image.Term != 3 || c.Image.StateDigest() != img.StateDigest() || c.Manifest.ClusterID != testCluster {
		t.Errorf("it reads as %+v", c.Manifest)
	}
	if !bytes.Equal(tarOf(parts(t, then)), tarOf(parts(t, now))) {
		t.Error("another tar stream is written now")
	}
}

func TestSourceCountsWhatItWrites(t *testing.T) {
	var b bytes.Buffer
	n, err := Source{small(t), testCluster}.WriteTo(&b)
	if err != nil || n != int64(b.Len()) || n == 0 {
		t.Errorf("n = %d of %d, err = %v", n, b.Len(), err)
	}
}
