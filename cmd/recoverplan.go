package cmd

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/store"
)

func newRecoverPlan(env *Env) *cobra.Command {
	var dirs []string
	cmd := &cobra.Command{
		Use: "plan --dir DIR...", Short: "Say from which data directory a cluster can go on, and what would be lost",
		Long: `Reads the data directories of nodes that do not run, or copies of them from other
machines, and changes nothing in them. For each it shows how far its log goes (TERM, INDEX),
from which snapshot (SNAPSHOT), how far the node has shown its state to anybody (SHOWN),
the state at the end of the log (REVISION, DIGEST) and how old its last change is (AGE).

The best is the one whose last entry is the latest: an acknowledged change is in the logs
of a majority, and of those that are left the latest holds all that any of them holds.
What only the lost members had cannot be known.

It asks where the members were last known, for at most 2 s, and says who answers ("answers"):
then the cluster is not lost, and "recover run" refuses. Two directories that end at the same
entry and differ in their states are named ("differ").

With -o json the directories are "directories", each with "dir", "node", "last_term",
"last_index", "snapshot_index", "shown_index" (0: not known), "revision", "digest",
"state_digest", "last_command_at", "whole" and "faults"; then "best" and "why", "voters",
"missing", "majority", "answering" (each with "node", "address" and "generation"), "differ"
(pairs of directories), "unsure", "lost" and "next", the commands to run.

Exit 0 if the cluster can go on from one of them, 11 if all are damaged or of nodes
that were removed, 2 if they are not of one cluster and generation, 8 if a node runs on one or
recoveries were begun in two, 12 if one is of a newer version.`,
		Example: `  cpctl recover plan --dir /var/lib/cpctl
  cpctl recover plan --dir /srv/n1 --dir /mnt/from-n2/cpctl -o wide`,
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, release, err := outlook(dirs)
			if err != nil {
				return err
			}
			defer release()
			if o.Best != nil && o.Best.Begun == 0 {
				o.Ask(cmd.Context(), o.Best, dialPlain)
			}
			return env.plan(o)
		},
	}
	cmd.Flags().StringArrayVar(&dirs, "dir", nil, "a data `DIR` of a node that does not run; several times for several")
	cmd.MarkFlagDirname("dir")
	return cmd
}

// recoveryPlan is the JSON of `recover plan`.
type recoveryPlan struct {
	FormatVersion string         `json:"format_version"`
	Kind          string         `json:"kind"` // recovery_plan
	ClusterID     string         `json:"cluster_id"`
	Generation    uint64         `json:"generation"`
	Directories   []recoveryDir  `json:"directories"`
	Best          string         `json:"best,omitempty"` // dir
	Why           string         `json:"why,omitempty"`
	Voters        int            `json:"voters"`
	Missing       []string       `json:"missing"` // names of voters
	Majority      bool           `json:"majority"`
	Answering     []recoveryPeer `json:"answering"` // nodes that run
	Differ        [][2]string    `json:"differ"`    // dirs
	Unsure        int            `json:"unsure"`
	Lost          []recoveryLoss `json:"lost"`
	Next          []string       `json:"next"` // commands
}

type recoveryPeer struct {
	Node       string `json:"node"`
	Address    string `json:"address"`
	Generation uint64 `json:"generation"`
}

type recoveryDir struct {
	Dir           string     `json:"dir"`
	Node          string     `json:"node"`
	NodeID        string     `json:"node_id"`
	ClusterID     string     `json:"cluster_id"`
	Generation    uint64     `json:"generation"`
	Voter         bool       `json:"voter"`
	LastTerm      uint64     `json:"last_term"`
	LastIndex     uint64     `json:"last_index"`
	SnapshotIndex uint64     `json:"snapshot_index"`
	ShownIndex    uint64     `json:"shown_index"`
	Revision      uint64     `json:"revision"`
	Digest        string     `json:"digest"`
	StateDigest   string     `json:"state_digest"`
	LastCommandAt store.Time `json:"last_command_at"`
	Whole         bool       `json:"whole"`
	KeyOpens      bool       `json:"cluster_key_opens"`
	Faults        []string   `json:"faults"`
}

type recoveryLoss struct {
	Dir          string `json:"dir"`
	Node         string `json:"node"`
	From         uint64 `json:"from"`
	To           uint64 `json:"to"`
	Acknowledged string `json:"acknowledged"` // yes, no, unknown
}

func (e *Env) plan(o *node.Outlook) error {
	p := planOf(o)
	err := e.show(p, p.Best, func() error { return e.planText(o, p) })
	sealed := keyless(o.All)
	if err == nil && o.Best == nil {
		refusal := store.Errorf(store.CodeIntegrity, "the cluster cannot go on from any of these directories")
		hint := "look for others, on more machines or in backups of their disks; if there are none, found a new cluster\nfrom your newest archive: cpctl restore FILE --offline --help"
		if sealed != nil {
			hint = keyHint(sealed)
		}
		err = refusal.WithHint("%s", hint)
	} else if err == nil && sealed != nil {
		e.note("%s", keyHint(sealed))
	}
	return err
}

