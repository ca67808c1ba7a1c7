package cmd

import (
	"cmp"

	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/store"
)

// recoveryPlan is the JSON of `recover plan`.
type recoveryPlan struct {
	FormatVersion string         `json:"format_version"`
	Kind          string         `json:"kind"` // recovery_plan
	ClusterID     string         `json:"cluster_id"`
	Generation    uint64         `json:"generation"`
	Directories   []recoveryDir  `json:"directories"`
	Best          string         `json:"best,omitempty"` // dir
	Why           string         `json:"why,omitempty"`
	Chosen        string         `json:"chosen,omitempty"` // dir that --node names, if it is not the best
	Voters        int            `json:"voters,omitempty"` // 0: not known, none of them is whole
	Missing       []string       `json:"missing"`          // names of voters
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
	Voter         *bool      `json:"voter,omitempty"` // nil: not known, its log cannot be read
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

func planOf(o *node.Outlook) *recoveryPlan {
	p := &recoveryPlan{FormatVersion: store.FormatVersion, Kind: "recovery_plan", Why: o.Why, Voters: o.Voters, Majority: o.Majority, Unsure: o.Unsure,
		Directories: []recoveryDir{}, Missing: []string{}, Answering: []recoveryPeer{}, Differ: [][2]string{}, Next: []string{}}
	for _, s := range o.All {
		p.ClusterID, p.Generation = cmp.Or(p.ClusterID, s.ClusterID), cmp.Or(p.Generation, s.Generation)
		d := recoveryDir{Dir: s.Dir, Node: s.Name, NodeID: s.NodeID, ClusterID: s.ClusterID, Generation: s.Generation,
			LastTerm: s.LastTerm, LastIndex: s.LastIndex, SnapshotIndex: s.Snapshot, ShownIndex: s.Shown,
			Whole: s.Whole(), KeyOpens: s.Image != nil && s.Sealed == "", Faults: faultsOf(s)}
		if s.Image != nil {
			d.Voter = new(s.Votes())
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
	p.Lost = lossesOf(o)
	if o.Best != nil {
		p.Best, p.Next = o.Best.Dir, nextOf(o)
	}
	if o.Chosen != nil {
		p.Chosen = o.Chosen.Dir
	}
	return p
}

func lossesOf(o *node.Outlook) []recoveryLoss {
	all := []recoveryLoss{}
	for _, l := range o.Lost {
		acknowledged := map[bool]string{true: "no", false: "unknown"}[l.Never]
		if l.Acknowledged {
			acknowledged = "yes"
		}
		all = append(all, recoveryLoss{l.Of.Dir, l.Of.Name, l.From, l.To, acknowledged})
	}
	return all
}

func faultsOf(s *node.Survivor) []string {
	faults := append([]string{}, s.Faults...)
	if s.Sealed != "" {
		faults = append(faults, s.Sealed)
	}
	return faults
}
