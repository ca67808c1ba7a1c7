package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// asked is who answers a directory, as names and generations.
func asked(t *testing.T, s *Survivor, dial func(context.Context, string) (net.Conn, error)) (*Outlook, string) {
	t.Helper()
	o, err := Judge([]*Survivor{s})
	if err != nil {
		t.Fatal(err)
	}
	o.Ask(t.Context(), s, dial)
	who := ""
	for _, a := range o.Answers {
		who += fmt.Sprintf("%s at %s of %d;", a.Name, a.Address, a.Generation)
	}
	return o, who
}

// One member is down and the others go on: they are found, with the credentials in
// the directory and without, and nothing in it is changed.
func TestMembersThatRunAreFound(t *testing.T) {
	t.Parallel()
	c, other := newTrio(t, "n1", "n2", "n3"), newTrio(t, "n1")
	a1, a2, stranger := c.nodes["n1"].Address(), c.nodes["n2"].Address(), other.nodes["n1"].Address()
	c.close("n3")
	dir := c.dirs["n3"]
	before := everything(t, dir)
	s := survey(t, dir)
	both := fmt.Sprintf("n1 at %s of 1;n2 at %s of 1;", a1, a2)
	if o, who := asked(t, s, dialPlain); who != both || !o.Lives() || o.Later() != nil {
		t.Errorf("%q answer, want %q; lives %t", who, both, o.Lives())
	}
	if everything(t, dir) != before {
		t.Error("asking changed the directory")
	}
	bare := copyDir(t, dir)
	if err := os.RemoveAll(filepath.Join(bare, "tls")); err != nil {
		t.Fatal(err)
	}
	if _, who := asked(t, survey(t, bare), dialPlain); who != both {
		t.Errorf("without credentials %q answer, want %q", who, both)
	}
	// At the one address is another cluster, behind the other one nothing moves.
	begun := time.Now()
	if o, who := asked(t, s, func(ctx context.Context, address string) (net.Conn, error) {
		if address == a1 {
			return dialPlain(ctx, stranger)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}); who != "" || o.Lives() {
		t.Errorf("%q answer, and nobody is there", who)
	}
	if took := time.Since(begun); took >= 2*askWait {
		t.Errorf("asking took %v: one after the other", took)
	}
}

// What was left behind finds the generation that goes on without it.
func TestALaterGenerationIsFound(t *testing.T) {
	t.Parallel()
	c, _ := lostTrio(t)
	s := survey(t, c.dirs["n3"])
	if _, err := s.Recover(time.Now()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	n3 := c.open("n3", false)
	c.leader()
	want := fmt.Sprintf("n3 at %s of 2;", n3.Address())
	if o, who := asked(t, survey(t, c.dirs["n2"]), dialPlain); who != want || o.Later() == nil {
		t.Errorf("%q answer, want %q", who, want)
	}
}
