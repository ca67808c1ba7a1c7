package cmd

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/store"
)

// left is what is left of the directory of a node.
func left(name string, term, index, shown, revision uint64, age time.Duration) *node.Survivor {
	tx := store.NewImage().Begin()
	tx.SetCounters(store.Counters{Revision: revision, Time: store.TimeOf(noon.Add(-age))})
	img, _ := tx.Freeze(index, term)
	return &node.Survivor{Dir: "/srv/" + name, Name: name, NodeID: "id-" + name, ClusterID: "c1", Generation: 1,
		Listen: "10.0.0." + name[1:] + ":7700", Address: "10.0.0." + name[1:] + ":7700", LastTerm: term, LastIndex: index, Shown: shown, Image: img}
}

// removed is the directory of a node that is no member any more.
func removed(name string) *node.Survivor {
	s := left(name, 4, 1042, 1040, 1003, 2*time.Hour)
	s.Gone = "it was removed from the cluster: by ana"
	s.Faults = []string{s.Gone}
	return s
}

func TestWhatAPlanSays(t *testing.T) {
	n2, n3 := left("n2", 4, 1040, 1038, 1001, 3*time.Hour), left("n3", 4, 1042, 1040, 1003, 2*time.Hour)
	n3.Snapshot = 512
	broken := left("n1", 0, 0, 1060, 0, 0)
	broken.Image, broken.Faults = nil, []string{"raft log raft/raft.db is damaged: its entry 900 is not what was written"}
	begun := left("n3", 0, 0, 0, 0, 0)
	begun.Image, begun.Begun = nil, 2
	other, gone := left("n2", 4, 1042, 1040, 1004, time.Hour), removed("n1")
	members := func(names ...string) (out []node.Member) {
		for _, n := range names {
			out = append(out, node.Member{ID: "id-" + n, Name: n, Voter: true})
		}
		return out
	}
	for _, tt := range []struct {
		fact    string
		outlook node.Outlook
		exit    int
		out     string
	}{
		{"of five, two are left", node.Outlook{All: []*node.Survivor{n2, n3}, Best: n3, Why: "its last entry is the latest", Voters: 5, Missing: members("n1", "n4", "n5"), Unsure: 2,
			Lost: []node.Loss{{Of: n2, From: 1041, To: 1041, Never: true}}}, 0, `
NODE   TERM   INDEX   SNAPSHOT   SHOWN   REVISION   DIGEST         AGE   STATE     DIR
n2        4    1040          -    1038       1001   000000000000   3h    ● whole   /srv/n2
n3        4    1042        512    1040       1003   000000000000   2h    ● whole   /srv/n3

best      n3 (/srv/n3): its last entry is the latest
cluster   c1, generation 1
voters    2 of 5 here, missing n1, n4, n5
lost      entry 1041 of n2, which never was committed: nobody was told that it was done
          what only the 3 missing voters had: that cannot be known
kept      all that it holds; of 2 changes at its end it is not known whether they were acknowledged
next      cpctl recover run --dir /srv/n2 --dir /srv/n3
`},
		{"the one that has shown more is damaged", node.Outlook{All: []*node.Survivor{broken, n3}, Best: n3, Why: "it is the only one that is whole; n1 cannot be used", Voters: 3, Missing: members("n2"),
			Lost: []node.Loss{{Of: broken, From: 1043, To: 1060, Acknowledged: true}}}, 0, `
NODE   TERM   INDEX   SNAPSHOT   SHOWN   REVISION   DIGEST         AGE   STATE       DIR
n1        -       -          -    1060          -   -              -     ✗ damaged   /srv/n1
n3        4    1042        512    1040       1003   000000000000   2h    ● whole     /srv/n3
n1: raft log raft/raft.db is damaged: its entry 900 is not what was written

best      n3 (/srv/n3): it is the only one that is whole; n1 cannot be used
cluster   c1, generation 1
voters    2 of 3 here, missing n2
lost      entries 1043 to 1060, which n1 has shown: they were acknowledged
          what only the missing voter had: that cannot be known
next      cpctl recover run --dir /srv/n1 --dir /srv/n3 --node n3
`},
		{"a majority is here", node.Outlook{All: []*node.Survivor{n2, n3}, Best: n3, Why: "its last entry is the latest", Voters: 3, Missing: members("n1"), Majority: true}, 0, `
NODE   TERM   INDEX   SNAPSHOT   SHOWN   REVISION   DIGEST         AGE   STATE     DIR
n2        4    1040          -    1038       1001   000000000000   3h    ● whole   /srv/n2
n3        4    1042        512    1040       1003   000000000000   2h    ● whole   /srv/n3

best      n3 (/srv/n3): its last entry is the latest
cluster   c1, generation 1
voters    2 of 3 here, missing n1: that is a majority. Start these nodes; nothing has to be recovered
next      cpctl node --data-dir /srv/n2 --listen 10.0.0.2:7700
          cpctl node --data-dir /srv/n3 --listen 10.0.0.3:7700
`},
		{"another than the best is named", node.Outlook{All: []*node.Survivor{n2, n3}, Best: n3, Chosen: n2, Why: "its last entry is the latest", Voters: 5, Missing: members("n1", "n4", "n5"),
			Lost: []node.Loss{{Of: n3, From: 1041, To: 1041, Acknowledged: true}, {Of: n3, From: 1042, To: 1042}}}, 0, `
NODE   TERM   INDEX   SNAPSHOT   SHOWN   REVISION   DIGEST         AGE   STATE     DIR
n2        4    1040          -    1038       1001   000000000000   3h    ● whole   /srv/n2
n3        4    1042        512    1040       1003   000000000000   2h    ● whole   /srv/n3

best      n3 (/srv/n3): its last entry is the latest
taken     n2 (/srv/n2), since --node names it
cluster   c1, generation 1
voters    2 of 5 here, missing n1, n4, n5
lost      entry 1041, which n3 has shown: it was acknowledged
          entry 1042 of n3, and it is not known whether it was acknowledged
          what makes n3 the best: it is at revision 1003, and n2 at 1001
          what only the 3 missing voters had: that cannot be known
next      cpctl recover run --dir /srv/n2 --dir /srv/n3 --node n2
`},
		{"others answer, and two differ", node.Outlook{All: []*node.Survivor{n3, other}, Best: n3, Why: "because", Voters: 5, Missing: members("n1", "n4", "n5"),
			Answers: []node.Answer{{Name: "n1", NodeID: "id-n1", Address: "10.0.0.1:7700", Generation: 1}}, Differ: [][2]*node.Survivor{{n3, other}}}, 0, `
NODE   TERM   INDEX   SNAPSHOT   SHOWN   REVISION   DIGEST         AGE   STATE     DIR
n3        4    1042        512    1040       1003   000000000000   2h    ● whole   /srv/n3
n2        4    1042          -    1040       1004   000000000000   1h    ● whole   /srv/n2

best      n3 (/srv/n3): because
cluster   c1, generation 1
voters    2 of 5 here, missing n1, n4, n5
answers   n1 at 10.0.0.1:7700 answers: the cluster is not lost
differ    ` + differText([2]*node.Survivor{n3, other}) + `
lost      nothing that these directories hold
          what only the 3 missing voters had: that cannot be known
next      cpctl node --data-dir /srv/n3 --listen 10.0.0.3:7700
          cpctl node --data-dir /srv/n2 --listen 10.0.0.2:7700
`},
		{"a member that was removed", node.Outlook{All: []*node.Survivor{gone}}, 11, `
NODE   TERM   INDEX   SNAPSHOT   SHOWN   REVISION   DIGEST         AGE   STATE    DIR
n1        4    1042          -    1040       1003   000000000000   2h    ✗ gone   /srv/n1
n1: it was removed from the cluster: by ana
`},
		{"a recovery was cut short", node.Outlook{All: []*node.Survivor{begun}, Best: begun, Why: "its recovery as generation 2 was begun and has to be finished"}, 0, `
NODE   TERM   INDEX   SNAPSHOT   SHOWN   REVISION   DIGEST   AGE   STATE          DIR
n3        -       -          -       -          -   -        -     ! unfinished   /srv/n3

best   n3 (/srv/n3): its recovery as generation 2 was begun and has to be finished
next   cpctl recover run --dir /srv/n3
`},
		{"none is whole", node.Outlook{All: []*node.Survivor{broken}}, 11, `
NODE   TERM   INDEX   SNAPSHOT   SHOWN   REVISION   DIGEST   AGE   STATE       DIR
n1        -       -          -    1060          -   -        -     ✗ damaged   /srv/n1
n1: raft log raft/raft.db is damaged: its entry 900 is not what was written
`},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			var out bytes.Buffer
			e := &Env{Out: &out, Now: func() time.Time { return noon }, Getenv: func(string) string { return "" }}
			e.flags.output = formatTable
			err := e.plan(&tt.outlook)
			if exitCode(err) != tt.exit {
				t.Errorf("exit %d (%v), want %d", exitCode(err), err, tt.exit)
			}
			if got := strings.ReplaceAll(out.String(), strings.Repeat("0", 12), "000000000000"); got != tt.out[1:] {
				t.Errorf("it says\n%s\nwant\n%s", got, tt.out[1:])
			}
			out.Reset()
			e.flags.output = formatJSON
			e.plan(&tt.outlook)
			known := map[string]int{"voter": 0, "voters": 0}
			for _, s := range tt.outlook.All {
				if s.Image != nil {
					known["voter"]++
				}
			}
			if tt.outlook.Voters > 0 {
				known["voters"] = 1
			}
			for field, want := range known { // what is not known is left out, not false or 0
				if got := strings.Count(out.String(), `"`+field+`": `); got != want {
					t.Errorf("%d times %q, want %d\n%s", got, field, want, out.String())
				}
			}
			var doc recoveryPlan
			if err := json.Unmarshal(out.Bytes(), &doc); err != nil || doc.Kind != "recovery_plan" || strings.Contains(out.String(), "null,") && !strings.Contains(out.String(), `"last_command_at": null`) {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}

// A directory that lacks its key is no reason to found another cluster, nor to go
// on from an older one: the key is put back.
func TestAMissingClusterKeyIsPutBack(t *testing.T) {
	sealed, old := left("n1", 4, 1044, 1044, 1005, 0), left("n3", 4, 1042, 1040, 1003, 0)
	sealed.Sealed = "there is no cluster.key"
	for _, o := range []node.Outlook{{All: []*node.Survivor{sealed}}, {All: []*node.Survivor{sealed, old}, Best: old, Voters: 3}} {
		var out, notes bytes.Buffer
		e := &Env{Out: &out, Err: &notes, flags: globals{output: formatTable}}
		said := ""
		if err := e.plan(&o); err != nil {
			said = err.(*store.Error).Hint
		}
		if said += notes.String(); !strings.Contains(said, "put your copy of cluster.key back into it first") || strings.Contains(said, "found a new cluster") {
			t.Errorf("with %d directories it says %q", len(o.All), said)
		}
	}
}
