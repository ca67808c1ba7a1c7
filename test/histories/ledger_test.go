package histories

import (
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

// onRecord is the request table after these operations: what was done is in it.
func onRecord(ops ...*Op) map[string]*store.Record {
	table := map[string]*store.Record{}
	for _, o := range ops {
		if o.write() && o.Said == Done {
			table[o.ID] = &store.Record{Op: string(o.Kind), Revision: o.Revision, Names: []string{"client/acme/web"}}
		}
	}
	return table
}

func TestABookThatDoesNotBalanceIsFound(t *testing.T) {
	unknown := at(2, 3, update("b", 0).said(Unknown))
	forgotten := map[string]*store.Record{}
	for _, c := range []struct {
		fact  string
		ops   []*Op
		table map[string]*store.Record // nil: what was done
		upTo  uint64
		want  string // "": nothing
	}{
		{"all is well", []*Op{at(0, 1, create("a", 1)), at(2, 3, update("b", 2)), at(4, 5, read("b", 2)), at(6, 7, remove(3))}, nil, 3, ""},
		{"a revision that nobody asked for", []*Op{at(0, 1, create("a", 1)), at(2, 3, update("b", 3))}, nil, 3, "revisions 2 to 2 were made"},
		{"and one at the end", []*Op{at(0, 1, create("a", 1))}, nil, 2, "revisions 2 to 2 were made"},
		{"a revision used twice", []*Op{at(0, 1, create("a", 1)), at(2, 3, update("b", 1))}, nil, 1, "revision 1 was used twice"},
		{"the cluster is behind what it has said", []*Op{at(0, 1, create("a", 1)), at(2, 3, update("b", 2))}, nil, 1, "acknowledged was 2"},
		{"a write that the table does not have", []*Op{at(0, 1, create("a", 1))}, forgotten, 1, "does not have it"},
		{"a write that the table has elsewhere", []*Op{at(0, 1, create("a", 1))}, onRecord(at(0, 1, create("a", 2))), 1, "at revision 2"},
		{"refused, and done", []*Op{at(0, 1, create("a", 0).said(Conflict))}, onRecord(at(0, 1, create("a", 1))), 1, "this was done, at revision 1"},
		{"unavailable, and done", []*Op{at(0, 1, create("a", 0).said(Unavailable))}, onRecord(at(0, 1, create("a", 1))), 1, "this was done, at revision 1"},
		{"unknown, and done", []*Op{at(0, 1, create("a", 1)), unknown, at(4, 5, read("b", 2))}, onRecord(at(0, 1, create("a", 1)), at(2, 3, update("b", 2))), 2, ""},
		{"unknown, and not done", []*Op{at(0, 1, create("a", 1)), unknown, at(4, 5, read("a", 1))}, nil, 1, ""},
		{"unknown, and refused", []*Op{at(0, 1, create("a", 1)), unknown},
			map[string]*store.Record{at(0, 1, create("a", 1)).ID: {Revision: 1, Names: []string{"client/acme/web"}}, unknown.ID: {Revision: 1, Refusal: store.ErrConflict}}, 1, ""},
		{"unchanged, and on record", []*Op{at(0, 1, create("a", 1)), at(2, 3, update("a", 0).said(Unchanged))},
			map[string]*store.Record{at(0, 1, create("a", 1)).ID: {Revision: 1, Names: []string{"client/acme/web"}}, at(2, 3, update("a", 0)).ID: {Revision: 1}}, 1, ""},
		{"an update of what was not there", []*Op{at(0, 1, update("a", 1))}, nil, 1, "it was none"},
		{"a creation of what was there", []*Op{at(0, 1, create("a", 1)), at(2, 3, create("b", 2))}, nil, 2, "it was a at 1"},
		{"a stale read that shows what never was", []*Op{at(0, 1, create("a", 1)), at(2, 3, read("z", 1).as(Stale))}, nil, 1, "at revision 1 it was a at 1"},
		{"a stale read of before", []*Op{at(0, 1, create("a", 1)), at(2, 3, update("b", 2)), at(4, 5, read("a", 1).as(Stale))}, nil, 2, ""},
		{"a read that does not tell from when it is", []*Op{at(0, 1, create("a", 1)), at(2, 3, Op{Kind: Read, Found: Doc{true, 1, "a", 0}})}, nil, 1, ""},
		{"a read of more than there is", []*Op{at(0, 1, create("a", 1)), at(2, 3, read("a", 4))}, nil, 1, "shown was more"},
		{"a restore", []*Op{at(0, 1, create("a", 1)), at(2, 3, update("b", 2)), at(4, 5, restore(Doc{true, 1, "a", 0}, 3)), at(6, 7, Op{Kind: Read, Found: Doc{true, 1, "a", 0}, Revision: 3})}, nil, 3, ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			table := c.table
			if table == nil {
				table = onRecord(c.ops...)
			}
			got := strings.Join(NewLedger(0).Play(c.ops, table, c.upTo), "\n")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// A write that nobody was told of is looked for until it is there.
func TestAWriteMayTakeEffectLater(t *testing.T) {
	l := NewLedger(0)
	first, late := at(0, 1, create("a", 1)), at(2, 3, update("b", 0).said(Unknown))
	if found := l.Play([]*Op{first, late}, onRecord(first), 1); found != nil || l.Open() != 1 {
		t.Errorf("%q, %d open", found, l.Open())
	}
	done := at(2, 3, update("b", 2))
	if found := l.Play([]*Op{at(9, 10, read("b", 2))}, onRecord(first, done), 2); found != nil || l.Open() != 0 {
		t.Errorf("%q, %d open", found, l.Open())
	}
}

// What a node shows is compared in both directions.
func TestWhatANodeShowsIsCompared(t *testing.T) {
	l := NewLedger(0)
	first := at(0, 1, create("a", 1))
	l.Play([]*Op{first}, onRecord(first), 1)
	for _, c := range []struct {
		fact  string
		shown map[string]Doc
		count int
	}{
		{"the same", map[string]Doc{web: {true, 1, "a", 0}}, 0},
		{"nothing", map[string]Doc{}, 1},
		{"another writer", map[string]Doc{web: {true, 1, "b", 0}}, 1},
		{"another revision", map[string]Doc{web: {true, 2, "a", 0}}, 1},
		{"one more", map[string]Doc{web: {true, 1, "a", 0}, "tenants/acme/clients/app.json": {true, 1, "a", 0}}, 1},
	} {
		if found := l.Differ("n1", c.shown); len(found) != c.count {
			t.Errorf("%s: found %q", c.fact, found)
		}
	}
}
