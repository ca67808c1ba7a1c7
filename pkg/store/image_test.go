package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidwall/btree"
)

// put puts a document in that is encoded here.
func put(t testing.TB, tx *Tx, path string, doc any) {
	t.Helper()
	if err := tx.Load(path, Encode(doc)); err != nil {
		t.Fatalf("load %s: %v", path, err)
	}
}

// populated is a state with every kind of document, staged document and record.
func populated(t testing.TB) *Tx {
	t.Helper()
	tx := NewImage().Begin()
	docs := samples(t)
	for _, path := range slices.Sorted(maps.Keys(docs)) {
		put(t, tx, path, docs[path])
	}
	for _, id := range []string{"api", "Web", "web2"} {
		c := sampleClient()
		c.ClientID, c.Scopes, c.RequirePKCE = id, []string{"openid", "orders:read"}, false
		put(t, tx, ClientPath("acme", id), c)
	}
	if err := tx.PutSystem("system/cluster.json", map[string]string{"cluster_id": "c1"}); err != nil {
		t.Fatal(err)
	}
	if err := tx.BeginStage(Stage{ID: "st1", Actor: "unix/0", Since: 5}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.PutStaged(ScopePath("acme", "orders:read"), nil), tx.PutStaged(ClientPath("acme", "new"), Encode(sampleClient()))); err != nil {
		t.Fatal(err)
	}
	tx.Remember(Record{ID: "r1", Op: "client.create", Time: 10, Names: []string{"client/acme/web"}})
	tx.SetCounters(Counters{Revision: 40, Time: 10, Level: 1, Sequence: 1})
	return tx
}

// dump writes out everything that a state holds, indexes included.
func dump(s *state) string {
	var b strings.Builder
	s.docs.Scan(func(k string, d *Doc) bool {
		fmt.Fprintf(&b, "doc %q %q %s %d %d %+v\n", k, d.Bytes, d.Sum, d.CreateRevision, d.Revision, d.Head != nil)
		return true
	})
	tree(&b, "use", &s.uses)
	tree(&b, "trait", &s.traits)
	tree(&b, "issuer", &s.issuers)
	tree(&b, "expiry", &s.expiries)
	tree(&b, "count", &s.counts)
	for d := range s.StagedDocs() {
		fmt.Fprintf(&b, "staged %q %v %s\n", d.Path, d.Doc != nil, d.sum)
	}
	for r := range s.Requests() {
		fmt.Fprintf(&b, "record %s %s %v\n", r.Line(), r.sum, s.Request(r.ID) == r)
	}
	fmt.Fprintf(&b, "%+v data %s all %s staged %d\n", s.counters, s.data, s.all, s.stageLen)
	return b.String()
}

func tree[V any](b *strings.Builder, name string, m *btree.Map[string, V]) {
	m.Scan(func(k string, v V) bool {
		fmt.Fprintf(b, "%s %q %v\n", name, k, v)
		return true
	})
}

// upset changes a state in every way there is.
func upset(t testing.TB, tx *Tx) {
	t.Helper()
	tenant := sampleTenant()
	tenant.Issuer = "https://other.example"
	put(t, tx, TenantPath("acme"), tenant)
	second := sampleTenant()
	second.Slug = "globex"
	put(t, tx, TenantPath("globex"), second) // takes the issuer over
	client := sampleClient()
	client.Scopes, client.GrantTypes = []string{"email"}, []string{GrantClientCredentials}
	put(t, tx, ClientPath("acme", "web"), client)
	if err := errors.Join(tx.Clients("acme").Delete("api"), tx.Keys("acme").Delete("acme"), tx.PutStaged(ClientPath("acme", "new"), nil)); err != nil {
		t.Fatal(err)
	}
	tx.CommitStage()
	tx.DeleteSystem("system/cluster.json")
	if err := tx.PutSystem("system/epoch.json", 7); err != nil {
		t.Fatal(err)
	}
	tx.Advance()
	tx.Remember(Record{ID: "r2", Op: "client.delete", Time: 10 + RequestMemory + 1})
}

func TestAnImageStaysAsItWas(t *testing.T) {
	tx := populated(t)
	img, _ := tx.Freeze(7, 2)
	want := dump(&img.state)
	upset(t, tx)
	if got := dump(&img.state); got != want {
		t.Errorf("the image changed with the state that goes on:\n%s\nwant\n%s", got, want)
	}
	if later, _ := tx.Freeze(8, 2); dump(&later.state) == want || later.StateDigest() == img.StateDigest() {
		t.Error("the next image shows none of the changes")
	}
	if img.Index != 7 || img.Term != 2 {
		t.Errorf("image of index %d, term %d, want 7, 2", img.Index, img.Term)
	}
}

