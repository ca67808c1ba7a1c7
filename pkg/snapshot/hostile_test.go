package snapshot

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
	"github.com/klauspost/compress/gzip"
)

// part is a member of a crafted archive; header overrides the right one.
type part struct {
	name   string
	body   []byte
	header []byte
}

func parts(t testing.TB, b []byte) []part {
	t.Helper()
	var list []part
	for _, e := range entries(t, b) {
		list = append(list, part{name: e.hdr.Name, body: e.body})
	}
	return list
}

// tarOf is the tar stream of the parts, with its two final blocks.
func tarOf(list []part) []byte {
	var b []byte
	for _, p := range list {
		if p.header != nil {
			b = append(b, p.header...)
		} else {
			b = appendHeader(b, p.name, int64(len(p.body)))
		}
		b = append(b, p.body...)
		b = append(b, zeroBlock[:padding(int64(len(p.body)))]...)
	}
	return append(b, make([]byte, 2*blockSize)...)
}

// zip compresses as Write does.
func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	gz, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	gz.ModTime = time.Unix(0, 0)
	if _, err := gz.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// resum gives the last part the sums of all others.
func resum(list []part) []part {
	var sums []byte
	for _, p := range list[:len(list)-1] {
		sum := sha256.Sum256(p.body)
		sums = appendSum(sums, sum[:], p.name)
	}
	list[len(list)-1].body = sums
	return list
}

func find(t testing.TB, list []part, name string) int {
	t.Helper()
	i := slices.IndexFunc(list, func(p part) bool { return p.name == name })
	if i < 0 {
		t.Fatalf("no member %s", name)
	}
	return i
}

// wantRefused checks that an archive is refused with one line of the class that
// holds all words.
func wantRefused(t *testing.T, b []byte, code store.Code, words ...string) {
	t.Helper()
	c, err := Read(bytes.NewReader(b), Limits{})
	var refusal *store.Error
	if !errors.As(err, &refusal) || refusal.Code != code || c != nil {
		t.Fatalf("contents = %v, err = %v, want a refusal of class %s", c, err, code)
	}
	if strings.Contains(err.Error(), "\n") || len(err.Error()) > 500 {
		t.Errorf("not one line: %q", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("err = %q, want it to say %q", err, w)
		}
	}
}

// insert puts a part before the one of that name.
func insert(t testing.TB, list []part, before string, p part) []part {
	t.Helper()
	return slices.Insert(list, find(t, list, before), p)
}

func edit(t testing.TB, list []part, name, old, new string) []part {
	t.Helper()
	p := &list[find(t, list, name)]
	if !bytes.Contains(p.body, []byte(old)) {
		t.Fatalf("%s does not hold %q:\n%s", name, old, p.body)
	}
	p.body = bytes.Replace(p.body, []byte(old), []byte(new), 1)
	return list
}

func drop(t testing.TB, list []part, name string) []part {
	t.Helper()
	i := find(t, list, name)
	return slices.Delete(list, i, i+1)
}

