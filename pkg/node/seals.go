package node

import (
	"fmt"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// What is sealed beside signing keys is bound to its use and to the cluster.
const (
	caKeyLabel      = "cpctl ca private key"
	requestKeyLabel = "cpctl request key"
)

// systemLabels are the uses of what is sealed below system/.
var systemLabels = []string{caKeyLabel, requestKeyLabel}

// sealing returns the key that seals by a state. A node that does not have it
// cannot do what needs it; another one leads soon (see yield).
func (n *Node) sealing(img *store.Image) (pki.ClusterKey, error) {
	want := named(img)
	if len(want) == 0 {
		return pki.ClusterKey{}, notProposed("the cluster is not founded yet")
	}
	key, ok := n.ring().Key(want[0].ID, want[0].Check)
	if !ok {
		return key, notProposed(fmt.Sprintf("node %s does not have the cluster key %s yet", n.self.Name, want[0].ID))
	}
	return key, nil
}

// knownRequestKey is a request key that was opened, beside the document that
// holds it.
type knownRequestKey struct {
	doc *store.Doc
	key pki.RequestKey
}

// requestKey returns the key of the digests of requests. It stays the same when
// the cluster key changes: a request that is sent again behind the change still
// finds its first answer.
func (n *Node) requestKey(img *store.Image) (pki.RequestKey, error) {
	doc := img.Get(applier.ClusterPath)
	if k := n.requests.Load(); k != nil && k.doc == doc {
		return k.key, nil
	}
	var f mutation.Found
	if !img.System(applier.ClusterPath, &f) {
		return pki.RequestKey{}, notProposed("the cluster is not founded yet")
	}
	var key pki.RequestKey
	if f.RequestKey == nil {
		own, err := n.sealing(img)
		if err != nil {
			return key, err
		}
		key = own.RequestKey()
	} else {
		b, err := n.ring().Open(*f.RequestKey, requestKeyLabel, f.ClusterID)
		if err != nil && n.lacksKey(img) {
			return key, notProposed(fmt.Sprintf("node %s does not have the cluster key %s yet", n.self.Name, f.KeyID))
		}
		if err != nil {
			return key, fmt.Errorf("open the request key: %w", err)
		}
		if key, err = pki.ParseRequestKey(b); err != nil {
			return key, err
		}
		clear(b)
	}
	n.requests.Store(&knownRequestKey{doc, key})
	return key, nil
}
