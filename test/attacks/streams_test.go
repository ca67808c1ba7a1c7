package attacks

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// Archives are for administrators: nobody else gets one, or has one restored,
// whoever they say they are and whichever node they ask.
func TestArchivesAreForAdministrators(t *testing.T) {
	t.Parallel()
	c := found(t, 2)
	admin := c.client(c.person(access.Admin, "ada", ""), 0)
	var archive bytes.Buffer
	if _, err := admin.Snapshot(t.Context(), &archive); err != nil {
		t.Fatalf("an administrator: %v", err)
	}
	c.Must(c.Servers(0), "tenant", "create", "later")
	b := c.write(t)
	for name, who := range map[string]struct {
		role   access.Role
		tenant string
	}{"a reader": {access.Reader, ""}, "an operator": {access.Operator, ""}, "an operator of acme": {access.Operator, "acme"}} {
		for node := range c.Nodes {
			cert := c.person(who.role, "ana", who.tenant)
			honest := rpc.NewClient(rpc.Options{Servers: []string{c.at(node)}, Credentials: &cert})
			if _, err := honest.Snapshot(t.Context(), io.Discard); !errors.Is(err, store.ErrDenied) {
				t.Errorf("%s saves a snapshot: %v", name, err)
			}
			if _, err := honest.Restore(t.Context(), bytes.NewReader(archive.Bytes()), rpc.RestoreArgs{}); !errors.Is(err, store.ErrDenied) {
				t.Errorf("%s restores: %v", name, err)
			}
			honest.Close()
			for _, op := range []string{"snapshot", "restore", "", "recover", "../restore"} {
				w := c.dial(t, cert, node, rpc.ProtocolStream)
				head, err := json.Marshal(map[string]any{"op": op, "from": access.Local("0"), "timeout_ms": 20000, "restore": map[string]any{"request_id": "forged", "no_time": true}})
				if err != nil {
					t.Fatal(err)
				}
				says := chunk(head)
				if op == "restore" {
					for rest := archive.Bytes(); ; rest = rest[min(len(rest), 100_000):] {
						says = append(says, chunk(rest[:min(len(rest), 100_000)])...)
						if len(rest) == 0 {
							break
						}
					}
				}
				if _, err := w.Write(says); err != nil {
					t.Fatal(err)
				}
				heard, err := io.ReadAll(w.r)
				if want := `"code":"denied"`; op == "snapshot" || op == "restore" {
					if !bytes.Contains(heard, []byte(want)) || len(heard) > 1000 {
						t.Errorf("%s, who claims to be root, asks for a %s and hears %.200q, %v", name, op, heard, err)
					}
				} else if !bytes.Contains(heard, []byte(`"code":"invalid"`)) {
					t.Errorf("%s asks for %q and hears %.200q, %v", name, op, heard, err)
				}
				w.Close()
			}
		}
	}
	b.goesOn(t, 5)
	if r := c.Cpctl(c.Servers(0), nil, "tenant", "get", "later"); r.Exit != 0 {
		t.Errorf("the archive was restored: exit %d\n%s", r.Exit, r.Stderr)
	}
}
