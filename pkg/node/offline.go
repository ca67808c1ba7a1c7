package node

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// offlineFile is in a directory from the first to the last step in which an
// archive is made a cluster there. What else is there then is what the steps have
// left, and no node starts on it.
const offlineFile = "offline.json"

// Offline is a cluster that is to be founded from an archive, in a directory in
// which no node has run. It gets the tenants and keys of the archive, and an id,
// an authority and tokens of its own; the revision goes on from the archive's.
type Offline struct {
	Dir     string
	Name    string       // of the node; the host name if empty
	Keys    *pki.Keyring // under which the archive is sealed; nil: there is no such file
	Archive *snapshot.Contents
	Now     time.Time

	disk disk.FS // the real one if nil
}

// FoundedFrom is what came of it.
type FoundedFrom struct {
	ClusterID string // "" if nothing was done
	NodeID    string
	Name      string
	Revision  uint64
	KeyID     string // of the cluster key; "" if there is none yet
}

// Check says what keeps the archive from becoming a cluster in the directory, and
// what would come of it. It changes nothing.
func (o *Offline) Check() (*FoundedFrom, error) {
	if o.Name == "" {
		o.Name, _ = os.Hostname()
	}
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	if err := o.checkKeys(); err != nil {
		return nil, err
	}
	if err := o.checkEmpty(); err != nil {
		return nil, err
	}
	f := &FoundedFrom{Name: o.Name, Revision: o.Archive.Manifest.Revision}
	if o.Keys != nil {
		f.KeyID = o.Keys.First().ID()
	}
	return f, nil
}

func (o *Offline) checkKeys() error {
	var ring pki.Keyring
	if o.Keys != nil {
		ring = *o.Keys
	}
	return opensWith(o.Archive.Image, ring, func(keyID string) error {
		switch {
		case o.Keys == nil:
			return store.Errorf(store.CodeInvalid, "the signing keys in the archive are sealed under the cluster key %s", keyID).
				WithHint("name a copy of the cluster.key of that id: --cluster-key-file FILE")
		case !slices.ContainsFunc(ring.Keys(), func(k pki.ClusterKey) bool { return k.ID() == keyID }):
			return store.Errorf(store.CodeIntegrity, "the signing keys in the archive are sealed under the cluster key %s, and the file has %s", keyID, ring.IDs()).
				WithHint("the cluster.key of the cluster that the archive is of is needed, as it was when the archive was made")
		}
		return nil
	})
}

