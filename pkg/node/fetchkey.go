package node

import (
	"context"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
)

// fetchKey asks the members for a key that this node lacks. seals says that it
// is the one that seals.
func (n *Node) fetchKey(want mutation.KeyName, seals bool) (key pki.ClusterKey, ok bool) {
	if n.cfg.FetchKey == nil || time.Since(n.keys.asked) < askKeysEvery {
		return key, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*watchEvery)
	defer cancel()
	for _, m := range n.Members() {
		if m.ID == n.self.NodeID {
			continue
		}
		b, err := n.cfg.FetchKey(ctx, m, want.ID)
		if err != nil {
			n.cfg.Log.Debug("a member did not give the cluster key", "name", m.Name, "key", want.ID, "error", err)
			continue
		}
		key, err = pki.ParseClusterKey(b)
		clear(b)
		if err == nil && key.ID() == want.ID && key.Check() == want.Check {
			n.cfg.Log.Info("got a cluster key", "key", want.ID, "from", m.Name)
			return key, true
		}
		n.cfg.Log.Warn("a member gave what is not the cluster key", "name", m.Name, "key", want.ID)
	}
	n.keys.asked = time.Now()
	if time.Since(n.keys.said) >= sayKeysEvery {
		n.keys.said = n.keys.asked
		if seals {
			n.cfg.Log.Error("this node does not have the cluster key that seals now, and no member gives it: it neither leads nor gets a vote meanwhile",
				"wanted", want.ID, "has", n.ring().IDs())
		} else {
			n.cfg.Log.Warn("no member gives the other cluster key of the roll-over", "wanted", want.ID)
		}
	}
	return pki.ClusterKey{}, false
}
