// Command restore measures a restore into a running cluster of three nodes: how
// long it takes, what memory and disk it needs, how long a writer and a reader
// had to wait meanwhile, and whether a leader was lost over it. The nodes are
// processes on this machine, with directories of their own:
//
//	go run ./test/bench/restore -mib 64
//
// The archive is made of documents of about two KiB, as clients with many
// redirect URIs have them. One writer and one reader go on all the time, each over
// a connection of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

// longRestore is how many bytes of documents make a log that is cut for certain.
const longRestore = 128 << 20

func main() {
	size := flag.Int64("mib", 64, "MiB of documents that the restore changes")
	dir := flag.String("dir", "", "where to make the data directories (default the system's directory for temporary files)")
	timeout := flag.Duration("timeout", 500*time.Millisecond, "of heartbeats and elections; a machine with much other work needs more")
	keep := flag.Bool("keep", false, "leave the directories and logs")
	flag.Parse()
	if err := run(*dir, *size<<20, *timeout, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "restore:", err)
		os.Exit(1)
	}
}

func run(dir string, size int64, timeout time.Duration, keep bool) (err error) {
	work, err := os.MkdirTemp(dir, "cpctl-")
	if err != nil {
		return err
	}
	if keep {
		fmt.Println("everything is in", work)
	} else {
		defer os.RemoveAll(work)
	}
	c, err := found(work, timeout)
	if err != nil {
		return err
	}
	defer c.End()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	archive := filepath.Join(work, "large.tgz")
	docs, err := c.archive(archive, size)
	if err != nil {
		return err
	}
	packed, err := os.Stat(archive)
	if err != nil {
		return err
	}
	fmt.Printf("an archive of %d documents, %d MiB, packed %d MiB\n", docs, size>>20, packed.Size()>>20)
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	callers := c.callers()
	sum, err := c.restore(archive)
	if err != nil {
		callers.end()
		return err
	}
	answered := time.Since(callers.begun)
	if err := c.settled(); err != nil {
		return err
	}
	shown := time.Since(callers.begun)
	callers.end()
	after, err := c.Status(ctx)
	if err != nil {
		return err
	}
	t := nodes.NewTable(0)
	row := func(what string, format string, args ...any) {
		t.Line(what, fmt.Sprintf(format, args...))
	}
	row("until the answer", "%s", answered.Round(time.Millisecond))
	row("until every node's files show it", "%s", shown.Round(time.Millisecond))
	row("longest a writer waited", "%s of %d writes, %d failed", callers.write.longest.Round(time.Millisecond), callers.write.count, callers.write.failed)
	row("longest a reader waited", "%s of %d reads, %d failed", callers.read.longest.Round(time.Millisecond), callers.read.count, callers.read.failed)
	row("elections", "%d", after.Term-before.Term)
	row("documents", "%d", sum.ChangedTotal)
	if size >= longRestore {
		if err := c.cut(); err != nil {
			return err
		}
		row("until every log was cut", "%s", time.Since(callers.begun).Round(time.Millisecond))
	}
	for _, n := range c.Nodes {
		m, err := n.Memory()
		if err != nil {
			return err
		}
		role := "follower"
		if n.Name == before.Leader {
			role = "leader"
		}
		row(n.Name+" ("+role+")", "most memory %d MiB (now %d), raft.db %d MiB, snapshots %d MiB, data %d MiB",
			m.Most>>20, m.Now>>20, n.Size("raft/raft.db")>>20, n.Size("raft/snapshots")>>20, n.Size("data")>>20)
	}
	return t.Print(os.Stdout)
}

// restore sends the archive to the first node, whichever leads.
func (c cluster) restore(archive string) (*rpc.RestoreReply, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := nodes.Client(c.Nodes[0])
	defer client.Close()
	return client.Restore(ctx, f, rpc.RestoreArgs{})
}