// checkEmpty wants a directory in which there is nothing, or that is not there.
func (o *Offline) checkEmpty() error {
	if err := canBeDir(o.Dir); err != nil {
		return err
	}
	lock, err := holdDir(o.Dir)
	if err == nil {
		lock.Close()
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	names, err := o.names()
	if err != nil {
		return err
	}
	if len(names) == 0 || slices.Contains(names, offlineFile) {
		return nil
	}
	more := ""
	if len(names) > 5 {
		more = fmt.Sprintf(" and %d more", len(names)-5)
	}
	hint := "choose another with --data-dir; nothing was changed"
	if slices.Contains(names, "node.json") {
		hint = "it is the directory of a node, and its cluster takes the archive with: cpctl restore FILE (without --offline);\n" + hint
	} else if slices.Contains(names, "cluster.key") {
		hint = "move cluster.key to another place, and name it with --cluster-key-file; or " + hint
	}
	return store.Errorf(store.CodeRefused, "%s is not empty: there is %s%s", o.Dir, strings.Join(names[:min(len(names), 5)], ", "), more).WithHint("%s", hint)
}

// names is what is in the directory, but for what an empty one may have.
func (o *Offline) names() (names []string, err error) {
	entries, err := os.ReadDir(o.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if !spareName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// spareName is what may be in an empty directory: a lock, what mkfs makes, and the
// first file of ours if it was not even saved.
func spareName(name string) bool {
	return name == "lock" || name == "lost+found" || strings.HasPrefix(name, disk.Unsaved+offlineFile)
}

// Found does it. It may be cut short at every step, and begun again: what an
// earlier attempt has left is removed first.
func (o *Offline) Found() (*FoundedFrom, error) {
	f, err := o.Check()
	if err != nil {
		return nil, err
	}
	d, err := openDir(disk.Or(o.disk), o.Dir, false)
	if err != nil {
		return nil, err
	}
	defer d.close()
	if err := ownDir(d.path); err != nil {
		return nil, err
	}
	if err := o.checkStill(); err != nil {
		return nil, err
	}
	if err := d.saveRecord(offlineFile, struct {
		Archive string `json:"archive_sha256"`
	}{o.Archive.SHA256}); err != nil {
		return nil, err
	}
	if err := d.sweep(); err != nil {
		return nil, err
	}
	id, err := o.lay(d)
	if err != nil {
		return nil, err
	}
	if err := disk.Remove(d.disk, d.file(offlineFile)); err != nil {
		return nil, err
	}
	if err := disk.SyncDir(d.disk, d.path); err != nil {
		return nil, err
	}
	f.ClusterID, f.NodeID, f.KeyID = id.ClusterID, id.NodeID, o.Keys.First().ID()
	return f, nil
}

// checkStill looks again once the directory is locked.
func (o *Offline) checkStill() error {
	names, err := o.names()
	if err == nil && len(names) > 0 && !slices.Contains(names, offlineFile) {
		err = store.Errorf(store.CodeRefused, "%s is not empty any more: there is %s", o.Dir, names[0])
	}
	return err
}

// sweep removes what an attempt has left that was cut short.
func (d *dataDir) sweep() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); name == offlineFile || name == "lock" || name == "lost+found" {
			continue
		}
		if err := disk.Remove(d.disk, d.file(e.Name())); err != nil {
			return err
		}
	}
	return disk.SyncDir(d.disk, d.path)
}

// lay makes the directory what it is to be.
func (o *Offline) lay(d *dataDir) (*identity, error) {
	if o.Keys == nil {
		key, err := pki.NewClusterKey()
		if err != nil {
			return nil, err
		}
		ring := pki.NewKeyring(key)
		o.Keys = &ring
	}
	id, own, birth, err := newCluster(*o.Keys, o.Name, defaultCertTTL, o.Now)
	if err != nil {
		return nil, err
	}
	if err := d.saveSecrets(*o.Keys, own); err != nil {
		return nil, err
	}
	first, err := birth.mutations()
	if err != nil {
		return nil, err
	}
	state, err := o.state()
	if err != nil {
		return nil, err
	}
	// Where it listens is for its first start to say, which puts that right.
	const somewhere = "127.0.0.1:7700"
	b := &beginning{clusterID: id.ClusterID, state: state, term: 1,
		self: raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(id.NodeID), Address: joinAddress(id.NodeID, somewhere)},
		command: &mutation.Command{Op: string(mutation.SysFound), Actor: actorSystem, Level: mutation.Level,
			Time: max(store.TimeOf(o.Now), state.Counters().Time+1), Mutations: first},
	}
	if err := disk.MakeAll(d.disk, d.file("raft")); err != nil {
		return nil, err
	}
	img, err := b.lay(d.disk, d.file("raft"))
	if err != nil {
		return nil, err
	}
	if img.DataDigest() != o.Archive.Manifest.Digest {
		return nil, store.Errorf(store.CodeIntegrity, "the state comes to digest %.12s, that of the archive is %.12s", img.DataDigest(), o.Archive.Manifest.Digest)
	}
	id.Phase = phaseMember
	return id, d.save(id)
}

// state is what the cluster begins with. Requests that were made before the
// archive are too old to be known: it may hold what became of them.
func (o *Offline) state() (*store.Image, error) {
	tx := store.NewImage().Begin()
	for _, prefix := range []string{"tenants/", "keys/"} {
		for d := range o.Archive.Image.Scan(prefix) {
			tx.LoadDoc(d)
		}
	}
	was := o.Archive.Image.Counters()
	tx.SetCounters(store.Counters{Revision: cmp.Or(was.Revision, o.Archive.Manifest.Revision), Time: was.Time, Horizon: was.Time})
	img, _ := tx.Freeze(1, 1)
	return img, nil
}
