package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/node"
)

func TestWhichDirectoryARecoveryTakes(t *testing.T) {
	n2, n3 := left("n2", 4, 1040, 1038, 1001, 0), left("n3", 4, 1042, 1040, 1003, 0)
	twin := left("n3", 4, 1000, 1000, 900, 0)
	broken := left("n1", 0, 0, 1060, 0, 0)
	broken.Image, broken.Faults = nil, []string{"it is damaged"}
	begun := left("n3", 0, 0, 0, 0, 0)
	begun.Image, begun.Begun = nil, 2
	gone, other := removed("n1"), left("n2", 4, 1042, 1040, 1004, 0)
	differ := [][2]*node.Survivor{{n3, other}}
	sealed := left("n1", 4, 1044, 1044, 1005, 0)
	sealed.Sealed = "there is no cluster.key"
	costs := []node.Loss{{Of: broken, From: 1043, To: 1060, Acknowledged: true}}
	for _, tt := range []struct {
		fact    string
		outlook node.Outlook
		name    string
		want    *node.Survivor
		exit    int
		says    string
	}{
		{"the best", node.Outlook{All: []*node.Survivor{n2, n3}, Best: n3, Voters: 5}, "", n3, 0, ""},
		{"the one that is named", node.Outlook{All: []*node.Survivor{n2, n3}, Best: n3, Voters: 5}, "n2", n2, 0, ""},
		{"none while a majority is here", node.Outlook{All: []*node.Survivor{n2, n3}, Best: n3, Voters: 3, Majority: true}, "", nil, 8, "a majority of the 3 voters is here"},
		{"none while the only voter is here", node.Outlook{All: []*node.Survivor{n3}, Best: n3, Voters: 1, Majority: true}, "", nil, 8, "the only voter is here"},
		{"the one that is named, with a majority", node.Outlook{All: []*node.Survivor{n2, n3}, Best: n3, Voters: 3, Majority: true}, "n3", n3, 0, ""},
		{"none if it costs what was acknowledged", node.Outlook{All: []*node.Survivor{broken, n3}, Best: n3, Voters: 5, Lost: costs}, "", nil, 8, "would be lost"},
		{"the one that is named, whatever it costs", node.Outlook{All: []*node.Survivor{broken, n3}, Best: n3, Voters: 5, Lost: costs}, "n3", n3, 0, ""},
		{"none that is damaged", node.Outlook{All: []*node.Survivor{broken, n3}, Best: n3, Voters: 5}, "n1", nil, 11, "it is damaged"},
		{"none if all are", node.Outlook{All: []*node.Survivor{broken}}, "", nil, 11, "all of these directories are damaged"},
		{"none that lacks its key", node.Outlook{All: []*node.Survivor{sealed}}, "", nil, 11, "does not open the directory of node \"n1\": there is no cluster.key"},
		{"none that is not there", node.Outlook{All: []*node.Survivor{n2, n3}, Best: n3}, "n9", nil, 2, `none of the directories is of node "n9"`},
		{"neither of two copies", node.Outlook{All: []*node.Survivor{n3, twin}, Best: n3}, "n3", nil, 2, "two of the directories are of node"},
		{"none that was removed", node.Outlook{All: []*node.Survivor{gone, n3}, Best: n3, Voters: 5}, "n1", nil, 8, "it was removed from the cluster: by ana"},
		{"none if all were", node.Outlook{All: []*node.Survivor{gone}}, "", nil, 8, "it was removed from the cluster: by ana"},
		{"none of two that differ", node.Outlook{All: []*node.Survivor{n3, other}, Best: n3, Voters: 5, Differ: differ}, "", nil, 8, "and their states differ"},
		{"the one that is named of two that differ", node.Outlook{All: []*node.Survivor{n3, other}, Best: n3, Voters: 5, Differ: differ}, "n2", other, 0, ""},
		{"what was begun", node.Outlook{All: []*node.Survivor{n2, begun}, Best: begun}, "", begun, 0, ""},
		{"no other than what was begun", node.Outlook{All: []*node.Survivor{n2, begun}, Best: begun}, "n2", nil, 8, "finish that one"},
	} {
		got, err := choose(&tt.outlook, tt.name)
		if got != tt.want || exitCode(err) != tt.exit || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, exit %d (%v), want %v, %d, %q", tt.fact, got, exitCode(err), err, tt.want, tt.exit, tt.says)
		}
	}
}

// Whoever names another than the best reads what that costs before anything is done.
func TestWhatIsLostIsSaidBeforeItIsAsked(t *testing.T) {
	n2, n3 := left("n2", 4, 1040, 1038, 1001, 0), left("n3", 4, 1042, 1040, 1003, 0)
	o := &node.Outlook{All: []*node.Survivor{n2, n3}, Best: n3, Chosen: n2, Lost: []node.Loss{{Of: n3, From: 1041, To: 1042}}}
	var asked bytes.Buffer
	e := &Env{In: strings.NewReader("no\n"), Out: &asked, Err: &asked, InTerminal: true, ErrTerminal: true}
	if err := e.recover(t.Context(), o, n2, false); exitCode(err) != 2 {
		t.Errorf("exit %d: %v", exitCode(err), err)
	}
	want := `every other member is shut out: stop them first, and never start them again
lost: entries 1041 to 1042 of n3, and it is not known whether they were acknowledged
lost: what makes n3 the best: it is at revision 1003, and n2 at 1001
make n2 (/srv/n2) the only member of its cluster? type n2 to confirm: `
	if asked.String() != want {
		t.Errorf("it says\n%s\nwant\n%s", asked.String(), want)
	}
}

func TestRecoveriesOnTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	missing, whole := filepath.Join(dir, "none.tgz"), filepath.Join(t.TempDir(), "whole.tgz")
	if err := os.WriteFile(whole, archive(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]struct {
		exit int
		says string
	}{
		"recover plan":                                                     {2, "missing --dir DIR"},
		"recover run --yes":                                                {2, "missing --dir DIR"},
		"recover plan --dir " + dir:                                        {2, "is not the data directory of a node"},
		"recover plan --dir " + dir + "/none":                              {2, "no such directory"},
		"recover run --dir " + link + " --dir " + dir:                      {2, "is given twice"},
		"recover plan " + dir:                                              {2, "unexpected argument"},
		"restore " + missing + " --offline":                                {2, "none.tgz: no such file"},
		"restore x.tgz --offline --request-id r":                           {2, "--request-id does not go with --offline"},
		"restore x.tgz --offline --expect-revision 7":                      {2, "--expect-revision does not go with --offline"},
		"restore x.tgz --offline -s unix:/s":                               {2, "--server does not go with --offline"},
		"restore x.tgz --offline -t acme":                                  {2, "--tenant does not go with --offline"},
		"restore " + whole + " --offline --data-dir /etc/passwd":           {2, "/etc/passwd is not a directory"},
		"restore " + whole + " --offline --data-dir /etc/passwd/n1":        {2, "/etc/passwd is not a directory"},
		"restore " + whole + " --offline --dry-run --data-dir /etc/passwd": {2, "/etc/passwd is not a directory"},
		"restore x.tgz --cluster-key-file k":                               {2, "--cluster-key-file goes with --offline only"},
		"restore x.tgz --name n1":                                          {2, "--name goes with --offline only"},
		"restore x.tgz --offline --cluster-key-file /no":                   {2, "/no: no such file"},
	} {
		if r := newWorld().run(strings.Fields(args)...); r.code != want.exit || !strings.Contains(r.err, want.says) {
			t.Errorf("%s: exit %d, %s; want %d, %q", args, r.code, r.err, want.exit, want.says)
		}
	}
}
