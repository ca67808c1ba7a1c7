// Package story_test tells what cpctl does as it is typed: one script per story
// in testdata, its first line the promise. Nodes are real processes on real
// sockets and files, and are killed for real; nothing is mocked. The scripts are
// those of testscript (see its documentation for exec, stdout, cmp and the
// rest); the commands that are added here are listed in commands, each with its
// comment. How fast anything is, and what many writers do to a cluster, is
// tested elsewhere.
package story_test

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cpctl/cpctl/cmd"
)

var update = flag.Bool("update", false, "rewrite the sections that scripts compare with")

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "6") // stories mostly wait for elections; -parallel goes before this
	testscript.Main(m, map[string]func(){"cpctl": func() { os.Exit(cmd.Main(cmd.System(), os.Args[1:])) }})
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", Setup: setup, Cmds: commands, UpdateScripts: *update,
		RequireExplicitExec: true, RequireUniqueNames: true, WorkdirRoot: t.TempDir(),
	})
}

// setup gives a script the environment of a plain shell, with the node n1 as
// the local one. Data directories are relative, so that the path of a socket
// stays below the 108 bytes that it may have wherever the work directory is.
func setup(e *testscript.Env) error {
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("CPCTL_DATA_DIR", "n1")
	e.Setenv("CPCTL_TIMEOUT", "60s") // retries, not waiting: only a failure takes that long
	if os.Getenv("GORACE") == "" {
		e.Setenv("GORACE", "atexit_sleep_ms=0") // else every command under -race takes a second longer
	}
	e.Values[fleetKey{}] = newFleet(e)
	return nil
}

// commands are what scripts have beyond those of testscript.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"node":        runNode,
	"status":      status,
	"refused":     refused,
	"interrupted": interrupted,
	"follows":     follows,
	"edit":        edit,
	"closedpipe":  closedPipe,
	"terminal":    terminal,
	"json":        jsonValue,
	"capture":     capture,
	"match":       match,
	"scrub":       scrub,
	"files":       files,
	"resum":       resum,
	"same":        same,
	"modes":       modes,
	"nowhere":     nowhere,
	"archive":     archive,
	"helps":       helps,
	"completes":   completes,
	"voters":      voters,
}
