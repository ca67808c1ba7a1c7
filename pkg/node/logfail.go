package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/store"
)

// ErrLog is wrapped by the error given to Stop, or returned by Open, when the
// log cannot be written.
var ErrLog = errors.New("the log cannot be written")

// logFailure is err, met at a file of raft/, as the process ends with it: class
// (ErrLog or fsm.ErrMarker), cause, and what to do.
func logFailure(class, err error, dir string) error {
	if e := (*store.Error)(nil); errors.As(err, &e) { // damage, which has a class and a hint of its own
		return fmt.Errorf("%w: %w", class, err)
	}
	var hint string
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), isFull(dir):
		hint = fmt.Sprintf("what was acknowledged is in the log; free some space on the disk of %s, then start the node again", dir)
	case errors.Is(err, unix.EROFS):
		hint = fmt.Sprintf("the file system of %s is read-only; the kernel's log may say why; make it writable, then start the node again", dir)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		hint = fmt.Sprintf("give %s and what is in it to the user that the node runs as", dir)
	default:
		hint = fmt.Sprintf("look at the disk of %s and at the kernel's log, then start the node again;\n"+
			"if the disk is lost, remove the node (cpctl cluster remove) and join it again with an empty data directory", dir)
	}
	return fmt.Errorf("%w: %w", class, store.Errorf(store.CodeInternal, "%v", err).WithHint("%s", hint))
}

// isFull is for errors that do not say so: bbolt hides some of the kernel's.
func isFull(dir string) bool {
	free, total := diskSpace(dir)
	return total > 0 && free < 16<<10
}

// noLog passes on why the log could not be opened. It is a log that cannot be
// written unless it is damaged or held by another process.
func noLog(err error, dir string) error {
	var damaged *store.Error
	if errors.Is(err, errLogHeld) || errors.As(err, &damaged) {
		return err
	}
	return logFailure(ErrLog, err, dir)
}

// stopLog ends the process for a log that cannot be written.
func (n *Node) stopLog(err error) { n.fail(logFailure(ErrLog, err, n.dir.file("raft"))) }

// stopMarker ends it for the marker beside the log.
func (n *Node) stopMarker(err error) { n.fail(logFailure(fsm.ErrMarker, err, n.dir.file("raft"))) }

// unwritable says what a data directory is that cannot be written at a start. If
// the log is in it, or cannot be written either, that is a log that cannot be
// written.
func unwritable(dir string, err error) error {
	if !errors.Is(err, unix.EROFS) {
		return err
	}
	raft := filepath.Join(dir, "raft")
	if _, statErr := os.Stat(raft); statErr != nil {
		raft = dir
	}
	if unix.Access(raft, unix.W_OK) == unix.EROFS {
		return logFailure(ErrLog, err, raft)
	}
	return store.Errorf(store.CodeInternal, "the data directory %s cannot be written: %v", dir, err).
		WithHint("a node writes its socket and its files there; the kernel's log may say why it is read-only; make it writable, then start the node again")
}