func TestReadRefusesMembersThatAreNotOurs(t *testing.T) {
	good := pack(t, sample(t))
	in := func(before, name string) func([]part) []part {
		return func(l []part) []part { return insert(t, l, before, part{name: name, body: []byte("{}\n")}) }
	}
	for _, c := range []struct {
		fact  string
		craft func([]part) []part
		words string
	}{
		{"an absolute name", in("keys/acme/jwks.json", "/etc/passwd"), `"/etc/passwd"`},
		{"a name that leaves", in("keys/acme/jwks.json", "tenants/../../x.json"), `"tenants/../../x.json"`},
		{"a name that begins with ..", in("keys/acme/jwks.json", "../x"), "hostile"},
		{"a name with an empty part", in("keys/acme/jwks.json", "tenants//tenant.json"), "hostile"},
		{"a name with a line break", in("keys/acme/jwks.json", "tenants/a\nb/tenant.json"), "hostile"},
		{"a name with a backslash", in("keys/acme/jwks.json", `tenants\x`), "hostile"},
		{"a name with a dot in front", in("system/stage.json", "system/.hidden.json"), "hostile"},
		{"a hidden name with escapes", in("keys/acme/jwks.json", "tenants/zz/clients/.web.json"), "hostile"},
		{"a file that is no document", in("keys/acme/jwks.json", "tenants/acme/zz.json"), "not part of a snapshot"},
		{"a slug in upper case", in("tenants/acme/tenant.json", "tenants/ACME/tenant.json"), "not part of a snapshot"},
		{"a second spelling of a name", in("tenants/acme/clients/web.json", "tenants/acme/clients/%77eb.json"), "not part of a snapshot"},
		{"a name of a foreign group", in("SHA256SUMS", "zz/readme.txt"), "not part of a snapshot"},
		{"an archive's name in a directory", in("SHA256SUMS", "system/zz/manifest"), "not part of a snapshot"},
		{"a long foreign name", in("SHA256SUMS", "tenants/"+strings.Repeat("x", 300)), "not part of a snapshot"},
		{"a staged name that leaves", in("system/requests.jsonl", "system/stage/../x.json"), "hostile"},
		{"a staged document below system/", in("system/requests.jsonl", "system/stage/system/cluster.json"), "not part of a snapshot"},
		{"a document twice", func(l []part) []part {
			return slices.Insert(l, find(t, l, "tenants/globex/tenant.json"), l[find(t, l, "tenants/acme/tenant.json")])
		}, `"tenants/acme/tenant.json" is there twice`},
		{"a document twice, apart", func(l []part) []part {
			return insert(t, l, "keys/acme/jwks.json", l[find(t, l, "tenants/acme/tenant.json")])
		}, "out of order or there twice"},
		{"documents that changed places", func(l []part) []part {
			i := find(t, l, "tenants/globex/tenant.json")
			l[i-1], l[i] = l[i], l[i-1]
			return l
		}, "out of order"},
		{"keys before tenants", func(l []part) []part {
			i := find(t, l, "keys/acme/jwks.json")
			return append(slices.Concat(l[:1], l[i:i+4], l[1:i]), l[i+4:]...)
		}, "out of order"},
		{"two manifests", func(l []part) []part { return slices.Insert(l, 1, l[0]) }, `"manifest.json" is there twice`},
		{"names that differ in case only", func(l []part) []part {
			l = insert(t, l, "system/cluster.json", part{name: "system/Cluster.json", body: []byte("{}\n")})
			return l
		}, "differ in case only"},
		{"a member after the sums", func(l []part) []part { return append(l, part{name: "tenants/zz/tenant.json"}) }, "follows SHA256SUMS"},
		{"no manifest", func(l []part) []part { return l[1:] }, "not a cpctl snapshot"},
		{"a manifest that is not first", func(l []part) []part { l[0], l[1] = l[1], l[0]; return l }, "not a cpctl snapshot"},
		{"no sums", func(l []part) []part { return l[:len(l)-1] }, "SHA256SUMS is missing"},
		{"no counters", func(l []part) []part { return resum(drop(t, l, "system/counters.json")) }, "system/counters.json is missing"},
		{"counters behind the staged documents", func(l []part) []part {
			i := find(t, l, "system/counters.json")
			l[i], l[i+1] = l[i+1], l[i]
			return l
		}, "system/counters.json is missing"},
		{"no request table", func(l []part) []part { return resum(drop(t, l, "system/requests.jsonl")) }, "system/requests.jsonl is missing"},
		{"an empty archive", func(l []part) []part { return nil }, ""},
		{"only a manifest and sums", func(l []part) []part { return resum([]part{l[0], l[len(l)-1]}) }, "system/counters.json is missing"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			wantRefused(t, zip(t, tarOf(c.craft(parts(t, good)))), store.CodeIntegrity, c.words)
		})
	}
}