func TestOverlaysAreNobodysBusiness(t *testing.T) {
	tx := populated(t)
	img, _ := tx.Freeze(7, 2)
	want := dump(&img.state)
	first, second := img.Overlay(), img.Overlay()
	upset(t, first)
	if got := dump(&second.state); got != want {
		t.Errorf("an overlay sees the changes of another:\n%s\nwant\n%s", got, want)
	}
	if got := dump(&img.state); got != want {
		t.Errorf("the image sees the changes of its overlay:\n%s\nwant\n%s", got, want)
	}
	if got := dump(&tx.state); got != want {
		t.Errorf("the state sees the changes of an overlay:\n%s\nwant\n%s", got, want)
	}
	upset(t, second)
	if a, b := dump(&first.state), dump(&second.state); a != b {
		t.Errorf("the same changes on two overlays:\n%s\nand\n%s", a, b)
	}
}

func TestSavepoint(t *testing.T) {
	for _, c := range []struct {
		fact   string
		change func(t *testing.T, tx *Tx)
	}{
		{"takes back every kind of change", func(t *testing.T, tx *Tx) {
			rollback := tx.Savepoint()
			upset(t, tx)
			rollback()
		}},
		{"takes back what came after one that was taken back", func(t *testing.T, tx *Tx) {
			outer := tx.Savepoint()
			upset(t, tx)
			inner := tx.Savepoint()
			if err := tx.Clients("acme").Delete("Web"); err != nil {
				t.Fatal(err)
			}
			inner()
			if tx.Get(ClientPath("acme", "Web")) == nil {
				t.Error("the inner savepoint did not bring the client back")
			}
			if err := tx.Clients("acme").Delete("web2"); err != nil {
				t.Fatal(err)
			}
			outer()
		}},
		{"takes nothing back when it is not used", func(t *testing.T, tx *Tx) { tx.Savepoint() }},
	} {
		tx := populated(t)
		tx.Freeze(6, 2)
		if err := tx.Tenants().Delete("nobody"); err == nil {
			t.Fatal("deleted a tenant that is not there")
		}
		put(t, tx, ScopePath("acme", "orders:read"), sampleScope()) // changed before the savepoint
		want := dump(&tx.state)
		c.change(t, tx)
		if got := dump(&tx.state); got != want {
			t.Errorf("%s: the state is\n%s\nwant\n%s", c.fact, got, want)
		}
		_, changed := tx.Freeze(7, 2)
		if want := []string{ScopePath("acme", "orders:read")}; !slices.Equal(changed, want) {
			t.Errorf("%s: changed = %v, want %v", c.fact, changed, want)
		}
	}
}

func TestFreezeNamesWhatChanged(t *testing.T) {
	tx := populated(t)
	tx.Freeze(1, 1)
	if _, changed := tx.Freeze(2, 1); len(changed) != 0 {
		t.Errorf("nothing happened, changed = %v", changed)
	}
	if err := tx.Keys("acme").Delete("acme"); err != nil {
		t.Fatal(err)
	}
	tx.DeleteSystem("system/cluster.json") // never published
	put(t, tx, ClientPath("acme", "Web"), sampleClient())
	_, changed := tx.Freeze(3, 1)
	slices.Sort(changed)
	if want := []string{JWKSPath("acme"), KeysetPath("acme"), ClientPath("acme", "Web")}; !slices.Equal(changed, want) {
		t.Errorf("changed = %v, want %v", changed, want)
	}
}