// keyless is a directory that lacks nothing but the key that opens it, nil if none does.
func keyless(all []*node.Survivor) *node.Survivor {
	for _, s := range all {
		if s.Image != nil && s.Sealed != "" && s.Drift == nil && s.Gone == "" && s.Begun == 0 {
			return s
		}
	}
	return nil
}

// keyHint says how such a directory becomes whole.
func keyHint(s *node.Survivor) string {
	return fmt.Sprintf("nothing is damaged in %s but its cluster key: put your copy of cluster.key back into it first, or that of another\nmember, which is the same; then run this again", s.Dir)
}

func planOf(o *node.Outlook) *recoveryPlan {
	p := &recoveryPlan{FormatVersion: store.FormatVersion, Kind: "recovery_plan", Why: o.Why, Voters: o.Voters, Majority: o.Majority, Unsure: o.Unsure,
		Directories: []recoveryDir{}, Missing: []string{}, Answering: []recoveryPeer{}, Differ: [][2]string{}, Lost: []recoveryLoss{}, Next: []string{}}
	for _, s := range o.All {
		p.ClusterID, p.Generation = cmp.Or(p.ClusterID, s.ClusterID), cmp.Or(p.Generation, s.Generation)
		d := recoveryDir{Dir: s.Dir, Node: s.Name, NodeID: s.NodeID, ClusterID: s.ClusterID, Generation: s.Generation, Voter: s.Votes(),
			LastTerm: s.LastTerm, LastIndex: s.LastIndex, SnapshotIndex: s.Snapshot, ShownIndex: s.Shown,
			Whole: s.Whole(), KeyOpens: s.Image != nil && s.Sealed == "", Faults: faultsOf(s)}
		if s.Image != nil {
			d.Revision, d.Digest, d.StateDigest, d.LastCommandAt = s.Image.Revision(), s.Image.DataDigest(), s.Image.StateDigest(), s.Image.Counters().Time
		}
		p.Directories = append(p.Directories, d)
	}
	for _, m := range o.Missing {
		p.Missing = append(p.Missing, cmp.Or(m.Name, m.ID))
	}
	for _, a := range o.Answers {
		p.Answering = append(p.Answering, recoveryPeer{a.Name, a.Address, a.Generation})
	}
	for _, d := range o.Differ {
		p.Differ = append(p.Differ, [2]string{d[0].Dir, d[1].Dir})
	}
	for _, l := range o.Lost {
		acknowledged := map[bool]string{true: "no", false: "unknown"}[l.Never]
		if l.Acknowledged {
			acknowledged = "yes"
		}
		p.Lost = append(p.Lost, recoveryLoss{l.Of.Dir, l.Of.Name, l.From, l.To, acknowledged})
	}
	if o.Best != nil {
		p.Best, p.Next = o.Best.Dir, nextOf(o)
	}
	return p
}

func faultsOf(s *node.Survivor) []string {
	faults := append([]string{}, s.Faults...)
	if s.Sealed != "" {
		faults = append(faults, s.Sealed)
	}
	return faults
}

// startAgain is the command that starts the node where it was.
func startAgain(s *node.Survivor) string {
	command := "cpctl node --data-dir " + shellWord(s.Dir)
	if s.Listen != "" {
		command += " --listen " + shellWord(s.Listen)
	}
	if s.Address != s.Listen {
		command += " --advertise " + shellWord(s.Address)
	}
	return command
}

// nextOf is the commands to run after looking at the plan.
func nextOf(o *node.Outlook) (commands []string) {
	commands = []string{}
	switch {
	case o.Best.Begun != 0:
		return []string{"cpctl recover run --dir " + shellWord(o.Best.Dir)}
	case o.Later() != nil:
		return commands
	case o.Majority, len(o.Answers) > 0:
		for _, s := range o.All {
			if s.Whole() && !running(o, s) {
				commands = append(commands, startAgain(s))
			}
		}
		return commands
	}
	command := "cpctl recover run" + dirFlags(o.All)
	switch {
	case len(o.Differ) > 0:
		command += " --node NAME" // nobody but the operator can know which
	case o.Costs():
		command += " --node " + o.Best.Name
	}
	return []string{command}
}