func TestReadRefusesHeadersThatAreNotOurs(t *testing.T) {
	good := pack(t, sample(t))
	header := func(h tar.Header) []byte {
		t.Helper()
		var b bytes.Buffer
		if h.Name == "" && h.Typeflag != tar.TypeXGlobalHeader {
			h.Name = "tenants/acme/tenant.json"
		}
		if h.ModTime.IsZero() && h.Typeflag != tar.TypeXGlobalHeader {
			h.ModTime = time.Unix(0, 0)
		}
		if err := tar.NewWriter(&b).WriteHeader(&h); err != nil {
			t.Fatalf("%+v: %v", h, err)
		}
		return b.Bytes()
	}
	body := parts(t, good)[find(t, parts(t, good), "tenants/acme/tenant.json")].body
	size := int64(len(body))
	for _, c := range []struct {
		fact  string
		hdr   []byte
		words string
	}{
		{"a symbolic link", header(tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd", Mode: 0o600}), "is a link"},
		{"a hard link", header(tar.Header{Typeflag: tar.TypeLink, Linkname: "manifest.json", Mode: 0o600}), "is a link"},
		{"a character device", header(tar.Header{Typeflag: tar.TypeChar, Mode: 0o600}), "is a device"},
		{"a block device", header(tar.Header{Typeflag: tar.TypeBlock, Mode: 0o600}), "is a device"},
		{"a pipe", header(tar.Header{Typeflag: tar.TypeFifo, Mode: 0o600}), "is a device"},
		{"a directory", header(tar.Header{Typeflag: tar.TypeDir, Name: "tenants/", Mode: 0o700}), "is a directory"},
		{"a mode of its own", header(tar.Header{Typeflag: tar.TypeReg, Mode: 0o644, Size: size}), "not as cpctl writes it"},
		{"a setuid mode", header(tar.Header{Typeflag: tar.TypeReg, Mode: 0o4755, Size: size}), "not as cpctl writes it"},
		{"an owner", header(tar.Header{Typeflag: tar.TypeReg, Mode: 0o600, Size: size, Uid: 1000}), "not as cpctl writes it"},
		{"an owner's name", header(tar.Header{Typeflag: tar.TypeReg, Mode: 0o600, Size: size, Uname: "root"}), "not as cpctl writes it"},
		{"a time", header(tar.Header{Typeflag: tar.TypeReg, Mode: 0o600, Size: size, ModTime: time.Unix(1, 0)}), "not as cpctl writes it"},
		{"a PAX record of an extended attribute", header(tar.Header{Typeflag: tar.TypeReg, Mode: 0o600, Size: size, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "1"}}), "PAX"},
		{"a PAX record that moves a short name", header(tar.Header{Typeflag: tar.TypeReg, Mode: 0o600, Size: size, Format: tar.FormatPAX, ModTime: time.Unix(0, 1)}), "PAX"},
		{"a global PAX header", header(tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}), "tar type 'g'"},
		{"a GNU long name", header(tar.Header{Typeflag: tar.TypeReg, Mode: 0o600, Size: size, Format: tar.FormatGNU, Name: strings.Repeat("tenants/", 20) + "x"}), "tar type 'L'"},
		{"a GNU header", header(tar.Header{Typeflag: tar.TypeReg, Mode: 0o600, Size: size, Format: tar.FormatGNU}), "not as cpctl writes it"},
		{"a name split over the prefix", header(tar.Header{Typeflag: tar.TypeReg, Mode: 0o600, Size: size, Format: tar.FormatUSTAR, Name: "tenants/" + strings.Repeat("a", 60) + "/scopes/" + strings.Repeat("b", 60) + ".json"}), ""},
		{"an old tar header", func() []byte {
			h := appendHeader(nil, "tenants/acme/tenant.json", size)
			h[156] = 0
			return h
		}(), "tar type"},
		{"a wrong checksum", func() []byte {
			h := appendHeader(nil, "tenants/acme/tenant.json", size)
			h[150]++
			return h
		}(), "not as cpctl writes it"},
		{"a size in base 256", func() []byte {
			h := appendHeader(nil, "tenants/acme/tenant.json", size)
			h[124] = 0x80
			return h
		}(), "has no size"},
		{"bytes after the end of the name", func() []byte {
			h := appendHeader(nil, "tenants/acme/tenant.json", size)
			copy(h[60:], "/../../x")
			return h
		}(), "not as cpctl writes it"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			list := parts(t, good)
			list[find(t, list, "tenants/acme/tenant.json")].header = c.hdr
			wantRefused(t, zip(t, tarOf(list)), store.CodeIntegrity, c.words)
		})
	}
}