// TestIndexesAreThoseOfTheDocuments changes documents at random and compares
// all that is derived from them with a state that is built of them anew.
func TestIndexesAreThoseOfTheDocuments(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	tx := NewImage().Begin()
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for range 600 {
		slug := pick("acme", "globex", "initech")
		switch path := ""; r.IntN(5) {
		case 0:
			v := sampleTenant()
			v.Slug, v.Issuer = slug, pick("", "https://one.example", "https://two.example")
			put(t, tx, TenantPath(slug), v)
		case 1:
			v := sampleScope()
			v.Tenant, v.Name, v.DependsOn = slug, pick("a", "A", "b"), []string{pick("x", "y"), pick("z", "w")}
			put(t, tx, ScopePath(slug, v.Name), v)
		case 2:
			v := sampleClient()
			v.Tenant, v.ClientID, v.Scopes, v.RequirePKCE = slug, pick("a", "A", "b"), []string{pick("x", "y")}, r.IntN(2) == 0
			v.AccessTokenTTL, v.TokenEndpointAuthMethod = Duration(r.IntN(3))*minute, pick(authMethods...)
			v.GrantTypes = grantTypes[:r.IntN(len(grantTypes))]
			put(t, tx, ClientPath(slug, v.ClientID), v)
		case 3:
			v := sampleKeyset(t)
			v.Tenant, v.Keys[2].VerifyUntil, v.Keys = slug, Time(r.IntN(4)), v.Keys[:1+r.IntN(4)]
			d, err := NewDoc(KeysetPath(slug), Encode(v))
			if err != nil {
				t.Fatal(err)
			}
			if err := tx.Keys(slug).Upsert(d); err != nil {
				t.Fatal(err)
			}
		default:
			path = pick(TenantPath(slug), ScopePath(slug, pick("a", "A", "b")), ClientPath(slug, pick("a", "A", "b")))
			tx.del(path)
		}
	}
	if tx.Counts().Clients == 0 || tx.expiries.Len() == 0 || tx.issuers.Len() == 0 || tx.uses.Len() == 0 {
		t.Fatalf("nothing is left to compare: %+v", tx.Counts())
	}
	again := NewImage().Begin()
	issuers := map[string]int{}
	for d := range tx.Scan("") {
		if err := again.Load(d.Path, d.Bytes); err != nil {
			t.Fatal(err)
		}
		if h, ok := d.Head.(*Tenant); ok && h.Issuer != "" {
			issuers[h.Issuer]++
		}
	}
	for issuer, n := range issuers { // two tenants at once with one issuer is what the rules forbid
		if n > 1 {
			tx.issuers.Delete(issuer)
			again.issuers.Delete(issuer)
		}
	}
	if got, want := dump(&tx.state), dump(&again.state); got != want {
		t.Errorf("after many changes\n%s\nbuilt anew\n%s", got, want)
	}
}

// TestAnIssuerChangesHands: one commit of a stage may give the issuer of one
// tenant to another, in either order of their names.
func TestAnIssuerChangesHands(t *testing.T) {
	tenant := func(slug, issuer string) *Tenant {
		v := sampleTenant()
		v.Slug, v.Issuer = slug, issuer
		return v
	}
	for _, slugs := range [][2]string{{"a", "b"}, {"b", "a"}} {
		tx := NewImage().Begin()
		put(t, tx, TenantPath(slugs[0]), tenant(slugs[0], "https://one.example"))
		put(t, tx, TenantPath(slugs[1]), tenant(slugs[1], "https://two.example"))
		if err := errors.Join(
			tx.PutStaged(TenantPath(slugs[0]), Encode(tenant(slugs[0], "https://two.example"))),
			tx.PutStaged(TenantPath(slugs[1]), Encode(tenant(slugs[1], "https://one.example")))); err != nil {
			t.Fatal(err)
		}
		tx.CommitStage()
		for issuer, want := range map[string]string{"https://one.example": slugs[1], "https://two.example": slugs[0]} {
			if got, _ := tx.IssuerOf(issuer); got != want {
				t.Errorf("exchanged between %v: %s is the issuer of %q, want %q", slugs, issuer, got, want)
			}
		}
	}
}

func TestTheFirstExpiryIsFound(t *testing.T) {
	tx := NewImage().Begin()
	keyset := func(slug string, until ...Time) {
		ks := sampleKeyset(t)
		ks.Tenant, ks.Keys = slug, ks.Keys[:1]
		for i, at := range until {
			k := signingKey(t, byte(10+i), KeyRetiring)
			k.VerifyUntil = at
			ks.Keys = append(ks.Keys, k)
		}
		put(t, tx, KeysetPath(slug), ks)
	}
	next := func(wantSlug string, wantAt Time) {
		t.Helper()
		if slug, at, ok := tx.NextExpiry(); slug != wantSlug || at != wantAt || ok != (wantSlug != "") {
			t.Errorf("NextExpiry = %q, %d, %v, want %q, %d", slug, at, ok, wantSlug, wantAt)
		}
	}
	next("", 0)
	keyset("zeta")
	next("", 0)
	keyset("zeta", 1<<40, 300)
	next("zeta", 300)
	keyset("alpha", 1<<33)
	next("zeta", 300)
	keyset("beta", 256) // above 255 the order of bytes counts
	next("beta", 256)
	keyset("beta")
	keyset("zeta", 1<<40)
	next("alpha", 1<<33)
}

