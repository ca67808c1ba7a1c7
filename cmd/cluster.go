package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func newCluster(env *Env) *cobra.Command {
	return group(&cobra.Command{Use: "cluster", Short: "The members and how they are"},
		newClusterStatus(env), newClusterMembers(env), newClusterHealth(env), newClusterCheck(env), newClusterRemove(env), newClusterPromote(env), newClusterLeave(env), newClusterAutoremove(env), newClusterTransfer(env), newClusterRekey(env), newRotateCA(env))
}

func newClusterStatus(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the members, the leader and how far each is",
		Long: "Show the cluster as the node asked sees it. It needs no leader.",
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.status(ctx, c) })
		},
	}
}

func (e *Env) status(ctx context.Context, c statuser) error {
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if st.Nodes == nil {
		st.Nodes = []rpc.NodeStatus{}
	}
	return e.show(st, "cluster/"+st.ClusterID, func() error {
		cluster, content := panel{"Cluster", e.clusterLines(st)}, panel{"Store", storeLines(st.Counts)}
		if e.OutTerminal {
			if _, err := io.WriteString(e.Out, e.ui().boxes(e.columns(), cluster, content)); err != nil {
				return err
			}
		} else if err := e.pairs(append(cluster.lines, content.lines...)); err != nil {
			return err
		}
		if err := e.table(e.nodeTable(st.Nodes)); err != nil {
			return err
		}
		if voters, here := votersHere(st.Nodes, ""); st.CanLose == 0 && voters > 0 && here < voters/2+1 {
			e.note("%s", lostForGood)
		}
		return nil
	})
}

// lostForGood is the way out where no majority will come back.
const lostForGood = "if a majority of the voters is lost for good: cpctl recover plan --help"

// votersHere counts the voters, and those of them that answer, without the node of
// one id.
func votersHere(nodes []rpc.NodeStatus, without string) (voters, here int) {
	for _, n := range nodes {
		if n.Role != "non-voter" && (without == "" || n.ID != without) {
			voters++
			if n.State != "lost" {
				here++
			}
		}
	}
	return voters, here
}

func (e *Env) clusterLines(st *rpc.ClusterStatus) []pair {
	leader, applied := "none", uint64(0)
	for _, n := range st.Nodes {
		applied = max(applied, n.AppliedIndex)
		if n.Name == st.Leader && st.Leader != "" {
			leader = n.Name + " " + n.Address
		}
	}
	lines := []pair{
		{"leader", leader},
		{"term", st.Term},
		{"applied", fmt.Sprintf("%d of %d", applied, st.CommitIndex)},
		{"can lose", canLose(st)},
	}
	for _, n := range st.Nodes {
		if n.Leaving != nil {
			lines = append(lines, pair{"leaving", n.Name + ", " + n.Leaving.Why + ": " + removalAwaits(st.Nodes, n)})
		}
	}
	if st.Rekey != "" {
		lines = append(lines, pair{"cluster key", "roll-over " + st.Rekey + "; go on with: cpctl cluster rekey"})
	}
	if e.flags.output == formatWide {
		if st.Autoremove != nil {
			lines = append(lines, pair{"autoremove", autoremoveText(*st.Autoremove)})
		}
		lines = append(lines, pair{"cluster id", st.ClusterID})
	}
	return lines
}

// canLose is how many voters may fail; without a majority also what is missing.
func canLose(st *rpc.ClusterStatus) string {
	voters, here := votersHere(st.Nodes, "")
	if need := voters/2 + 1; st.CanLose == 0 && here < need && voters > 0 {
		is := "is"
		if here != 1 {
			is = "are"
		}
		return fmt.Sprintf("0 voters; %d of %d %s in reach, and writes need %d", here, voters, is, need)
	}
	return plural(st.CanLose, "voter")
}

// removalAwaits says why a removal that was decided is not done yet.
func removalAwaits(all []rpc.NodeStatus, gone rpc.NodeStatus) string {
	voters, here := votersHere(all, gone.ID)
	led := slices.ContainsFunc(all, func(n rpc.NodeStatus) bool { return n.Role == "leader" })
	switch need := voters/2 + 1; {
	case gone.Role != "non-voter" && here < need:
		return fmt.Sprintf("waits for others, %d of %d in reach, and %d needed", here, voters, need)
	case !led:
		return "waits for a leader"
	case gone.Role == "leader":
		return "waits for another one to lead"
	}
	return "is being done"
}

func storeLines(c store.Counts) []pair {
	return []pair{{"tenants", c.Tenants}, {"clients", c.Clients}, {"scopes", c.Scopes}, {"keys", c.Keys}}
}