func TestReadRefusesWhatSurroundsTheMembers(t *testing.T) {
	img := sample(t)
	good := pack(t, img)
	plain := tarOf(parts(t, good))
	if !bytes.Equal(zip(t, plain), good) {
		t.Fatal("the crafted archive is not the one that Write makes")
	}
	for _, c := range []struct {
		fact  string
		bytes []byte
		words string
	}{
		{"nothing", nil, "empty"},
		{"text", []byte("hello, this is a text file\n"), "not a cpctl snapshot"},
		{"zeros", make([]byte, 100), "not a cpctl snapshot"},
		{"a tar that is not compressed", plain, "not a cpctl snapshot"},
		{"the first bytes of a gzip header", good[:5], "truncated"},
		{"a gzip of nothing", zip(t, nil), "truncated"},
		{"a gzip of text", zip(t, []byte(strings.Repeat("hello ", 200))), ""},
		{"a byte after the gzip stream", append(bytes.Clone(good), 0), "bytes follow"},
		{"a second gzip stream", append(bytes.Clone(good), good...), "bytes follow"},
		{"a third zero block", zip(t, append(bytes.Clone(plain), zeroBlock[:]...)), "goes on after its end"},
		{"one zero block", zip(t, plain[:len(plain)-blockSize]), "truncated"},
		{"no zero block", zip(t, plain[:len(plain)-2*blockSize]), "truncated"},
		{"a tar behind the tar", zip(t, append(bytes.Clone(plain), plain...)), "goes on after its end"},
		{"one zero block and more", zip(t, append(bytes.Clone(plain[:len(plain)-blockSize]), plain...)), "goes on after its end"},
		{"padding that is not zero", func() []byte {
			b := bytes.Clone(plain)
			b[bytes.Index(b, []byte("}\n\x00"))+2] = 'x' // the first padding byte of the manifest
			return zip(t, b)
		}(), "padding"},
		{"a gzip time", func() []byte { b := bytes.Clone(good); b[4] = 1; return b }(), "gzip header"},
		{"a gzip system", func() []byte { b := bytes.Clone(good); b[9] = 3; return b }(), "gzip header"},
	} {
		t.Run(c.fact, func(t *testing.T) { wantRefused(t, c.bytes, store.CodeIntegrity, c.words) })
	}
}