func TestWhatIsBelowSystemIsNeverPublished(t *testing.T) {
	tx := populated(t)
	tx.Freeze(1, 1)
	data, all := tx.DataDigest(), tx.StateDigest()
	if err := tx.PutSystem("system/epoch.json", map[string]int{"term": 3}); err != nil {
		t.Fatal(err)
	}
	img, changed := tx.Freeze(2, 1)
	if len(changed) != 0 || img.DataDigest() != data || img.StateDigest() == all {
		t.Errorf("a system document: changed %v, data digest %s (was %s), state digest %s (was %s)", changed, img.DataDigest(), data, img.StateDigest(), all)
	}
	tx.DeleteSystem("system/epoch.json")
	tx.DeleteSystem("system/epoch.json")
	if got := tx.StateDigest(); got != all {
		t.Errorf("taken out again, the state digest is %s, want %s", got, all)
	}
	var v map[string]string
	if !tx.System("system/cluster.json", &v) || v["cluster_id"] != "c1" || tx.System("system/none.json", &v) {
		t.Errorf("System reads %v", v)
	}
}

func TestEveryCounterIsInTheStateDigest(t *testing.T) {
	tx := populated(t)
	before, seen := tx.Counters(), map[string]bool{tx.StateDigest(): true}
	for i, change := range []func(*Counters){
		func(c *Counters) { c.Revision++ }, func(c *Counters) { c.Time++ }, func(c *Counters) { c.Level++ },
		func(c *Counters) { c.Sequence++ }, func(c *Counters) { c.Horizon++ },
	} {
		c := before
		change(&c)
		if tx.SetCounters(c); seen[tx.StateDigest()] {
			t.Errorf("counter %d does not count", i)
		}
		seen[tx.StateDigest()] = true
	}
}

// TestReadersAndOverlaysBesideATx is for the race detector: one goroutine goes
// on, others read its images and change overlays of them.
func TestReadersAndOverlaysBesideATx(t *testing.T) {
	tx := populated(t)
	first, _ := tx.Freeze(1, 1)
	var newest atomic.Pointer[Image]
	newest.Store(first)
	done := make(chan struct{})
	var others sync.WaitGroup
	beside := func(f func(img *Image)) {
		others.Go(func() {
			for {
				f(newest.Load())
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	whole := func(img *Image) {
		var sum Digest
		clients := 0
		for d := range img.Scan("tenants/") {
			sum.add(term(d.Path, d.Bytes))
			if _, ok := d.Head.(*ClientHead); ok {
				clients++
			}
		}
		for d := range img.Scan("keys/") {
			sum.add(term(d.Path, d.Bytes))
		}
		if sum != img.DataSum() || clients != img.Count("acme", "client") || len(slices.Collect(img.UsersOf("acme", "openid"))) < clients {
			t.Errorf("image %d: %d clients (%d counted), digest %s, want %s", img.Index, clients, img.Count("acme", "client"), sum, img.DataDigest())
		}
	}
	for range 2 {
		beside(whole)
	}
	for range 2 {
		beside(func(img *Image) {
			before := img.StateDigest()
			over := img.Overlay()
			rollback := over.Savepoint()
			for _, d := range slices.Collect(over.Scan("tenants/acme/clients/")) {
				over.del(d.Path)
			}
			over.Remember(Record{ID: "mine", Time: 1 << 40})
			rollback()
			over.del(ClientPath("acme", "web"))
			over.Remember(Record{ID: "mine", Time: 1 << 40})
			if img.StateDigest() != before || img.Get(ClientPath("acme", "web")) == nil || img.Request("mine") != nil {
				t.Errorf("image %d changed under its overlay", img.Index)
			}
			whole(img)
		})
	}
	for i := range 300 {
		c := sampleClient()
		c.ClientID = fmt.Sprintf("c%d", i%40)
		if i%3 == 2 {
			tx.del(ClientPath("acme", c.ClientID))
		} else {
			put(t, tx, ClientPath("acme", c.ClientID), c)
		}
		tx.Remember(Record{ID: fmt.Sprintf("r%d", i), Time: Time(i) * RequestMemory / 50})
		img, _ := tx.Freeze(uint64(i+2), 1)
		newest.Store(img)
	}
	close(done)
	others.Wait()
}