func (e *Env) planText(o *node.Outlook, p *recoveryPlan) error {
	if err := e.table(e.planTable(o, p)); err != nil {
		return err
	}
	for _, d := range p.Directories {
		for _, fault := range d.Faults {
			if err := e.line(fmt.Sprintf("%s: %s", cmp.Or(d.Node, d.Dir), fault)); err != nil {
				return err
			}
		}
	}
	if o.Best == nil {
		return nil
	}
	if err := e.line(""); err != nil {
		return err
	}
	lines := []pair{{"best", fmt.Sprintf("%s (%s): %s", o.Best.Name, o.Best.Dir, o.Why)}}
	if o.Best.Begun == 0 {
		lines = append(lines, pair{"cluster", fmt.Sprintf("%s, generation %d", p.ClusterID, p.Generation)}, pair{"voters", e.votersText(o)})
		if len(o.Answers) > 0 {
			lines = append(lines, pair{"answers", answersText(o)})
		}
		for i, d := range o.Differ {
			lines = append(lines, pair{map[bool]string{true: "differ"}[i == 0], differText(d)})
		}
		lines = append(lines, e.lossText(o)...)
	}
	for i, next := range p.Next {
		lines = append(lines, pair{map[bool]string{true: "next"}[i == 0], next})
	}
	return e.pairs(lines)
}

func (e *Env) planTable(o *node.Outlook, p *recoveryPlan) table {
	u := e.ui()
	t := table{titles: []string{"NODE", "TERM>", "INDEX>", "SNAPSHOT>", "SHOWN>", "REVISION>", "DIGEST", "AGE", "STATE", "DIR"},
		paint: map[int]func(string) string{8: u.remains}}
	wide := e.flags.output == formatWide
	if wide {
		t.titles[7] = "CHANGED" // a time, not an age
		t.titles = append(t.titles, "ID", "CLUSTER", "GENERATION>", "KEY")
	}
	for i, s := range o.All {
		d := p.Directories[i]
		digest := d.Digest
		if !wide {
			digest = digest[:min(len(digest), 12)]
		}
		state := "damaged"
		switch {
		case s.Begun != 0:
			state = "unfinished"
		case s.Whole() && len(s.Faults) == 0:
			state = "whole"
		case s.Whole():
			state = "usable"
		case s.Gone != "":
			state = "gone"
		case s.Image != nil && s.Drift == nil:
			state = "sealed"
		}
		row := []string{d.Node, number(d.LastTerm), number(d.LastIndex), number(d.SnapshotIndex), number(d.ShownIndex), number(d.Revision), digest, e.when(d.LastCommandAt), state, d.Dir}
		if wide {
			row = append(row, d.NodeID, d.ClusterID, number(d.Generation), map[bool]string{true: "opens", false: ""}[d.KeyOpens])
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// number is nothing for 0.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// remains marks how a directory is with a sign and a colour.
func (u ui) remains(s string) string {
	switch s {
	case "whole":
		return u.in(green, "● whole")
	case "damaged", "sealed", "gone":
		return u.in(red, "✗ "+s)
	}
	return u.in(yellow, "! "+s)
}

func (e *Env) votersText(o *node.Outlook) string {
	here := o.Voters - len(o.Missing)
	text := fmt.Sprintf("%d of %d here", here, o.Voters)
	if len(o.Missing) > 0 {
		var names []string
		for _, m := range o.Missing {
			names = append(names, cmp.Or(m.Name, m.ID))
		}
		text += ", missing " + strings.Join(names, ", ")
	}
	if o.Majority {
		return text + ": that is a majority. Start these nodes; nothing has to be recovered"
	}
	return text
}

// lossText is what a recovery from the best would cost, as far as it can be known.
func (e *Env) lossText(o *node.Outlook) (lines []pair) {
	add := func(text string) {
		key := ""
		if len(lines) == 0 {
			key = "lost"
		}
		lines = append(lines, pair{key, text})
	}
	for _, l := range o.Lost {
		entries, were, they := fmt.Sprintf("entries %d to %d", l.From, l.To), "were", "they were"
		if l.From == l.To {
			entries, were, they = fmt.Sprintf("entry %d", l.To), "was", "it was"
		}
		who := cmp.Or(l.Of.Name, l.Of.Dir)
		switch {
		case l.Acknowledged:
			add(fmt.Sprintf("%s, which %s has shown: %s acknowledged", entries, who, they))
		case l.Never:
			add(fmt.Sprintf("%s of %s, which never %s committed: nobody was told that %s done", entries, who, were, they))
		default:
			add(fmt.Sprintf("%s of %s, and it is not known whether %s acknowledged", entries, who, they))
		}
	}
	if o.Majority {
		return lines
	}
	if len(lines) == 0 {
		add("nothing that these directories hold")
	}
	switch n := len(o.Missing); {
	case n == 1:
		add("what only the missing voter had: that cannot be known")
	case n > 1:
		add(fmt.Sprintf("what only the %d missing voters had: that cannot be known", n))
	}
	if o.Unsure > 0 {
		lines = append(lines, pair{"kept", "all that it holds; " + unsureText(o.Unsure)})
	}
	return lines
}

// unsureText is about changes at the end of a log.
func unsureText(n int) string {
	if n == 1 {
		return "of the last change it is not known whether it was acknowledged"
	}
	return fmt.Sprintf("of %d changes at its end it is not known whether they were acknowledged", n)
}