// Content is judged even when the sums hold: whoever edits an archive can
// compute them again.
func TestReadRefusesEditedContent(t *testing.T) {
	good := pack(t, sample(t))
	for _, c := range []struct {
		fact, name, old, new string
		words                string
	}{
		{"a document with another name inside", "tenants/globex/tenant.json", `"slug": "globex"`, `"slug": "initro"`, "globex"},
		{"a document with other spaces", "tenants/globex/tenant.json", `"slug": "globex"`, `"slug":  "globex"`, "canonical"},
		{"a document with a foreign field", "tenants/globex/tenant.json", `"slug": "globex"`, `"slug": "globex", "x": 1`, "globex"},
		{"a document that is no JSON", "tenants/globex/tenant.json", `{`, `[`, "globex"},
		{"a document of another value", "tenants/globex/tenant.json", `"max_clients": 10000`, `"max_clients": 10001`, "manifest.json"},
		{"a revision above the manifest's", "tenants/globex/tenant.json", `"revision": 2`, `"revision": 10`, "globex"},
		{"a system document with other spaces", "system/cluster.json", `{`, `{ `, "canonical"},
		{"a system document of another value", "system/cluster.json", `key-c`, `key-d`, "manifest.json"},
		{"counters that are no JSON", "system/counters.json", `{`, `x`, "counters"},
		{"counters of another revision", "system/counters.json", `"revision": 9`, `"revision": 10`, "revision"},
		{"counters in another order", "system/counters.json", `{`, "{\n  \"level\": 1,", "counters"},
		{"a manifest that is no JSON", "manifest.json", `{`, `x`, "manifest.json"},
		{"a manifest of another kind", "manifest.json", `"snapshot"`, `"backup"`, "backup"},
		{"a manifest with a foreign field", "manifest.json", `{`, "{\n  \"x\": 1,", "canonical"},
		{"a manifest of an unknown version", "manifest.json", `"1.0"`, `"0.9"`, "0.9"},
		{"a manifest with no version", "manifest.json", `"1.0"`, `"one"`, "one"},
		{"a manifest with a strange version", "manifest.json", `"1.0"`, `"+2.0"`, "+2.0"},
		{"a manifest of another level", "manifest.json", `"level": 1`, `"level": 0`, "level"},
		{"a manifest of another revision", "manifest.json", `"revision": 9`, `"revision": 8`, "revision"},
		{"a manifest of other counts", "manifest.json", `"tenants": 2`, `"tenants": 3`, "counts"},
		{"a manifest of another time", "manifest.json", `"created_at": "2025`, `"created_at": "2024`, "created_at"},
		{"a manifest of another digest", "manifest.json", `"digest": "`, `"digest": "0`, "digest"},
		{"a manifest of other keys", "manifest.json", `"key-b"`, `"key-x"`, "seal_key_ids"},
		{"a manifest without keys", "manifest.json", "[\n    \"key-a\",\n    \"key-b\",\n    \"key-c\"\n  ]", "null", "seal_key_ids"},
		{"a cluster id with a line break", "manifest.json", `"` + testCluster, `"\n`, "cluster id"},
		{"a request twice", "system/requests.jsonl", `"req-000001"`, `"req-000000"`, "twice"},
		{"a request out of order", "system/requests.jsonl", `"sequence":0`, `"sequence":2`, "out of order"},
		{"a request beyond the counters", "system/requests.jsonl", `"sequence":3`, `"sequence":4`, "out of order"},
		{"a request later than the state", "system/requests.jsonl", `"time":"2025`, `"time":"2027`, "later"},
		{"a request with a hostile id", "system/requests.jsonl", `"req-000001"`, `"../../x"`, "not valid"},
		{"a request in another form", "system/requests.jsonl", `{`, `{ `, "canonical"},
		{"a request with another answer", "system/requests.jsonl", `"revision":1`, `"revision":2`, "state_digest"},
		{"a line without an end", "system/requests.jsonl", "already exists\"}}\n", "already exists\"}}", "no end"},
		{"a line that is no JSON", "system/requests.jsonl", "{", "x", "requests"},
		{"a staged document with other spaces", "system/stage/tenants/initech/tenant.json", `{`, `{ `, "initech"},
		{"a staged document of another value", "system/stage/tenants/initech/tenant.json", `"max_clients": 10000`, `"max_clients": 10001`, "state_digest"},
		{"staged deletions out of order", "system/stage-deletions.txt", "tenants/acme/clients/web.json\n", "tenants/zz/clients/web.json\n", "out of order"},
		{"a staged deletion that leaves", "system/stage-deletions.txt", "tenants/acme/clients/web.json", "../x", "stage-deletions"},
		{"a staged deletion less", "system/stage-deletions.txt", "tenants/acme/clients/web.json\n", "", "state_digest"},
		{"a path staged as a document and deleted", "system/stage-deletions.txt", "tenants/globex/", "tenants/initech/", "twice"},
		{"no open stage", "system/stage.json", `"id": "st1"`, `"id": 7`, "stage"},
		{"public keys of another keyset", "keys/acme/jwks.json", `"use": "sig"`, `"use": "enc"`, "jwks.json"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			list := resum(edit(t, parts(t, good), c.name, c.old, c.new))
			wantRefused(t, zip(t, tarOf(list)), store.CodeIntegrity, c.words)
		})
	}
	t.Run("documents and request table of two archives", func(t *testing.T) {
		list := parts(t, good)
		list[find(t, list, requestsName)].body = nil
		wantRefused(t, zip(t, tarOf(resum(list))), store.CodeIntegrity, "state_digest")
	})
	t.Run("an empty list of staged deletions", func(t *testing.T) {
		list := parts(t, good)
		list[find(t, list, deletionsName)].body = nil
		wantRefused(t, zip(t, tarOf(resum(list))), store.CodeIntegrity, deletionsName)
	})
}

