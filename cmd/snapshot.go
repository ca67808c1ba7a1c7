package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

func newSnapshot(env *Env) *cobra.Command {
	return group(&cobra.Command{
		Use: "snapshot", Aliases: []string{"snapshots"}, Short: "Archives of the whole state",
		Long: "Archives of the whole state, one .tgz each: the format that the cluster itself uses.\n" +
			"inspect and verify need no server.",
	}, newSnapshotSave(env), newSnapshotInspect(env), newSnapshotVerify(env), newRestore(env))
}

// snapshotter gives the archive of the state as it is.
type snapshotter interface {
	Snapshot(context.Context, io.Writer) (*snapshot.Manifest, error)
}

func newSnapshotSave(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "save [FILE]", Short: "Save an archive of the state",
		Long: "Save an archive of the state to FILE, mode 0600, in place of what is there; without\n" +
			"FILE to cpctl-<index>.tgz, and - is stdout. The archive is verified before it gets its name.\n" +
			"A node on this machine comes first: the command runs with a niceness of 10.",
		Example: "  cpctl snapshot save backup.tgz && cpctl snapshot inspect backup.tgz",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if env.Background != nil { // judging everything takes all processors, and a node beside it needs them, too
				env.Background()
			}
			return env.client(cmd.Context(), func(ctx context.Context, c Cluster) error {
				switch {
				case len(args) == 1 && args[0] == "-":
					return env.streamSnapshot(ctx, c)
				case len(args) == 1:
					return env.saveSnapshot(ctx, c, args[0])
				}
				return env.saveSnapshot(ctx, c, "")
			})
		},
	}
}

// streamSnapshot writes the archive to stdout and says on stderr what it is.
func (e *Env) streamSnapshot(ctx context.Context, c snapshotter) error {
	if e.OutTerminal {
		return usagef("the archive is not written to a terminal; name a FILE or redirect stdout")
	}
	m, err := c.Snapshot(ctx, e.Out)
	if err != nil {
		return err
	}
	e.note("snapshot saved: index %d, revision %d", m.Index, m.Revision)
	return nil
}

// saveSnapshot writes the archive to path, or under the name of its index. The
// file appears verified and whole, or not at all.
func (e *Env) saveSnapshot(ctx context.Context, c snapshotter, path string) error {
	at := path
	if at == "" {
		at = "cpctl-.tgz" // in this directory; the index is not known yet
	}
	f, err := begin(at)
	if err != nil {
		return err
	}
	defer f.discard()
	to := &counted{w: f.File}
	var back *readBack
	if !f.direct {
		back = newReadBack(f.File)
		defer back.giveUp()
		to.w = back
	}
	p := e.progress(func() string { return "saving, " + bytesText(to.n.Load()) })
	m, err := c.Snapshot(ctx, to)
	var held *snapshot.Contents
	var broken error
	if err == nil && back != nil {
		held, broken = back.verdict()
	}
	p.stop()
	var disk *os.PathError
	if errors.As(err, &disk) && disk.Path == f.Name() {
		return fmt.Errorf("write %s", fileReason(at, err)) // what was there before still is
	}
	if err != nil {
		return err
	}
	if broken != nil {
		return fmt.Errorf("the archive did not arrive whole: %w", broken)
	}
	if path == "" {
		f.path = fmt.Sprintf("cpctl-%d.tgz", m.Index)
	}
	info := &snapshot.Info{File: f.path, Index: m.Index}
	if held != nil {
		info = held.Info(f.path)
	}
	if err := f.commit(); err != nil {
		return err
	}
	return e.show(info, f.path, func() error {
		return e.line(fmt.Sprintf("%s saved: index %d, %s", f.path, m.Index, bytesText(to.n.Load())))
	})
}

func newSnapshotInspect(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "inspect FILE", Short: "Show what an archive holds", Args: named("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.withArchive(args[0], func(path string) error { return env.inspect(path, args[0], snapshot.Inspect) })
		},
	}
}

func newSnapshotVerify(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Check an archive from the first to the last byte",
		Long: "Check the sums, the digests and every document of an archive. Exit 0 if all hold, 11 if\n" +
			"one does not, 12 if a newer version made it.",
		Args: named("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.withArchive(args[0], func(path string) error {
				info, err := snapshot.Verify(path)
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				info.File = args[0]
				return env.show(info, args[0], func() error { return env.line(args[0] + ": intact") })
			})
		},
	}
}

// inspect describes an archive. A damaged one is described as far as it says
// what it is, and still is an error.
func (e *Env) inspect(path, name string, inspect func(string) (*snapshot.Info, error)) error {
	info, err := inspect(path)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	if info == nil {
		return err
	}
	info.File = name
	return errors.Join(err, e.show(info, name, func() error { return e.pairs(e.infoLines(info)) }))
}

func (e *Env) infoLines(i *snapshot.Info) []pair {
	file := i.File + ", damaged"
	if i.Intact {
		file = fmt.Sprintf("%s, %s, intact", i.File, bytesText(i.Size))
	}
	lines := []pair{
		{"file", file},
		{"index", fmt.Sprintf("%d (term %d)", i.Index, i.Term)},
		{"created", i.CreatedAt},
		{"contents", countText(i.Counts)},
	}
	if e.flags.output == formatWide {
		lines = append(lines, pair{"cluster", i.ClusterID}, pair{"revision", i.Revision}, pair{"level", i.Level},
			pair{"sha256", i.SHA256}, pair{"digest", i.Digest}, pair{"state digest", i.StateDigest})
		for n, id := range i.SealKeyIDs {
			lines = append(lines, pair{map[bool]string{true: "sealed with"}[n == 0], id})
		}
		for n, slug := range i.Tenants {
			lines = append(lines, pair{map[bool]string{true: "tenants"}[n == 0], slug})
		}
	}
	return lines
}

// countText is counts in words: 128 tenants, 1 client, 512 scopes, 256 keys.
func countText(c store.Counts) string {
	return fmt.Sprintf("%s, %s, %s, %s", plural(c.Tenants, "tenant"), plural(c.Clients, "client"),
		plural(c.Scopes, "scope"), plural(c.Keys, "key"))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// withArchive gives work the path of an archive; what comes on stdin is put
// into a file of its own first.
func (e *Env) withArchive(path string, work func(path string) error) error {
	if path != "-" {
		st, err := os.Stat(path)
		switch {
		case err != nil:
			return usagef("%s", fileReason(path, err))
		case st.IsDir():
			return usagef("%s is a directory, not a snapshot", path)
		}
		return work(path)
	}
	f, err := os.CreateTemp("", "cpctl-*.tgz") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, e.In)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read the archive from stdin: %w", err)
	}
	return work(f.Name())
}
