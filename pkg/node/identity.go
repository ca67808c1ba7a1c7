package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// The phases of a node's life, in node.json.
const (
	phaseFounding = "founding" // the first node of a cluster that is not on record yet
	phaseJoining  = "joining"  // it has a certificate but is no member yet
	phaseMember   = "member"
	phaseLeft     = "left"    // it was a member, and was told to leave
	phaseRemoved  = "removed" // it was a member, and others have removed it
)

// identity is node.json: who this node is, for ever.
type identity struct {
	FormatVersion string `json:"format_version"`
	NodeID        string `json:"node_id"` // UUID, never used again by another directory
	Name          string `json:"name"`
	ClusterID     string `json:"cluster_id"`
	Generation    uint64 `json:"generation"`
	Recovery      string `json:"recovery,omitempty"` // id of the one that made the generation; none: the cluster was founded
	Phase         string `json:"phase"`
	Listen        string `json:"listen"`
	Advertise     string `json:"advertise"`
	Voter         bool   `json:"voter"`
	Gone          string `json:"gone,omitempty"` // why it is no longer a member
}

// dataDir is the data directory, locked.
type dataDir struct {
	path string
	lock *os.File
	disk disk.FS

	saving sync.Mutex
	parted bool // node.json says that this node is gone, which is its last word
}

func (d *dataDir) file(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

// openDir makes the data directory if it is not there, checks that nobody else
// may write to it, and locks it for this process. group allows others to pass
// through it to data/.
func openDir(fs disk.FS, path string, group bool) (*dataDir, error) {
	if err := canBeDir(path); err != nil {
		return nil, err
	}
	if err := disk.MakeAll(fs, path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	want := os.FileMode(0o700)
	if group {
		want = 0o710
	}
	if info.Mode().Perm()&^want != 0 {
		return nil, fmt.Errorf("the data directory %s has mode %04o: others could read or change what is in it; make it %04o with chmod", path, info.Mode().Perm(), want)
	}
	if info.Mode().Perm() != want {
		if err := os.Chmod(path, want); err != nil {
			return nil, unwritable(path, err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, unwritable(path, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(io.LimitReader(lock, 20))
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("the data directory %s is in use by process %s", path, pid)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	pid := fmt.Sprint(os.Getpid())
	// Written first, then cut: that needs no new block. The lock is what holds; a
	// full or broken disk is no reason not to start, and what others read then is
	// no process or another one.
	if _, err := lock.WriteAt([]byte(pid), 0); err == nil {
		lock.Truncate(int64(len(pid)))
	}
	return &dataDir{path: path, lock: lock, disk: fs}, nil
}

// close lets go of the lock by itself: a child that was just forked has the file
// open, too, until it becomes another program.
func (d *dataDir) close() error {
	return errors.Join(unix.Flock(int(d.lock.Fd()), unix.LOCK_UN), d.lock.Close())
}

// load returns who this node is, nil in an empty directory.
func (d *dataDir) load() (*identity, error) {
	var id identity
	found, err := d.loadRecord("node.json", &id)
	if !found {
		for _, name := range []string{"raft.db", "committed", "tail"} {
			if _, err := os.Lstat(d.file("raft", name)); err == nil {
				return nil, store.Errorf(store.CodeIntegrity, "%s is missing, but there is a log beside it: this is not the data directory it was", d.file("node.json"))
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if id.FormatVersion != store.FormatVersion {
		return nil, store.Errorf(store.CodeNewer, "%s has format version %q; this build reads %s", d.file("node.json"), id.FormatVersion, store.FormatVersion)
	}
	return &id, nil
}

// tidy removes what a crash has left behind: files on their way, snapshots that
// were not finished, trees that were not swapped in.
func (d *dataDir) tidy() error {
	left := []string{d.file("restore.tmp"), d.file(tlsNew), d.file(raftNew)}
	for _, pattern := range []string{".save-*", "tls/.save-*", "raft/.save-*", "raft/snapshots/*.tmp"} {
		found, err := filepath.Glob(d.file(pattern))
		if err != nil {
			return err
		}
		left = append(left, found...)
	}
	for _, l := range left {
		if err := disk.Remove(d.disk, l); err != nil {
			return err
		}
	}
	return nil
}

func (d *dataDir) save(id *identity) error {
	d.saving.Lock()
	defer d.saving.Unlock()
	if d.parted {
		return nil
	}
	return d.saveRecord("node.json", id)
}

// enter notes the next phase of a node's life.
func (d *dataDir) enter(id *identity, phase string) error {
	d.saving.Lock()
	defer d.saving.Unlock()
	if d.parted {
		return nil
	}
	id.Phase = phase
	return d.saveRecord("node.json", id)
}

// part notes the last one, and why.
func (d *dataDir) part(id *identity, phase, why string) error {
	d.saving.Lock()
	defer d.saving.Unlock()
	d.parted = true
	last := *id
	last.Phase, last.Gone = phase, why
	return d.saveRecord("node.json", &last)
}

// saveSecrets makes the cluster key and the certificate durable, before anybody
// counts on this node having them.
func (d *dataDir) saveSecrets(ring pki.Keyring, c pki.Credentials) error {
	if err := disk.MakeAll(d.disk, d.file("tls")); err != nil {
		return err
	}
	return errors.Join(disk.Save(d.disk, d.file("cluster.key"), ring.Encode()), d.saveTLS("tls", c))
}