func TestReadRefusesSumsThatDoNotHold(t *testing.T) {
	good := pack(t, sample(t))
	sums := func(change func([]byte) []byte) []byte {
		list := parts(t, good)
		last := &list[len(list)-1]
		last.body = change(bytes.Clone(last.body))
		return zip(t, tarOf(list))
	}
	lines := func(f func([][]byte) [][]byte) []byte {
		return sums(func(b []byte) []byte { return bytes.Join(f(bytes.SplitAfter(b, []byte("\n"))), nil) })
	}
	for _, c := range []struct {
		fact  string
		bytes []byte
		words string
	}{
		{"a digit changed", sums(func(b []byte) []byte { b[0] ^= 1; return b }), "manifest.json"},
		{"upper-case digits", sums(func(b []byte) []byte { return append(bytes.ToUpper(b[:64]), b[64:]...) }), "manifest.json"},
		{"a name changed", sums(func(b []byte) []byte { return bytes.Replace(b, []byte("globex"), []byte("global"), 1) }), "globex"},
		{"a line missing", lines(func(l [][]byte) [][]byte { return slices.Delete(l, 3, 4) }), ""},
		{"the last line missing", lines(func(l [][]byte) [][]byte { return l[:len(l)-2] }), "no sum of member \"system/requests.jsonl\""},
		{"lines that changed places", lines(func(l [][]byte) [][]byte { l[2], l[3] = l[3], l[2]; return l }), ""},
		{"a line more", sums(func(b []byte) []byte { return append(b, b[:80]...) }), "missing"},
		{"no line", sums(func(b []byte) []byte { return nil }), "no sum of member"},
	} {
		t.Run(c.fact, func(t *testing.T) { wantRefused(t, c.bytes, store.CodeIntegrity, "SHA256SUMS", c.words) })
	}
	t.Run("a member changed", func(t *testing.T) {
		list := edit(t, parts(t, good), "system/cluster.json", "key-c", "key-d")
		wantRefused(t, zip(t, tarOf(list)), store.CodeIntegrity, `"system/cluster.json" does not match`)
	})
}

