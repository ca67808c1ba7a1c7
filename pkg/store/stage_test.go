package store

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestAStageChangesNothingUntilItsCommit(t *testing.T) {
	tx := NewImage().Begin()
	put(t, tx, TenantPath("acme"), sampleTenant())
	put(t, tx, ClientPath("acme", "web"), sampleClient())
	tx.Freeze(1, 1)
	data, all := tx.DataDigest(), tx.StateDigest()
	before := dump(&tx.state)

	scope := Encode(sampleScope())
	stage := func() {
		t.Helper()
		if tx.OpenStage() != nil {
			t.Fatal("a stage is open from the beginning")
		}
		if err := errors.Join(
			tx.BeginStage(Stage{ID: "st1", Actor: "unix/0", Since: 9}),
			tx.PutStaged(ScopePath("acme", "orders:read"), scope),
			tx.PutStaged(ClientPath("acme", "web"), nil)); err != nil {
			t.Fatal(err)
		}
	}
	stage()
	if got := tx.OpenStage(); got == nil || *got != (Stage{ID: "st1", Actor: "unix/0", Since: 9}) {
		t.Errorf("OpenStage = %+v", got)
	}
	_, changed := tx.Freeze(2, 1)
	if len(changed) != 0 || tx.DataDigest() != data || tx.Get(ScopePath("acme", "orders:read")) != nil || tx.Get(ClientPath("acme", "web")) == nil {
		t.Errorf("staging changed %v", changed)
	}
	if tx.StateDigest() == all {
		t.Error("what is staged is not in the state digest")
	}

	tx.DropStage()
	if got := dump(&tx.state); got != before {
		t.Errorf("dropped, the state is\n%s\nwant\n%s", got, before)
	}

	stage()
	tx.CommitStage()
	_, changed = tx.Freeze(3, 1)
	if want := []string{ClientPath("acme", "web"), ScopePath("acme", "orders:read")}; !slices.Equal(changed, want) {
		t.Errorf("the commit changed %v, want %v", changed, want)
	}
	want := NewImage().Begin()
	put(t, want, TenantPath("acme"), sampleTenant())
	put(t, want, ScopePath("acme", "orders:read"), sampleScope())
	if got := dump(&tx.state); got != dump(&want.state) {
		t.Errorf("committed, the state is\n%s\nwant\n%s", got, dump(&want.state))
	}
}

func TestTheLastOfTwoStagedDocumentsCounts(t *testing.T) {
	small, large := Encode(sampleScope()), sampleScope()
	large.Description = strings.Repeat("x", 500)
	path := ScopePath("acme", "orders:read")
	for _, c := range []struct {
		fact string
		puts [][]byte
		want int64 // bytes staged
	}{
		{"a document counts its bytes", [][]byte{small}, int64(len(small))},
		{"another in its place counts alone", [][]byte{Encode(large), small}, int64(len(small))},
		{"a larger one counts whole", [][]byte{small, Encode(large)}, int64(len(Encode(large)))},
		{"a deletion has no bytes", [][]byte{nil}, 0},
		{"a deletion in place of a document frees its bytes", [][]byte{small, nil}, 0},
		{"a document in place of a deletion", [][]byte{nil, small}, int64(len(small))},
	} {
		tx, want := NewImage().Begin(), NewImage().Begin()
		for _, b := range c.puts {
			if err := tx.PutStaged(path, b); err != nil {
				t.Fatal(err)
			}
		}
		if got := tx.StageBytes(); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.fact, got, c.want)
		}
		if err := want.PutStaged(path, c.puts[len(c.puts)-1]); err != nil {
			t.Fatal(err)
		}
		if dump(&tx.state) != dump(&want.state) {
			t.Errorf("%s: the state is\n%s\nwant\n%s", c.fact, dump(&tx.state), dump(&want.state))
		}
	}
}

func TestAStageTakesDocumentsOnly(t *testing.T) {
	tx := NewImage().Begin()
	empty := dump(&tx.state)
	for _, path := range []string{"", "system/cluster.json", "../x", "tenants/acme", "tenants/global/tenant.json", "/tenants/acme/tenant.json", "tenants/acme/clients/A.json"} {
		if err := tx.PutStaged(path, nil); err == nil {
			t.Errorf("PutStaged(%q) was taken", path)
		}
	}
	if err := tx.PutStaged(TenantPath("acme"), []byte("{")); err == nil {
		t.Error("bytes that are no JSON were taken")
	}
	if got := dump(&tx.state); got != empty {
		t.Errorf("a refused document left %s", got)
	}
}
