package cmd

import (
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/rpc"
)

func TestRekeyTellsPeopleAndScripts(t *testing.T) {
	way := []rpc.RekeyReply{{Roll: "r1", Phase: "begun", KeyID: "4ew", OldKeyID: "0ld", Waiting: []string{"n2 does not have the new key yet"}},
		{Roll: "r1", Phase: "retired", KeyID: "4ew", OldKeyID: "0ld", Values: 12, Index: 57, Done: true}}
	const note = "take a new copy of cluster.key and a new archive; keep the copy of the old key 0ld offline as long as archives from before may be needed\n"
	for _, c := range []struct {
		fact     string
		args     []string
		way      []rpc.RekeyReply
		code     int
		out, err string
	}{
		{"done", nil, way, 0, "cluster rekeyed: key 4ew, 12 values sealed anew, old key 0ld retired\n", note},
		{"quietly", []string{"-q"}, way, 0, "cluster rekeyed: key 4ew, 12 values sealed anew, old key 0ld retired\n", ""},
		{"a node keeps the old key", nil, []rpc.RekeyReply{{KeyID: "4ew", OldKeyID: "0ld", Values: 1, Done: true, Waiting: []string{"n3 still has the old key"}}}, 0,
			"cluster rekeyed: key 4ew, 1 value sealed anew, old key 0ld retired\n", "n3 still has the old key; it forgets it when it can\n" + note},
		{"names", []string{"-o", "name", "-q"}, way, 0, "cluster-key/4ew\n", ""},
		{"JSON", []string{"-o", "json", "-q"}, way, 0, `{
  "format_version": "1.0",
  "kind": "rekey",
  "key_id": "4ew",
  "retired_key_id": "0ld",
  "values": 12,
  "index": 57,
  "notes": []
}
`, ""},
		{"not done in time", nil, way[:1], 10, "", "cpctl: not rolled over yet\n"},
		{"an argument", []string{"now"}, way, 2, "", ""},
	} {
		w := newWorld()
		w.rekey = c.way
		r := w.run(append([]string{"cluster", "rekey"}, c.args...)...)
		t.Log(c.fact)
		if c.code == 2 {
			if r.code != 2 {
				t.Errorf("exit %d, want 2", r.code)
			}
			continue
		}
		r.want(t, c.code, c.out, c.err)
	}
}

// TestTheHelpOfRekeySaysWhatBecomesOfArchives: it is where an operator looks.
func TestTheHelpOfRekeySaysWhatBecomesOfArchives(t *testing.T) {
	r := newWorld().run("cluster", "rekey", "--help")
	for _, want := range []string{"Old archives", "Keep the old copy, offline", "removed", "goes on where it was", "copy of cluster.key"} {
		if !strings.Contains(strings.Join(strings.Fields(r.out), " "), want) {
			t.Errorf("the help does not say %q", want)
		}
	}
}
