package node

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestALogThatCannotBeWrittenSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		err   error
		class error
		exit  int
		hint  string
	}{
		{&os.PathError{Op: "write", Path: dir + "/raft.db", Err: unix.ENOSPC}, ErrLog, 13, "free some space on the disk of " + dir},
		{unix.EDQUOT, ErrLog, 13, "free some space"},
		{unix.EROFS, fsm.ErrMarker, 13, "make it writable"},
		{unix.EACCES, ErrLog, 13, "user that the node runs as"},
		{unix.EIO, fsm.ErrMarker, 13, "kernel's log"},
		{store.Errorf(store.CodeIntegrity, "entry 7 is damaged").WithHint("join again"), ErrLog, 11, "join again"},
	} {
		err := logFailure(tt.class, tt.err, dir)
		if got := ExitCode(err); got != tt.exit {
			t.Errorf("%v: exit %d, want %d", err, got, tt.exit)
		}
		var said *store.Error
		if !errors.As(err, &said) || !strings.Contains(said.Hint, tt.hint) || !strings.Contains(err.Error(), tt.err.Error()) {
			t.Errorf("%v: %+v, want the hint %q", err, said, tt.hint)
		}
	}
	if err := noLog(fmt.Errorf("open: %w", errLogHeld), dir); ExitCode(err) != 1 {
		t.Errorf("a log that another process holds: exit %d", ExitCode(err))
	}
}
