package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// found makes a new cluster of this one node: its id, its CA and its key. They
// are durable before the first entry names them.
func (d *dataDir) found(name string, ttl time.Duration, now time.Time) (*identity, *founding, error) {
	ring, err := d.foundingKeys()
	if err != nil {
		return nil, nil, err
	}
	id, own, f, err := newCluster(ring, name, ttl, now)
	if err != nil {
		return nil, nil, err
	}
	if err := d.saveSecrets(ring, own); err != nil {
		return nil, nil, err
	}
	if err := d.saveRecord("founding.json", f); err != nil {
		return nil, nil, err
	}
	return id, f, d.save(id)
}

// newCluster makes a cluster of one node under cluster keys.
func newCluster(ring pki.Keyring, name string, ttl time.Duration, now time.Time) (*identity, pki.Credentials, *founding, error) {
	var own pki.Credentials
	fail := func(err error) (*identity, pki.Credentials, *founding, error) { return nil, own, nil, err }
	id := &identity{FormatVersion: store.FormatVersion, NodeID: uuid.NewString(), Name: name,
		ClusterID: uuid.NewString(), Generation: 1, Phase: phaseFounding, Voter: true}
	key := ring.First()
	ca, err := pki.NewAuthority(id.ClusterID, now)
	if err != nil {
		return fail(err)
	}
	csr, signer, err := pki.NewCSR(name)
	if err != nil {
		return fail(err)
	}
	cert, serial, err := ca.Sign(csr, id.certified(), ttl, now)
	if err != nil {
		return fail(err)
	}
	keyPEM, err := pki.EncodeKeyPEM(signer)
	if err != nil {
		return fail(err)
	}
	own = pki.Credentials{CertPEM: cert, KeyPEM: keyPEM, CAPEM: ca.CertPEM()}
	private, err := ca.PrivateKey()
	if err != nil {
		return fail(err)
	}
	sealed, err := key.Seal(private, caKeyLabel, id.ClusterID)
	if err != nil {
		return fail(err)
	}
	request, err := pki.NewRequestKey()
	if err != nil {
		return fail(err)
	}
	requests, err := key.Seal(request[:], requestKeyLabel, id.ClusterID)
	if err != nil {
		return fail(err)
	}
	f := &founding{
		Found: mutation.Found{ClusterID: id.ClusterID, Generation: id.Generation, CA: string(ca.CertPEM()), CAKey: sealed,
			KeyCheck: key.Check(), KeyID: key.ID(), Level: mutation.Level, RequestKey: &requests},
		Certificate: mutation.Certificate{Serial: serial, Role: string(access.Node), Name: name, NodeID: id.NodeID,
			NotAfter: store.TimeOf(now.Add(ttl)), IssuedAt: store.TimeOf(now), Authority: ca.ID()},
	}
	for _, old := range ring.Keys()[1:] { // the copy was made while a roll-over was under way
		f.Keep = &mutation.Rekey{Step: mutation.RekeyKeep, Roll: uuid.NewString(), Key: mutation.KeyName{ID: old.ID(), Check: old.Check()}}
	}
	return id, own, f, nil
}

// foundingKeys are in the cluster.key that is there already: an operator's copy,
// to restore an archive that is sealed under it, or that of a founding that was
// cut short. It may be the last one, and is never written over. Else a new one.
func (d *dataDir) foundingKeys() (pki.Keyring, error) {
	b, err := os.ReadFile(d.file("cluster.key"))
	if errors.Is(err, os.ErrNotExist) {
		key, err := pki.NewClusterKey()
		return pki.NewKeyring(key), err
	}
	if err != nil {
		return pki.Keyring{}, err
	}
	ring, err := pki.ParseKeyring(b)
	if err != nil {
		return ring, store.Errorf(store.CodeIntegrity, "%s: %v", d.file("cluster.key"), err).
			WithHint("put a whole copy of it in its place, or move it away to found a cluster with a new key")
	}
	return ring, nil
}

// founded notes that the cluster is on record.
func (d *dataDir) founded(id *identity) error {
	if err := d.enter(id, phaseMember); err != nil {
		return err
	}
	// Without node.json saying so, the next start would need it.
	return disk.Remove(d.disk, d.file("founding.json"))
}

// founding is what the first command of the cluster says. It waits in
// founding.json until that command is applied, so that a crash in between
// founds the same cluster.
type founding struct {
	Found       mutation.Found       `json:"found"`
	Keep        *mutation.Rekey      `json:"keep,omitempty"` // a second key of the cluster.key that was there
	Certificate mutation.Certificate `json:"certificate"`
}

func (f *founding) mutations() ([]mutation.Mutation, error) {
	found, err := json.Marshal(f.Found)
	if err != nil {
		return nil, err
	}
	cert, err := json.Marshal(f.Certificate)
	if err != nil {
		return nil, err
	}
	ms := []mutation.Mutation{{Kind: mutation.SysFound, Payload: found}}
	if f.Keep != nil {
		keep, err := payload(mutation.SysRekey, f.Keep)
		if err != nil {
			return nil, err
		}
		ms = append(ms, keep)
	}
	return append(ms, mutation.Mutation{Kind: mutation.SysCert, Payload: cert}), nil
}

// certified is the identity that the node's certificate bears.
func (id *identity) certified() pki.Identity {
	return pki.Identity{Role: access.Node, Name: id.Name, ClusterID: id.ClusterID, NodeID: id.NodeID, Generation: id.Generation, Recovery: id.Recovery}
}

// certificateOf returns what the cluster has on record of a certificate, the
// zero value if nothing.
func certificateOf(img *store.Image, serial string) (c mutation.Certificate) {
	img.System(applier.CertPath(serial), &c)
	return c
}

// authority opens the cluster's CA, as the leader does to sign for a joiner.
func (n *Node) authority(img *store.Image) (*pki.Authority, error) { return authorityIn(img, n.ring()) }

// authorityIn opens the CA in a state with the keys of a ring.
func authorityIn(img *store.Image, ring pki.Keyring) (*pki.Authority, error) {
	var f mutation.Found
	if !img.System(applier.ClusterPath, &f) {
		return nil, fmt.Errorf("the cluster is not founded yet")
	}
	private, err := ring.Open(f.CAKey, caKeyLabel, f.ClusterID)
	if err != nil {
		return nil, fmt.Errorf("open the CA's private key: %w", err)
	}
	return pki.LoadAuthority([]byte(f.CA), private)
}