func (e *Env) nodeTable(nodes []rpc.NodeStatus) table {
	u := e.ui()
	t := table{titles: []string{"NODE", "ROLE", "STATE", "LAG>", "CONTACT>"}, paint: map[int]func(string) string{2: u.state}}
	wide := e.flags.output == formatWide
	reasons := wide || slices.ContainsFunc(nodes, func(n rpc.NodeStatus) bool { return n.Reason != "" })
	if reasons {
		t.titles = append(t.titles, "REASON")
	}
	if wide {
		t.titles = append(t.titles, "ADDRESS", "APPLIED>", "PUBLISHED>", "REVISION>", "DIGEST", "VERSION")
	}
	for _, n := range nodes {
		row := []string{n.Name, n.Role, n.State, lag(n), contact(n.LastContactMS)}
		if reasons {
			row = append(row, reasonOf(n))
		}
		if wide {
			row = append(row, n.Address, known(n, n.AppliedIndex), known(n, n.PublishedIndex), known(n, n.Revision), n.Digest, n.Version)
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// known writes a figure that a node has to say itself; "-" for one that is lost.
func known(n rpc.NodeStatus, figure uint64) string {
	if n.State == "lost" {
		return ""
	}
	return strconv.FormatUint(figure, 10)
}

// lag is how many entries a node lacks; "-" for one of which nothing is known.
func lag(n rpc.NodeStatus) string {
	if n.State == "lost" && n.LastContactMS < 0 {
		return ""
	}
	return strconv.FormatUint(n.Lag, 10)
}

// reasonOf is why a node is not as it should be, in a cell.
func reasonOf(n rpc.NodeStatus) string {
	if n.Reason != "clock_skew" {
		return n.Reason
	}
	off := time.Duration(n.ClockSkewMS) * time.Millisecond
	if off < 0 {
		return "clock_skew, " + span(-off) + " behind"
	}
	return "clock_skew, " + span(off) + " ahead"
}

// contact writes when a node was last heard of: 0ms, 41s; "-" for never.
func contact(ms int64) string {
	switch {
	case ms < 0:
		return ""
	case ms < 1000:
		return fmt.Sprintf("%dms", ms)
	}
	return span(time.Duration(ms) * time.Millisecond)
}

func newClusterMembers(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "members", Short: "List the members",
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.members(ctx, c) })
		},
	}
}

func (e *Env) members(ctx context.Context, c statuser) error {
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	l := listing{Kind: "member_list", Index: st.CommitIndex}
	t := table{titles: []string{"NODE", "ROLE", "STATE", "ADDRESS", "ID"}, paint: map[int]func(string) string{2: e.ui().state}}
	var names []string
	for _, n := range st.Nodes {
		item, err := encode(n)
		if err != nil {
			return err
		}
		l.Items, names = append(l.Items, item), append(names, "node/"+n.Name)
		t.rows = append(t.rows, []string{n.Name, n.Role, n.State, n.Address, n.ID})
	}
	return e.list(l, "members", func() []string { return names }, func() table { return t })
}

// healther tells whether a write would succeed.
type healther interface {
	Health(ctx context.Context, wait bool) (*rpc.HealthReply, error)
}

func newClusterHealth(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "health", Short: "Tell whether a write would succeed through this server",
		Long: "Exit 0 if a write would succeed through this server, 10 if not. With --wait it asks\n" +
			"until it would, or until --timeout.",
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
	}
	wait := cmd.Flags().Bool("wait", false, "until a write would succeed")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.health(ctx, c, *wait) })
	}
	return cmd
}

func (e *Env) health(ctx context.Context, c healther, wait bool) error {
	h, err := c.Health(ctx, wait)
	if err != nil {
		return err
	}
	if !h.Ready {
		reason := h.Reason
		if reason == "" {
			reason = "a write would not succeed now"
		}
		return store.Errorf(store.CodeUnavailable, "node %s is not ready: %s", h.Node, reason).
			WithHint("see: cpctl cluster status")
	}
	raw, err := encode(h)
	if err != nil {
		return err
	}
	more, err := members(raw)
	if err != nil {
		return err
	}
	doc := object(append([]rawMember{{"format_version", quoted(store.FormatVersion)}, {"kind", quoted("cluster_health")}}, more...))
	return e.show(json.RawMessage(doc), "node/"+h.Node, func() error {
		return e.line(fmt.Sprintf("node %s is ready: leader %s, index %d", h.Node, h.Leader, h.Index))
	})
}

func completeMembers(env *Env) completing {
	return func(cmd *cobra.Command, args []string, to string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 || env.settle(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return env.completions(cmd, args, to, func(ctx context.Context, c Cluster) ([]string, error) {
			st, err := c.Status(ctx)
			if err != nil {
				return nil, err
			}
			var names []string
			for _, n := range st.Nodes {
				names = append(names, n.Name)
			}
			return names, nil
		}), cobra.ShellCompDirectiveNoFileComp
	}
}
