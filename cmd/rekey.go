package cmd

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// rekeyer takes the cluster to a new key.
type rekeyer interface {
	Rekey(ctx context.Context, tell func(*rpc.RekeyReply)) (*rpc.RekeyReply, error)
}

func newClusterRekey(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "rekey", Short: "Make a new cluster key and seal everything anew under it",
		Long: "Make a new cluster key, hand it to all nodes, and seal everything anew under it: signing\n" +
			"keys, the private key of the authority, what the cluster keeps for itself. Signing keys\n" +
			"and tokens stay as they are, and clients go on writing meanwhile. Both keys are good until\n" +
			"nothing is left under the old one; then all nodes forget it.\n\n" +
			"Every voter has to answer, since it needs the key. One that does not come back has to be\n" +
			"removed first. A node without a vote that is away gets the key when it is back. When time\n" +
			"is over, or the leader dies, the cluster works on with what it has: call it again, and it\n" +
			"goes on where it was. A second call while one runs joins it.\n\n" +
			"Old archives and backups stay sealed under the old key, and so does the log of before until\n" +
			"it is compacted: whoever has them and the old cluster.key can read the private keys that\n" +
			"were good then. Make a new archive, and take a new copy of cluster.key from a node's data\n" +
			"directory. Keep the old copy, offline, for as long as an archive from before may be needed:\n" +
			"no other key opens it. If the key was lost to somebody, revoke the signing keys, too\n" +
			"(cpctl key revoke), and destroy what is sealed under it.",
		Args: named(), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error { return env.rekey(ctx, c) })
		},
	}
}

// rekeyed is the JSON of `cluster rekey`.
type rekeyed struct {
	FormatVersion string   `json:"format_version"`
	Kind          string   `json:"kind"` // rekey
	KeyID         string   `json:"key_id"`
	RetiredKeyID  string   `json:"retired_key_id"`
	Values        int      `json:"values"` // sealed anew
	Index         uint64   `json:"index"`
	Notes         []string `json:"notes"` // nodes that have not forgotten the old key yet
}

func (e *Env) rekey(ctx context.Context, c rekeyer) error {
	var mu sync.Mutex
	at := "asking for a new cluster key"
	p := e.progress(func() string { mu.Lock(); defer mu.Unlock(); return at })
	r, err := c.Rekey(ctx, func(r *rpc.RekeyReply) {
		mu.Lock()
		defer mu.Unlock()
		at = rekeyText(r)
	})
	p.stop()
	if err != nil {
		return err
	}
	if r.Waiting == nil {
		r.Waiting = []string{}
	}
	out := rekeyed{store.FormatVersion, "rekey", r.KeyID, r.OldKeyID, r.Values, r.Index, r.Waiting}
	if err := e.show(out, "cluster-key/"+r.KeyID, func() error {
		return e.line(fmt.Sprintf("cluster rekeyed: key %s, %s sealed anew, old key %s retired", r.KeyID, plural(r.Values, "value"), r.OldKeyID))
	}); err != nil {
		return err
	}
	for _, w := range r.Waiting {
		e.note("%s; it forgets it when it can", w)
	}
	e.note("take a new copy of cluster.key and a new archive; keep the copy of the old key %s offline as long as archives from before may be needed", r.OldKeyID)
	return nil
}

// rekeyText is the line of progress.
func rekeyText(r *rpc.RekeyReply) string {
	text := fmt.Sprintf("new cluster key %s: ", r.KeyID)
	switch {
	case len(r.Waiting) > 0:
		return text + strings.Join(r.Waiting, "; ")
	case r.Phase == "begun":
		return text + "handing it to the nodes"
	}
	return text + plural(r.Values, "value") + " sealed anew"
}
