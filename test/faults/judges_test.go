package faults

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/store"
)

var (
	web  = store.Ref{Kind: "client", Tenant: "acme", Name: "web"}
	acme = store.Ref{Kind: "tenant", Tenant: "acme"}
	keys = store.Ref{Kind: "keyset", Tenant: "acme"}
)

// What the book says and what the files say: every way in which they differ is
// found, and told as what it is.
func TestAHistoryThatCannotBeIsFound(t *testing.T) {
	created := entry{op: mutation.OpTenantCreate, ref: acme, revision: 1, label: "a"}
	client := entry{op: mutation.OpClientCreate, ref: web, revision: 2, label: "b", uid: "u1", create: 2}
	update := entry{op: mutation.OpClientUpdate, ref: web, revision: 3, label: "c", uid: "u1", create: 2}
	remove := entry{op: mutation.OpClientDelete, ref: web, revision: 3}
	rotate := entry{op: mutation.OpKeyRotate, ref: keys, revision: 2}
	at := func(e entry, revision uint64) entry { e.revision = revision; return e }
	for _, tt := range []struct {
		name    string
		entries []entry
		at      uint64               // revision of the cluster; 0: of the last entry
		files   func(map[string]doc) // what is wrong with the files
		want    string
	}{
		{"all is well", []entry{created, client, update}, 0, nil, "lost 0, doubled 0"},
		{"a revision twice", []entry{created, client, at(update, 2)}, 0, nil, "lost 1, doubled 0"},
		{"a revision that nobody got", []entry{created, client, at(update, 4)}, 0, nil, "lost 0, doubled 1"},
		{"a revision at the end that nobody got", []entry{created, client}, 3, nil, "lost 0, doubled 1"},
		{"a cluster that is behind", []entry{created, client, update}, 2, nil, "lost 1, doubled 0"},
		{"created where it is", []entry{created, client, at(client, 3)}, 0, nil, "lost 2, doubled 0"}, // and the answer says when
		{"updated where it is not", []entry{created, client, remove, at(update, 4)}, 0, nil, "lost 2, doubled 0"},
		{"deleted twice", []entry{created, client, remove, at(remove, 4)}, 0, nil, "lost 1, doubled 0"},
		{"a client that is not there", []entry{created, client}, 0, func(f map[string]doc) { delete(f, web.Path()) }, "lost 1, doubled 0"},
		{"an update that is not there", []entry{created, client, update}, 0, func(f map[string]doc) {
			f[web.Path()] = doc{create: 2, revision: 2, uid: "u1", label: "b"}
		}, "lost 1, doubled 0"},
		{"another update in its place", []entry{created, client, update}, 0, func(f map[string]doc) {
			f[web.Path()] = doc{create: 2, revision: 3, uid: "u1", label: "x"}
		}, "lost 1, doubled 0"},
		{"a client that was made again", []entry{created, client}, 0, func(f map[string]doc) {
			f[web.Path()] = doc{create: 2, revision: 2, uid: "u2", label: "b"}
		}, "lost 0, doubled 1"},
		{"a deletion that did not stay", []entry{created, client, remove}, 0, func(f map[string]doc) {
			f[web.Path()] = doc{create: 2, revision: 2, uid: "u1", label: "b"}
		}, "lost 1, doubled 0"},
		{"a client of nobody", []entry{created}, 0, func(f map[string]doc) {
			f[web.Path()] = doc{create: 2, revision: 2, uid: "u1", label: "b"}
		}, "lost 0, doubled 1"},
		{"a rotation that came twice", []entry{created, rotate}, 0, func(f map[string]doc) {
			f[keys.Path()] = doc{create: 2, revision: 2, keys: 3}
		}, "lost 0, doubled 1"},
		{"a rotation that did not stay", []entry{created, rotate, at(rotate, 3)}, 0, func(f map[string]doc) {
			f[keys.Path()] = doc{create: 2, revision: 3, keys: 2}
		}, "lost 1, doubled 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := new(findings)
			h := newHistory(found)
			upTo := tt.at
			if upTo == 0 {
				upTo = tt.entries[len(tt.entries)-1].revision
			}
			h.play(tt.entries, upTo)
			files := maps.Clone(h.docs)
			if tt.files != nil {
				tt.files(files)
			}
			h.wantShown("n1", files)
			if got := found.String(); !strings.HasPrefix(got, tt.want+",") {
				t.Errorf("found %s, want %s\n%s", got, tt.want, found.details())
			}
		})
	}
}

