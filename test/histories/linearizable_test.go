package histories

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is more than any history here takes.
const patience = 20 * time.Second

// Histories made by hand: what can be is explained, and what cannot be is not.
func TestOnlyWhatCanBeIsExplained(t *testing.T) {
	for _, c := range []struct {
		fact string
		ops  []*Op
		want Verdict
	}{
		{"one after the other", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 7)), at(4, 5, read("b", 7)), at(6, 7, remove(8)), at(8, 9, readNothing)}, Explained},
		{"a stale read", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 7)), at(4, 5, read("a", 5))}, Unexplained},
		{"a read of what is being replaced", []*Op{at(0, 1, create("a", 5)), at(2, 6, update("b", 7)), at(4, 5, read("a", 5))}, Explained},
		{"back and forth while it is being replaced", []*Op{at(0, 1, create("a", 5)), at(2, 9, update("b", 7)), at(3, 4, read("b", 7)), at(5, 6, read("a", 5))}, Unexplained},
		{"a deleted document is read", []*Op{at(0, 1, create("a", 5)), at(2, 3, remove(6)), at(4, 5, read("a", 5))}, Unexplained},
		{"a document that is there is not found", []*Op{at(0, 1, create("a", 5)), at(2, 3, readNothing)}, Unexplained},
		{"a lost write", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 7)), at(4, 5, updateIf(5, "c", 8))}, Unexplained},
		{"a lost write that is found by creating again", []*Op{at(0, 1, create("a", 5)), at(2, 3, create("b", 7))}, Unexplained},
		{"a write made twice", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 6)), at(4, 5, update("c", 7)), at(6, 7, read("b", 8))}, Unexplained},
		{"a revision used twice", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 6)), at(4, 5, update("c", 6))}, Unexplained},
		{"a revision that falls", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 4))}, Unexplained},
		{"a value at another revision", []*Op{at(0, 1, create("a", 5)), at(2, 3, read("a", 6))}, Unexplained},
		{"an update of what is not there", []*Op{at(0, 1, update("a", 5))}, Unexplained},
		{"a conflict without a reason", []*Op{at(0, 1, create("a", 5)), at(2, 3, updateIf(5, "b", 0).said(Conflict))}, Unexplained},
		{"a conflict with a reason", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 6)), at(4, 5, updateIf(5, "c", 0).said(Conflict))}, Explained},
		{"refused as there, and it is not", []*Op{at(0, 1, create("a", 0).said(Exists))}, Unexplained},
		{"nothing to change, and there was", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 0).said(Unchanged))}, Unexplained},
		{"nothing to change", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("a", 0).said(Unchanged))}, Explained},
		{"both of two that expect the same", []*Op{at(0, 1, create("a", 5)), at(2, 9, updateIf(5, "b", 6)), at(2, 9, updateIf(5, "c", 7))}, Unexplained},

		{"an unknown write took effect at once", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 0).said(Unknown)), at(4, 5, read("b", 6))}, Explained},
		{"an unknown write took effect late", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 0).said(Unknown)), at(4, 5, read("a", 5)), at(6, 7, update("c", 6)), at(8, 9, read("b", 7))}, Explained},
		{"an unknown write never took effect", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 0).said(Unknown)), at(4, 5, update("c", 6)), at(6, 7, read("c", 6))}, Explained},
		{"an unknown write took effect before it was asked for", []*Op{at(0, 1, create("a", 5)), at(2, 3, read("b", 6)), at(4, 5, update("b", 0).said(Unknown))}, Unexplained},
		{"an unknown write took effect twice", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 0).said(Unknown)), at(4, 5, read("b", 6)), at(6, 7, update("c", 7)), at(8, 9, read("b", 8))}, Unexplained},
		{"an unknown write is seen at two revisions", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 0).said(Unknown)), at(4, 5, read("b", 6)), at(6, 7, read("b", 7))}, Unexplained},
		{"an unknown write is seen and is not there afterwards", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 0).said(Unknown)), at(4, 5, read("b", 6)), at(6, 7, read("a", 5))}, Unexplained},
		{"an unknown deletion", []*Op{at(0, 1, create("a", 5)), at(2, 3, remove(0).said(Unknown)), at(4, 5, read("a", 5)), at(6, 7, create("b", 9)), at(8, 9, read("b", 9))}, Explained},
		{"an unknown creation where there was something", []*Op{at(0, 1, create("a", 5)), at(2, 3, create("b", 0).said(Unknown)), at(4, 5, read("b", 6))}, Unexplained},

		{"what was unavailable is seen", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 0).said(Unavailable)), at(4, 5, read("b", 6))}, Unexplained},

		{"keys are counted", []*Op{at(0, 1, rotate(3)), at(2, 3, rotate(4)), at(4, 5, readKeys(3, 4))}, Explained},
		{"a rotation made twice", []*Op{at(0, 1, rotate(3)), at(2, 3, rotate(4)), at(4, 5, readKeys(4, 4))}, Unexplained},
		{"a rotation lost", []*Op{at(0, 1, rotate(3)), at(2, 3, rotate(4)), at(4, 5, readKeys(2, 4))}, Unexplained},

		{"a restore", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 6)), at(4, 5, restore(Doc{true, 5, "a", 0}, 7)), at(6, 7, read("a", 5)), at(8, 9, updateIf(5, "c", 8))}, Explained},
		{"a restore that leaves something", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 6)), at(4, 5, restore(Doc{true, 5, "a", 0}, 7)), at(6, 7, read("b", 6))}, Unexplained},
		{"a restore of nothing", []*Op{at(0, 1, create("a", 5)), at(4, 5, restore(Doc{}, 7)), at(6, 7, read("a", 5))}, Unexplained},
		{"a restore that says there is nothing to change", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 6)), at(4, 5, restore(Doc{true, 5, "a", 0}, 0).said(Unchanged))}, Unexplained},
		{"an unknown restore", []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 6)), at(4, 5, restore(Doc{true, 5, "a", 0}, 0).said(Unknown)), at(6, 7, read("b", 6)), at(8, 9, read("a", 5))}, Explained},
	} {
		t.Run(c.fact, func(t *testing.T) {
			if got := Linearizable(ByDocument(c.ops)[web], patience); got != c.want {
				t.Errorf("%s, want: %s", got, c.want)
			}
		})
	}
}

// A look that takes too long says so: it is no explanation.
func TestATooLongLookDecidesNothing(t *testing.T) {
	var ops []*Op
	for i := range 24 { // any of these may be the one before any other
		ops = append(ops, at(i, 1000+i, create(string(rune('a'+i)), 0).said(Unknown)), at(i, 1000+i, remove(0).said(Unknown)))
	}
	ops = append(ops, at(2000, 2001, read("nobody", 1)))
	if got := Linearizable(ByDocument(ops)[web], 50*time.Millisecond); got != Undecided {
		t.Errorf("%s", got)
	}
}

// What is kept of a history shows it to people, and holds every operation.
func TestAPictureIsKept(t *testing.T) {
	dir := t.TempDir()
	ops := []*Op{at(0, 1, create("a", 5)), at(2, 3, update("b", 0).said(Unknown)), at(4, 5, read("c", 7))}
	path, err := Keep(dir, web, ops, patience)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(b), "a client through n1") {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	b, err = os.ReadFile(strings.TrimSuffix(path, "html") + "jsonl")
	if lines := strings.Count(string(b), "\n"); err != nil || lines != len(ops) || filepath.Dir(path) != dir {
		t.Errorf("%d lines, %v\n%s", lines, err, b)
	}
}
