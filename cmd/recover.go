package cmd

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/node"
)

func newRecover(env *Env) *cobra.Command {
	return group(&cobra.Command{
		Use: "recover", Short: "Bring a cluster back that lost its majority for good",
		Long: `Brings a cluster back of whose voters a majority is lost for good: machines that are
gone, disks that cannot be read. While they can come back, start them instead.

"cpctl recover plan" looks at the data directories that are left, and says which is the
best and what would be lost. "cpctl recover run" makes that one the only member of the
next generation of the cluster. The others of the generation before are shut out: empty
their directories, and join them again.

Both need no running node, and refuse a directory that one is running on.`,
	}, newRecoverPlan(env), newRecoverRun(env))
}

// survivors reads the directories. All of them stay locked until release.
func survivors(dirs []string) (all []*node.Survivor, release func(), err error) {
	release = func() {
		for _, s := range all {
			s.Close()
		}
	}
	if len(dirs) == 0 {
		return nil, nil, usagef("missing --dir DIR").WithHint("name the data directories that are left, each with --dir")
	}
	seen := map[string]bool{}
	for _, dir := range dirs {
		path, err := filepath.Abs(dir)
		if err == nil {
			path, err = real(path)
		}
		if err != nil {
			return nil, nil, err
		}
		if seen[path] {
			return nil, nil, usagef("--dir %s is given twice", dir)
		}
		seen[path] = true
	}
	for _, dir := range dirs {
		s, err := node.Survey(dir)
		if err != nil {
			release()
			return nil, nil, err
		}
		all = append(all, s)
	}
	return all, release, nil
}

// real is a path without links, or the path itself if there is nothing.
func real(path string) (string, error) {
	to, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		return path, nil
	}
	return to, err
}

// dirFlags are the directories as they are typed again.
func dirFlags(all []*node.Survivor) string {
	var b strings.Builder
	for _, s := range all {
		b.WriteString(" --dir " + shellWord(s.Dir))
	}
	return b.String()
}

// onRecord puts into a node's audit log what was done to its directory while it
// did not run. What cannot be written there is said, and undoes nothing.
func (e *Env) onRecord(dir, name string, event audit.Event) {
	l := audit.Open(audit.Options{Dir: filepath.Join(dir, auditDir), Node: name, Now: e.now})
	event.Actor, event.Source, event.Result = access.Local(strconv.Itoa(os.Getuid())).String(), "unix", audit.OK
	l.Record(event)
	failing := l.Failing()
	if err := l.Close(); err != nil && failing == "" {
		failing = err.Error()
	}
	if failing != "" {
		e.note("this is not in the audit log of the node: %s", failing)
	}
}

// outlook judges what is left in the directories, which stay locked until release.
func outlook(dirs []string) (o *node.Outlook, release func(), err error) {
	all, release, err := survivors(dirs)
	if err != nil {
		return nil, nil, err
	}
	if o, err = node.Judge(all); err != nil {
		release()
		return nil, nil, err
	}
	return o, release, nil
}