// A deleted tenant takes all of its documents along, and a restore brings back
// what was in the archive.
func TestAHistoryFollowsDeletionsAndRestores(t *testing.T) {
	found := new(findings)
	h := newHistory(found)
	h.play([]entry{
		{op: mutation.OpTenantCreate, ref: acme, revision: 1},
		{op: mutation.OpKeyRotate, ref: keys, revision: 2},
		{op: mutation.OpClientCreate, ref: web, revision: 3, label: "a"},
	}, 3)
	archive := maps.Clone(h.docs)
	h.play([]entry{{op: mutation.OpTenantDelete, ref: acme, revision: 4}}, 4)
	if len(h.docs) != 0 || h.deleted[web.Path()] != 4 {
		t.Errorf("left after the deletion: %v", h.docs)
	}
	h.play([]entry{{restore: &restore{archive: archive}, revision: 5}}, 5)
	if !maps.Equal(h.docs, archive) || found.any() {
		t.Errorf("after the restore: %v\n%s", h.docs, found.details())
	}
}

// A reader is shown nothing older than before, unless a restore brought it back,
// and misses nothing that nobody has deleted.
func TestAStepBackIsSeen(t *testing.T) {
	path := web.Path()
	sum := func(n byte) store.Digest { return store.Sum(path, []byte{n}) }
	drop := &mutation.Request{Op: mutation.OpTenantDelete, Tenant: "acme", Name: "acme"}
	for _, tt := range []struct {
		name string
		do   func(*memory, *book) string
		want string
	}{
		{"a newer one", func(m *memory, b *book) string { _, f := m.there(b, path, 6, sum(6)); return f }, ""},
		{"the same", func(m *memory, b *book) string { _, f := m.there(b, path, 5, sum(5)); return f }, ""},
		{"other bytes", func(m *memory, b *book) string { _, f := m.there(b, path, 5, sum(6)); return f }, "changed its bytes"},
		{"an older one", func(m *memory, b *book) string { _, f := m.there(b, path, 4, sum(4)); return f }, "went back from revision 5"},
		{"an older one that a restore brings back", func(m *memory, b *book) string {
			b.asksRestore(map[string]doc{path: {revision: 4}}, 4)
			_, f := m.there(b, path, 4, sum(4))
			return f
		}, ""},
		{"an older one than the restore brings back", func(m *memory, b *book) string {
			b.asksRestore(map[string]doc{path: {revision: 4}}, 4)
			_, f := m.there(b, path, 3, sum(3))
			return f
		}, "went back from revision 5"},
		{"what was there before a restore", func(m *memory, b *book) string {
			b.newest = 5
			b.asksRestore(map[string]doc{path: {revision: 4}}, 4)
			m.there(b, path, 4, sum(4))
			_, f := m.there(b, path, 5, sum(5))
			return f
		}, "went back from revision 4 (the state was at 5)"},
		{"gone", func(m *memory, b *book) string { return m.absent(b, path) }, "nobody has asked"},
		{"gone with its tenant", func(m *memory, b *book) string { b.asks(drop, acme); return m.absent(b, path) }, ""},
		{"gone with an earlier tenant", func(m *memory, b *book) string {
			b.asks(drop, acme)
			b.settles(0, drop, acme, &mutation.Answer{Outcome: mutation.Deleted, Revision: 3})
			return m.absent(b, path)
		}, "nobody has asked"},
		{"gone and back", func(m *memory, b *book) string {
			b.asks(drop, acme)
			m.absent(b, path)
			_, f := m.there(b, path, 5, sum(5))
			return f
		}, "came back at revision 5"},
		{"a marker that is behind", func(m *memory, b *book) string { return m.applied(publish.Applied{Index: 8, Revision: 5}) }, ".applied went back"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, b := newMemory(), newBook()
			m.applied(publish.Applied{Index: 9, Revision: 5})
			m.there(b, path, 5, sum(5))
			if got := tt.do(m, b); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A key that signs, has signed or is to sign next has to be in the public set,
// until its time is over or its tenant is another.
func TestAKeyThatIsNotPublishedIsSeen(t *testing.T) {
	now := time.Now()
	later, before := store.TimeOf(now.Add(time.Hour)), store.TimeOf(now.Add(-time.Second))
	set := func(create, revision uint64, keys ...store.Key) *store.Keyset {
		return &store.Keyset{Tenant: "acme", Keys: keys, Meta: store.Meta{CreateRevision: create, Revision: revision}}
	}
	first := set(1, 1, store.Key{KID: "k1", State: store.KeyActive}, store.Key{KID: "k2", State: store.KeyNext})
	rotated := func(until store.Time) *store.Keyset {
		return set(1, 2, store.Key{KID: "k1", State: store.KeyRetiring, VerifyUntil: until}, store.Key{KID: "k2", State: store.KeyActive})
	}
	for _, tt := range []struct {
		name      string
		seen      []*store.Keyset
		published string
		want      string
	}{
		{"both", []*store.Keyset{first}, "k1 k2", ""},
		{"not the one that signs", []*store.Keyset{first}, "k2", "k1"},
		{"not the next", []*store.Keyset{first}, "k1", "k2"},
		{"not the one that has signed", []*store.Keyset{first, rotated(later)}, "k2", "k1"},
		{"not the one whose time is over", []*store.Keyset{first, rotated(before)}, "k2", ""},
		{"not that of an earlier tenant", []*store.Keyset{first, set(5, 5, store.Key{KID: "k9", State: store.KeyActive})}, "k9", ""},
		{"dropped though it has signed", []*store.Keyset{first, set(1, 2, store.Key{KID: "k2", State: store.KeyActive})}, "k2", "k1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, b := newMemory(), newBook()
			for _, ks := range tt.seen {
				m.signs(b, ks)
			}
			published := map[string]bool{}
			for _, kid := range strings.Fields(tt.published) {
				published[kid] = true
			}
			if got := m.unpublished("acme", published, now); got != tt.want {
				t.Errorf("missing is %q, want %q", got, tt.want)
			}
		})
	}
}

// An answer that arrives in an outage, or after one that began since it was
// asked for, proves nothing.
func TestAnAnswerOfAnOutageDoesNotCount(t *testing.T) {
	req := &mutation.Request{Op: mutation.OpClientCreate}
	answer := &mutation.Answer{Outcome: mutation.Created, Revision: 1}
	for _, tt := range []struct {
		name          string
		before, after int // outages begun or ended before it is sent, and until it is answered
		want          bool
	}{
		{"none", 0, 0, true},
		{"one that is over", 2, 0, true},
		{"one that lasts", 1, 0, false},
		{"one that begins", 0, 1, false},
		{"one that comes and goes", 0, 2, false},
		{"one that ends", 1, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBook()
			for range tt.before {
				b.outage()
			}
			sent := b.now()
			for range tt.after {
				b.outage()
			}
			got := b.settles(sent, req, web, answer)
			if count, _ := b.total(); got != tt.want || (count == 1) != tt.want {
				t.Errorf("settled: %v, counted %d; want %v", got, count, tt.want)
			}
		})
	}
}