func TestReadRefusesReferencesThatDoNotHold(t *testing.T) {
	acme := tenantDoc(t, "acme", `{"slug":"acme","issuer":"https://id.example.com/x"}`, 2)
	openid := scopeDoc(t, "acme", "openid", `{}`, 3)
	client := clientDoc(t, "acme", "web", `{"redirect_uris":["https://a.example/cb"],"scopes":["openid"]}`, 3)
	keys := keysetDocs(t, "acme", "key", 3)
	other := keysetDocs(t, "globex", "key", 3)
	for _, c := range []struct {
		fact  string
		docs  []doc
		words string
	}{
		{"a client without its tenant", []doc{openid, client}, `tenant "acme" does not exist`},
		{"a client without its scope", []doc{acme, client}, `scope "openid" does not exist`},
		{"a scope without its tenant", []doc{openid}, `tenant "acme" does not exist`},
		{"a scope that depends on none", []doc{acme, scopeDoc(t, "acme", "a", `{"depends_on":["openid"]}`, 3)}, `scope "openid" does not exist`},
		{"scopes that depend on each other", []doc{acme, openid,
			scopeDoc(t, "acme", "a", `{"depends_on":["openid","b"]}`, 3), scopeDoc(t, "acme", "b", `{"depends_on":["c"]}`, 3), scopeDoc(t, "acme", "c", `{"depends_on":["a","openid"]}`, 3)}, "depends on itself"},
		{"a keyset without its tenant", keys, `tenant "acme" does not exist`},
		{"a keyset without its public set", []doc{acme, keys[1]}, "keys/acme/jwks.json"},
		{"a public set without its keyset", []doc{acme, keys[0]}, "no keyset beside it"},
		{"the public set of another keyset", []doc{acme, {keys[0].path, other[0].bytes}, keys[1]}, "does not hold the public keys"},
		{"an issuer of two tenants", []doc{acme, tenantDoc(t, "globex", `{"slug":"globex","issuer":"https://id.example.com/x"}`, 2)}, "issuer"},
		{"a revision above the state's", []doc{tenantDoc(t, "acme", `{"slug":"acme"}`, 10)}, "revision 10"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			img, _ := build(t, c.docs...).Freeze(1, 1)
			wantRefused(t, pack(t, img), store.CodeIntegrity, c.words)
		})
	}
	t.Run("accepts the platform's keys without a tenant", func(t *testing.T) {
		img, _ := build(t, keysetDocs(t, "global", "key", 3)...).Freeze(1, 1)
		unpack(t, pack(t, img))
	})
	t.Run("accepts scopes that share a dependency", func(t *testing.T) {
		img, _ := build(t, acme, openid, scopeDoc(t, "acme", "a", `{"depends_on":["openid","b"]}`, 3), scopeDoc(t, "acme", "b", `{"depends_on":["openid"]}`, 3)).Freeze(1, 1)
		unpack(t, pack(t, img))
	})
}

func TestStagedDocumentsNeedAnOpenStage(t *testing.T) {
	tx := build(t)
	d := tenantDoc(t, "acme", `{"slug":"acme"}`, 2)
	if err := tx.PutStaged(d.path, d.bytes); err != nil {
		t.Fatal(err)
	}
	img, _ := tx.Freeze(1, 1)
	wantRefused(t, pack(t, img), store.CodeIntegrity, "no stage is open", "system/stage/tenants/acme/tenant.json")
}

func TestWriteRefusesWhatReadWould(t *testing.T) {
	for _, c := range []struct{ fact, path, cluster string }{
		{"a system document that is not .json", "system/x.txt", testCluster},
		{"a system document in the place of the counters", "system/counters.json", testCluster},
		{"a system document with a hostile name", "system/../x.json", testCluster},
		{"a cluster id with a space", "system/x.json", "a b"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			tx := store.NewImage().Begin()
			if err := tx.PutSystem(c.path, struct{}{}); err != nil {
				t.Fatal(err)
			}
			img, _ := tx.Freeze(1, 1)
			if err := Write(&bytes.Buffer{}, img, c.cluster); !errors.Is(err, store.ErrInternal) {
				t.Errorf("err = %v, want class internal", err)
			}
		})
	}
	t.Run("accepts system documents in directories", func(t *testing.T) {
		tx := store.NewImage().Begin()
		for i := range 3 {
			if err := tx.PutSystem(fmt.Sprintf("system/certs/%02x.json", i), []int{i}); err != nil {
				t.Fatal(err)
			}
		}
		img, _ := tx.Freeze(1, 1)
		unpack(t, pack(t, img))
	})
}
