package node

import (
	"errors"
	"os"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// loadSecrets reads the cluster keys and the certificate, and sees to it that
// they are whole and this node's: damage to one of them would else show as a
// peer that refuses to talk, or a key that does not open, at some later hour.
func (d *dataDir) loadSecrets(self *identity) (ring pki.Keyring, c pki.Credentials, err error) {
	b, err := d.secret("cluster.key")
	if err != nil {
		return ring, c, err
	}
	if ring, err = pki.ParseKeyring(b); err != nil {
		return ring, c, store.Errorf(store.CodeIntegrity, "%s: %v", d.file("cluster.key"), err)
	}
	c, err = d.loadTLS(self)
	return ring, c, err
}

// loadTLS reads the certificate, its key and the authority's.
func (d *dataDir) loadTLS(self *identity) (c pki.Credentials, err error) {
	for _, f := range []struct {
		to   *[]byte
		name string
	}{{&c.KeyPEM, "node.key"}, {&c.CertPEM, "node.crt"}, {&c.CAPEM, "ca.crt"}} {
		if *f.to, err = d.secret("tls", f.name); err != nil {
			return c, err
		}
	}
	id, part, err := c.Check()
	if err != nil {
		return c, store.Errorf(store.CodeIntegrity, "%s is damaged: %v", d.file("tls", part), err)
	}
	if want := self.certified(); id.NodeID != want.NodeID || id.ClusterID != want.ClusterID || id.Generation != want.Generation || id.Recovery != want.Recovery || id.Name != want.Name {
		return c, store.Errorf(store.CodeIntegrity, "%s is the certificate of node %s (%s) of cluster %s, not that of the node in %s",
			d.file("tls", "node.crt"), id.NodeID, id.Name, id.ClusterID, d.file("node.json"))
	}
	return c, nil
}

// secret reads one of the files without which a node is nobody.
func (d *dataDir) secret(name ...string) ([]byte, error) {
	b, err := os.ReadFile(d.file(name...))
	if errors.Is(err, os.ErrNotExist) {
		return nil, store.Errorf(store.CodeIntegrity, "%s is missing", d.file(name...))
	}
	return b, err
}

func (n *Node) loadSecrets() error {
	ring, c, err := n.dir.loadSecrets(n.self)
	if err != nil {
		return err
	}
	n.keys.ring.Store(&ring)
	return n.hold(c)
}

// checkAgainst compares what the node holds with what the cluster has on record.
// A roll-over of the authority may have gone on without this node, or have gone
// further than the part of the log that is known to be committed: one of two is
// enough.
func (d *dataDir) checkAgainst(img *store.Image, c pki.Credentials) error {
	var f mutation.Found
	if !img.System(applier.ClusterPath, &f) {
		return nil // not known yet
	}
	if !pki.Share([]byte(f.Bundle()), c.CAPEM) {
		return store.Errorf(store.CodeIntegrity, "%s is not the certificate of this cluster's authority", d.file("tls", "ca.crt"))
	}
	// The state may be one of before the recovery: a newcomer goes through it.
	if id, err := c.Identity(); err == nil && (f.Generation > id.Generation || f.Generation == id.Generation && f.Recovery != id.Recovery) {
		return store.Errorf(store.CodeIntegrity, "%s is of generation %d of this cluster, and %s of generation %d, or of another recovery: they are not of one directory",
			d.file("raft"), f.Generation, d.file("tls", "node.crt"), id.Generation)
	}
	return nil
}

// lostLog refuses to begin a new log where there was one: with it went the votes
// of this node, and entries that it has promised to keep.
func (d *dataDir) lostLog(self *identity) error {
	path := d.file("raft", "raft.db")
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return nil // openLog says more
	}
	had := self.Phase == phaseMember
	for _, name := range []string{"committed", "tail"} { // made after the log
		_, err := os.Lstat(d.file("raft", name))
		had = had || err == nil
	}
	if had {
		return store.Errorf(store.CodeIntegrity, "%s is missing: this node's log and its votes are lost", path)
	}
	return nil
}
