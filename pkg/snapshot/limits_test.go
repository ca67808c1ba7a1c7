package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
	"github.com/klauspost/compress/gzip"
)

// stored is a gzip stream of stored blocks with the header of an archive.
func stored(plain []byte) []byte {
	b := bytes.Clone(gzipHeader)
	rest := plain
	for len(rest) > 0 {
		n := min(len(rest), 0xffff)
		b = append(b, 0)
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint16(b, ^uint16(n))
		b = append(b, rest[:n]...)
		rest = rest[n:]
	}
	b = append(b, 1, 0, 0, 0xff, 0xff)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(plain))
	return binary.LittleEndian.AppendUint32(b, uint32(len(plain)))
}

// allocated is how many bytes f allocates in all, which bounds what it ever
// holds at once.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// bomb is an archive whose member claims 4 GiB and has size bytes of c.
func bomb(t testing.TB, before []part, name string, c byte, size int64, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	gz, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	head := tarOf(before)
	if _, err := gz.Write(head[:len(head)-2*blockSize]); err != nil {
		t.Fatal(err)
	}
	if _, err := gz.Write(appendHeader(nil, name, 4<<30)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(gz, repeated(c), size); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	b := out.Bytes()
	copy(b, gzipHeader)
	return b
}

type repeated byte

func (c repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

func TestBombsAreRefusedInBoundedMemory(t *testing.T) {
	list := parts(t, pack(t, sample(t)))
	upTo := func(name string) []part { return list[:find(t, list, name)] }
	newer := []part{{name: manifestName, body: []byte(`{"kind":"snapshot","format_version":"2.0"}`)}}
	const size, fast = 9 << 20, gzip.BestSpeed
	for _, c := range []struct {
		fact  string
		bytes []byte
		lim   Limits
		words string
	}{
		{"a document", bomb(t, upTo("tenants/globex/tenant.json"), "tenants/globex/tenant.json", ' ', size, fast), Limits{}, "at most 65536"},
		{"a keyset", bomb(t, upTo("keys/acme/keyset.json"), "keys/acme/keyset.json", ' ', size, fast), Limits{}, "at most 131072"},
		{"a manifest", bomb(t, nil, manifestName, ' ', size, fast), Limits{}, "at most"},
		{"a request table of one line", bomb(t, upTo(requestsName), requestsName, 'x', size, fast), Limits{}, "longer than"},
		{"sums", bomb(t, list[:len(list)-1], sumsName, '0', size, fast), Limits{}, "SHA256SUMS"},
		{"a member of a newer version, by its ratio", bomb(t, newer, "blob", 0, 9<<20, gzip.BestCompression), Limits{floor: 4 << 20}, "times its size"},
		{"a member of a newer version, by its size", bomb(t, newer, "blob", 0, size, fast), Limits{Member: 1 << 20}, `"blob" has`},
		{"a member of a newer version, by the whole", bomb(t, newer, "blob", 0, size, fast), Limits{Total: 8 << 20}, "more than 8388608 bytes"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			total := allocated(func() {
				_, err := Read(bytes.NewReader(c.bytes), c.lim)
				if err == nil || !bytes.Contains([]byte(err.Error()), []byte(c.words)) {
					t.Errorf("err = %v, want it to say %q", err, c.words)
				}
			})
			if total > 30<<20 {
				t.Errorf("%d bytes were allocated for an archive of %d", total, len(c.bytes))
			}
		})
	}
}

func TestHeadersClaimNoMemory(t *testing.T) {
	list := parts(t, pack(t, sample(t)))
	i := find(t, list, "system/cluster.json")
	plain := tarOf(list[:i])
	plain = append(plain[:len(plain)-2*blockSize], appendHeader(nil, "system/cluster.json", maxSystemDoc)...)
	total := allocated(func() {
		if _, err := readTar(plain); err == nil {
			t.Error("accepted")
		}
	})
	if total > 8<<20 {
		t.Errorf("%d bytes were allocated for a claim", total)
	}
}

func TestLimitsAreTheCallers(t *testing.T) {
	good := pack(t, sample(t))
	n := len(entries(t, good))
	plain := int64(len(tarOf(parts(t, good))))
	for _, c := range []struct {
		fact string
		lim  Limits
		ok   bool
	}{
		{"as many members as there are", Limits{Members: n}, true},
		{"one member less", Limits{Members: n - 1}, false},
		{"as many bytes as there are", Limits{Total: plain}, true},
		{"one byte less", Limits{Total: plain - 1}, false},
		{"members that are too large", Limits{Member: 100}, false},
	} {
		_, err := Read(bytes.NewReader(good), c.lim)
		if (err == nil) != c.ok {
			t.Errorf("%s: err = %v", c.fact, err)
		}
	}
}

// large is a state of n clients.
func large(t testing.TB, n int) *store.Image {
	t.Helper()
	docs := []doc{tenantDoc(t, "acme", `{"slug":"acme"}`, 2)}
	template := clientDoc(t, "acme", "c000000", `{"grant_types":["client_credentials"],"response_types":[],"scopes":[]}`, 3)
	for i := range n {
		id := fmt.Sprintf("c%06d", i)
		docs = append(docs, doc{store.ClientPath("acme", id), bytes.Replace(template.bytes, []byte("c000000"), []byte(id), 1)})
	}
	tx := build(t, docs...)
	remember(tx, n/10)
	img, _ := tx.Freeze(1, 1)
	return img
}

// What a document costs while it is written is a few small values, none of which
// stays: the archive of a hundred times the state needs no more memory at once.
func TestWritingHoldsNothingOfTheState(t *testing.T) {
	live := func(img *store.Image) uint64 {
		peak := &peakWriter{}
		runtime.GC()
		runtime.ReadMemStats(&peak.stats)
		peak.base = peak.stats.HeapAlloc
		if err := Write(peak, img, testCluster); err != nil {
			t.Fatal(err)
		}
		return peak.most
	}
	few, many := live(large(t, 100)), live(large(t, 10_000))
	if many > few+1<<20 {
		t.Errorf("writing 10,000 documents held %d bytes, 100 held %d", many, few)
	}
}

// peakWriter measures, every 128 KiB of output, what is reachable.
type peakWriter struct {
	n, next    int
	base, most uint64
	stats      runtime.MemStats
}

func (p *peakWriter) Write(b []byte) (int, error) {
	if p.n += len(b); p.n >= p.next {
		p.next = p.n + 128<<10
		runtime.GC()
		runtime.ReadMemStats(&p.stats)
		if p.stats.HeapAlloc > p.base {
			p.most = max(p.most, p.stats.HeapAlloc-p.base)
		}
	}
	return len(b), nil
}

func TestManyDocumentsReadBack(t *testing.T) {
	t.Parallel()
	img := large(t, 2_000)
	c := unpack(t, pack(t, img))
	if c.Image.StateDigest() != img.StateDigest() || c.Members != 2_006 {
		t.Errorf("%d members, digest %s, want %s", c.Members, c.Image.StateDigest(), img.StateDigest())
	}
}

// Documents are judged several at a time; which fault is reported does not
// depend on which was found first.
func TestTheFirstFaultIsReported(t *testing.T) {
	t.Parallel()
	list := parts(t, pack(t, large(t, 2*batchPieces)))
	for _, id := range []string{"c000400", "c000100", "c000101", "c000300"} {
		edit(t, list, "tenants/acme/clients/"+id+".json", `"enabled": true`, `"enabled":  true`)
	}
	b := zip(t, tarOf(resum(list)))
	for range 5 {
		wantRefused(t, b, store.CodeIntegrity, `member "tenants/acme/clients/c000100.json"`, "canonical")
	}
}

func BenchmarkWrite(b *testing.B) {
	img := large(b, 10_000)
	for b.Loop() {
		if err := Write(io.Discard, img, testCluster); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	packed := pack(b, large(b, 10_000))
	for b.Loop() {
		if _, err := Read(bytes.NewReader(packed), Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
