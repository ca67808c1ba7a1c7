package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cpctl/cpctl/test/histories"
	"github.com/cpctl/cpctl/test/live"
)

// tally counts what was done, for the report.
type tally struct {
	faults     map[string]int
	operations map[histories.Kind]map[histories.Said]int
	modes      map[histories.Mode]int
	verdicts   map[histories.Verdict]int // on documents
	replayed   int
	open       int           // writes that nobody was told of and that were not done
	longest    time.Duration // without an acknowledged write, under load
	longestAt  time.Duration // when that began
	term       uint64        // at the beginning
	violations int
	directory  string // for pictures
}

func newTally() tally {
	return tally{faults: map[string]int{}, operations: map[histories.Kind]map[histories.Said]int{}, modes: map[histories.Mode]int{},
		verdicts: map[histories.Verdict]int{}}
}

// add counts the operations of a part, which was under load from begun to loaded.
func (y *tally) add(ops []*histories.Op, begun, loaded time.Duration) {
	acknowledged := []time.Duration{begun, loaded}
	for _, o := range ops {
		if y.operations[o.Kind] == nil {
			y.operations[o.Kind] = map[histories.Said]int{}
		}
		y.operations[o.Kind][o.Said]++
		if o.Kind == histories.Read {
			y.modes[o.Mode]++
		}
		if o.Replayed {
			y.replayed++
		}
		if o.Kind != histories.Read && o.Said == histories.Done && o.Return > begun && o.Return < loaded {
			acknowledged = append(acknowledged, o.Return)
		}
	}
	slices.Sort(acknowledged)
	for i, at := range acknowledged[1:] {
		if gap := at - acknowledged[i]; gap > y.longest {
			y.longest, y.longestAt = gap, acknowledged[i]
		}
	}
}

// report sums the run up in lines that can be copied.
func (m *mixture) report() {
	m.t.Helper()
	y := &m.tally
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %s, %d faults in %d parts, %d violations", m.seed, m.now().Round(time.Second), m.counted, m.number, y.violations)
	fmt.Fprintf(&b, "\nfaults: %s", counted(y.faults))
	for _, kind := range slices.Sorted(maps.Keys(y.operations)) {
		fmt.Fprintf(&b, "\n%s: %s", kind, counted(y.operations[kind]))
	}
	fmt.Fprintf(&b, "\nreads: %d that have to be the newest, %d with a minimum index, %d stale", y.modes[histories.Newest], y.modes[histories.MinIndex], y.modes[histories.Stale])
	fmt.Fprintf(&b, "\n%d answers were replayed; %d writes that nobody was told of were not done", y.replayed, y.open)
	fmt.Fprintf(&b, "\ndocuments: %s", counted(y.verdicts))
	during := ""
	for _, h := range m.schedule {
		if h.began < y.longestAt+y.longest && h.over > y.longestAt {
			during += "; " + h.fault + " " + h.what
		}
	}
	fmt.Fprintf(&b, "\nlongest without an acknowledged write: %s, at %.1fs%s", y.longest.Round(time.Millisecond), y.longestAt.Seconds(), during)
	fmt.Fprintf(&b, "\nelections: %d terms, %d times a node led, %d snapshots were installed", m.view().Status().Term-y.term, m.logged("this node leads"), m.logged("Installed remote snapshot"))
	fmt.Fprintf(&b, "\nto repeat: %s", m.command())
	m.t.Log(b.String())
}

// logged counts words in the logs of all nodes.
func (m *mixture) logged(words string) (n int) {
	for _, node := range m.Nodes {
		log, err := os.ReadFile(node.Log)
		if err != nil {
			m.t.Error(err)
		}
		n += strings.Count(string(log), words)
	}
	return n
}

// counted lists counts, the highest first.
func counted[K comparable](counts map[K]int) string {
	keys := slices.Collect(maps.Keys(counts))
	slices.SortFunc(keys, func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%v %d", k, counts[k]))
	}
	return strings.Join(parts, ", ")
}

// kept is the directory for what is kept of a failure.
func (m *mixture) kept() string {
	if m.tally.directory == "" {
		if m.tally.directory = os.Getenv(live.LogsKept); m.tally.directory == "" {
			dir, err := os.MkdirTemp("", "cpctl-kept-")
			if err != nil {
				dir = os.TempDir()
			}
			m.tally.directory = dir
		}
	}
	return m.tally.directory
}

// confess says of a run that failed what happened in it, when, and how it is
// repeated. The history of its last part is kept.
func (m *mixture) confess() {
	m.present.end()
	if !m.t.Failed() {
		return
	}
	var b strings.Builder
	for _, h := range m.schedule {
		fmt.Fprintln(&b, h)
	}
	file := filepath.Join(m.kept(), fmt.Sprintf("history-%d-part-%d.jsonl", m.seed, m.number))
	if err := histories.Write(file, m.present.ops); err != nil {
		file = err.Error()
	}
	m.t.Logf("seed %d failed in part %d, after %s; its operations are in %s. What happened:\n%sto repeat: %s",
		m.seed, m.number, m.now().Round(time.Millisecond), file, b.String(), m.command())
}
