package cmd

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// offlineFlags are those of `restore --offline`.
type offlineFlags struct {
	on      bool
	keyFile string
	name    string
}

const (
	offlineHelp = `With --offline no cluster is asked: the archive becomes a new cluster, of one node, in an
empty --data-dir, which "cpctl node" then starts. It has the tenants, clients, scopes and
keys of the archive, and goes on from its revision. Its id, its authority and its members
are new, so people and nodes get new certificates (cpctl token create). The signing keys
in the archive are sealed: --cluster-key-file names a copy of the cluster.key that the
archive was made under. If it is cut short, run it again. Exit 8 if the directory is not
empty, 11 if the key is another one.`
	offlineExample = "  cpctl restore backup.tgz --offline --data-dir /srv/n1 --cluster-key-file cluster.key --name n1"
)

func addOffline(cmd *cobra.Command) *offlineFlags {
	f := new(offlineFlags)
	fs := cmd.Flags()
	fs.BoolVar(&f.on, "offline", false, "found a new cluster from the archive in an empty --data-dir")
	fs.StringVar(&f.keyFile, "cluster-key-file", "", "with --offline: a copy of the `FILE` cluster.key of the cluster that the archive is of")
	fs.StringVar(&f.name, "name", "", "with --offline: `NAME` of the node (default the host name)")
	return f
}

// check keeps apart the flags of the two ways to restore.
func (f *offlineFlags) check(cmd *cobra.Command) error {
	apart, why := []string{"cluster-key-file", "name"}, "goes with --offline only"
	if f.on {
		apart, why = []string{"request-id", "expect-revision", "server", "context", "tenant", "ca", "cert", "key"}, "does not go with --offline, which asks no cluster"
	}
	for _, name := range apart {
		if cmd.Flags().Changed(name) {
			return usagef("--%s %s", name, why).WithHint("see: %s --help", cmd.CommandPath())
		}
	}
	return nil
}

// foundedFrom is the JSON of `restore --offline`.
type foundedFrom struct {
	FormatVersion string       `json:"format_version"`
	Kind          string       `json:"kind"` // offline_restore
	Archive       string       `json:"archive"`
	SHA256        string       `json:"sha256"`
	From          string       `json:"from_cluster_id"`
	ClusterID     string       `json:"cluster_id,omitempty"` // none with --dry-run
	Node          string       `json:"node"`
	NodeID        string       `json:"node_id,omitempty"`
	DataDir       string       `json:"data_dir"`
	Revision      uint64       `json:"revision"`
	Digest        string       `json:"digest"`
	KeyID         string       `json:"cluster_key_id,omitempty"`
	Counts        store.Counts `json:"counts"`
	DryRun        bool         `json:"dry_run"`
	Next          string       `json:"next"`
}

func (e *Env) restoreOffline(file string, f *offlineFlags, dryRun bool) error {
	keys, err := e.clusterKeys(f.keyFile)
	if err != nil {
		return err
	}
	return e.withArchive(file, func(path string) error {
		c, err := readArchive(path)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		o := node.Offline{Dir: e.dataDir(), Name: f.name, Keys: keys, Archive: c, Now: e.now()}
		do := o.Found
		if dryRun {
			do = o.Check
		}
		unix.Umask(0o077)
		r, err := do()
		if err != nil {
			return err
		}
		if !dryRun {
			e.onRecord(o.Dir, r.Name, audit.Event{Type: "restore", Target: "cluster", Revision: r.Revision,
				Message: fmt.Sprintf("offline, from an archive of cluster %s with SHA-256 %s", c.Manifest.ClusterID, c.SHA256)})
		}
		out := foundedFrom{FormatVersion: store.FormatVersion, Kind: "offline_restore", Archive: file, SHA256: c.SHA256, From: c.Manifest.ClusterID,
			ClusterID: r.ClusterID, Node: r.Name, NodeID: r.NodeID, DataDir: o.Dir, Revision: r.Revision, Digest: c.Manifest.Digest, KeyID: r.KeyID,
			Counts: c.Image.Counts(), DryRun: dryRun, Next: "cpctl node --data-dir " + shellWord(o.Dir)}
		return e.show(out, "node/"+r.Name, func() error { return e.foundedText(&out) })
	})
}

// clusterKeys reads a copy of cluster.key; nil if none is named.
func (e *Env) clusterKeys(path string) (*pki.Keyring, error) {
	if path == "" {
		return nil, nil
	}
	b, err := e.readFile(path, maxClusterKey)
	if err != nil {
		return nil, err
	}
	ring, err := pki.ParseKeyring(b)
	clear(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &ring, nil
}

// maxClusterKey bounds the file cluster.key, in bytes: two lines of 80.
const maxClusterKey = 1 << 10

// readArchive reads an archive whole, and verifies all of it.
func readArchive(path string) (_ *snapshot.Contents, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return snapshot.Read(f, snapshot.Limits{})
}

func (e *Env) foundedText(f *foundedFrom) error {
	line := fmt.Sprintf("cluster/%s founded from %s", f.ClusterID, f.Archive)
	if f.DryRun {
		line = fmt.Sprintf("a cluster would be founded from %s (dry run)", f.Archive)
	}
	if err := e.line(line); err != nil {
		return err
	}
	lines := []pair{
		{"member", f.Node + ", the only one"},
		{"directory", f.DataDir},
		{"contents", countText(f.Counts)},
		{"revision", f.Revision},
		{"cluster key", f.KeyID},
	}
	if f.DryRun {
		return e.pairs(lines)
	}
	return e.pairs(append(lines,
		pair{"people", "log in anew: tokens and certificates of the cluster in the archive are not of this one"},
		pair{"next", f.Next}))
}
