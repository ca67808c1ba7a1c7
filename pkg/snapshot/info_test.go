package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

func save(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup.tgz")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInspectShowsWhatTheArchiveHolds(t *testing.T) {
	img := sample(t)
	b := pack(t, img)
	path := save(t, b)
	c := unpack(t, b)
	got, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"format_version":"1.0","kind":"snapshot_info","file":%q,"size":%d,"sha256":%q,"intact":true,`+
		`"cluster_id":%q,"index":9800,"term":4,"revision":9,"created_at":"2025-11-24T16:00:00.00001Z","level":1,"digest":%q,"state_digest":%q,`+
		`"seal_key_ids":["key-a","key-b","key-c"],"counts":{"tenants":2,"clients":2,"scopes":3,"keys":2},"tenants":["acme","globex"]}`,
		path, len(b), c.SHA256, testCluster, img.DataDigest(), img.StateDigest())
	if string(out) != want {
		t.Errorf("\n%s\nwant\n%s", out, want)
	}
	if v, err := Verify(path); err != nil || v.SHA256 != c.SHA256 || !v.Intact {
		t.Errorf("Verify = %+v, %v", v, err)
	}
}

func TestInspectOfAnEmptyStateHasNoNull(t *testing.T) {
	info, err := Inspect(save(t, pack(t, store.NewImage())))
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := json.Marshal(info); strings.Contains(string(out), `:null`) && strings.Count(string(out), ":null") != 1 || info.Tenants == nil || info.SealKeyIDs == nil {
		t.Errorf("%s: only created_at may be null", out)
	}
}

func TestInspectOfWhatIsNotIntact(t *testing.T) {
	good := pack(t, sample(t))
	dir := t.TempDir()
	for _, c := range []struct {
		fact string
		path string
		want error
		info bool
	}{
		{"a truncated archive shows its manifest", save(t, good[:len(good)-100]), store.ErrIntegrity, true},
		{"an archive cut in its manifest shows nothing", save(t, good[:30]), store.ErrIntegrity, false},
		{"a text file shows nothing", save(t, []byte("hello")), store.ErrIntegrity, false},
		{"an archive of a newer level shows its manifest", save(t, newerLevel(t)), store.ErrNewer, true},
		{"a file that is not there", filepath.Join(dir, "none.tgz"), store.ErrInvalid, false},
		{"a directory", dir, store.ErrInvalid, false},
	} {
		t.Run(c.fact, func(t *testing.T) {
			info, err := Inspect(c.path)
			if !errors.Is(err, c.want) || (info != nil) != c.info {
				t.Fatalf("info = %+v, err = %v, want %v", info, err, c.want)
			}
			if info != nil && (info.Intact || info.ClusterID != testCluster || info.SHA256 != sumOf(t, c.path)) {
				t.Errorf("info = %+v", info)
			}
			if v, err := Verify(c.path); v != nil || !errors.Is(err, c.want) {
				t.Errorf("Verify = %+v, %v", v, err)
			}
		})
	}
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func newerLevel(t *testing.T) []byte {
	tx := build(t)
	c := tx.Counters()
	c.Level = 1 << 20
	tx.SetCounters(c)
	img, _ := tx.Freeze(1, 1)
	return pack(t, img)
}

func TestDiffNamesWhatChanges(t *testing.T) {
	docs := sampleDocs(t)
	a, _ := build(t, docs...).Freeze(1, 1)
	tx := build(t, docs...)
	for _, d := range []doc{
		tenantDoc(t, "globex", `{"slug":"globex","display_name":"Globex"}`, 8),
		tenantDoc(t, "initech", `{"slug":"initech"}`, 8),
		clientDoc(t, "acme", "zz", `{"grant_types":["client_credentials"],"response_types":[],"scopes":[]}`, 8),
	} {
		if err := tx.Load(d.path, d.bytes); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tx.Clients("acme").Delete("web"), tx.Keys("global").Delete("global")); err != nil {
		t.Fatal(err)
	}
	if err := tx.PutSystem("system/cluster.json", map[string]string{"x": "y"}); err != nil {
		t.Fatal(err)
	}
	b, _ := tx.Freeze(2, 1)
	empty := store.NewImage()
	for _, c := range []struct {
		fact string
		a, b *store.Image
		want []string
	}{
		{"the same state", a, a, nil},
		{"the same documents, read from an archive", a, unpack(t, pack(t, a)).Image, nil},
		{"changes, without those below system/", a, b, []string{
			"- keys/global/jwks.json", "- keys/global/keyset.json",
			"- tenants/acme/clients/web.json", "+ tenants/acme/clients/zz.json", "~ tenants/globex/tenant.json", "+ tenants/initech/tenant.json",
		}},
		{"and the other way round", b, a, []string{
			"+ keys/global/jwks.json", "+ keys/global/keyset.json",
			"+ tenants/acme/clients/web.json", "- tenants/acme/clients/zz.json", "~ tenants/globex/tenant.json", "- tenants/initech/tenant.json",
		}},
		{"everything is new", empty, a, all("+", a)},
		{"everything goes", a, empty, all("-", a)},
		{"nothing and nothing", empty, empty, nil},
	} {
		t.Run(c.fact, func(t *testing.T) {
			var got []string
			for ch := range Diff(c.a, c.b) {
				got = append(got, ch.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	for ch := range Diff(empty, a) {
		if ch.Path != "keys/acme/jwks.json" {
			t.Errorf("first change %v", ch)
		}
		break // must not go on
	}
}

func all(op string, img *store.Image) (list []string) {
	for d := range documents(img) {
		list = append(list, op+" "+d.Path)
	}
	return list
}

func TestSealKeyIDsAreThoseOfSealedValues(t *testing.T) {
	setting := func(json string) doc {
		return tenantDoc(t, "acme", `{"slug":"acme","settings":{"x":`+json+`}}`, 2)
	}
	s := `{"enc":"A256GCM","key_id":"k1","nonce":"AAAAAAAAAAAAAAAA","ciphertext":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`
	for _, c := range []struct {
		fact string
		docs []doc
		want string
	}{
		{"nothing is sealed", nil, "[key-c]"}, // the fixture's system/cluster.json
		{"a private key", keysetDocs(t, "global", "k2", 2), "[k2 key-c]"},
		{"a sealed setting", []doc{setting(`{"sealed":` + s + `}`)}, "[k1 key-c]"},
		{"a sealed setting inside another", []doc{setting(`{"y":{"sealed":` + s + `}}`)}, "[k1 key-c]"},
		{"a setting that only looks sealed", []doc{setting(s)}, "[key-c]"},
		{"a setting that only looks sealed, in a list", []doc{setting(`[` + s + `]`)}, "[key-c]"},
		{"a text that looks sealed", []doc{setting(`"\"sealed\": {\"ciphertext\": \"x\", \"key_id\": \"k9\"}"`)}, "[key-c]"},
		{"keys of several, sorted and once each", append(keysetDocs(t, "global", "z", 2), setting(`{"sealed":`+s+`}`)), "[k1 key-c z]"},
	} {
		img, _ := build(t, c.docs...).Freeze(1, 1)
		if got := fmt.Sprint(SealKeyIDs(img)); got != c.want {
			t.Errorf("%s: %s, want %s", c.fact, got, c.want)
		}
	}
	tx := build(t)
	if err := tx.BeginStage(store.Stage{ID: "s"}); err != nil {
		t.Fatal(err)
	}
	d := keysetDocs(t, "global", "staged", 2)[1]
	if err := tx.PutStaged(d.path, d.bytes); err != nil {
		t.Fatal(err)
	}
	img, _ := tx.Freeze(1, 1)
	if got := fmt.Sprint(SealKeyIDs(img)); got != "[key-c staged]" {
		t.Errorf("a staged keyset: %s", got)
	}
}
