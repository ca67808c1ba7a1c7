package publish

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// The states of data/.applied.
const (
	StateIntent = "intent" // files are being changed towards Index
	StateDone   = "done"   // the files hold Index

	// StateWithdrawn: the state that the files show is not that of the cluster, and
	// they are not to be used. Such a record names no boot, so that a reader which
	// does not know the word does not use them either.
	StateWithdrawn = "withdrawn"
)

// appliedName is the only name in data/ that is no document.
const appliedName = ".applied"

// Applied is the record of data/.applied: what the files hold. It is true only
// within the boot that BootID names, since files are not synced.
type Applied struct {
	State     string `json:"state"`
	Index     uint64 `json:"index"`    // last log entry that the files show
	Term      uint64 `json:"term"`     // of the image that was published
	Revision  uint64 `json:"revision"` // of the state
	Digest    string `json:"digest"`   // store.Image.DataDigest
	ClusterID string `json:"cluster_id"`
	BootID    string `json:"boot_id"` // /proc/sys/kernel/random/boot_id
}

// ReadApplied reads the record of a published directory. An error of
// CodeNotFound if there is none, of CodeIntegrity if it cannot be read.
func ReadApplied(dataDir string) (Applied, error) {
	path := dataDir + "/" + appliedName
	fd, err := disk.OpenFile(unix.AT_FDCWD, path, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return Applied{}, store.Errorf(store.CodeNotFound, "%s does not exist", path)
	}
	if err != nil {
		return Applied{}, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var a Applied
	_, _, ok, err := openSlots(disk.Real{}, fd, &a)
	if err != nil {
		return Applied{}, fmt.Errorf("read %s: %w", path, err)
	}
	if !ok {
		return Applied{}, store.Errorf(store.CodeIntegrity, "%s holds no whole record", path)
	}
	return a, nil
}

// openApplied opens the marker of a tree; nil if there is none that is usable.
func openApplied(t *tree) (*slots, Applied, bool, error) {
	fd, err := disk.OpenFile(t.fd, appliedName, unix.O_RDWR)
	if err != nil {
		return nil, Applied{}, false, nil // absent, a link, a directory: made anew
	}
	var a Applied
	m, size, ok, err := openSlots(t.sys, fd, &a)
	if err == nil {
		err = t.own.fix(t.sys, fd, t.own.file)
	}
	// A marker whose file came to the disk and its blank lines did not holds no record,
	// and the first one that is written would leave the rest of it as it is.
	if err != nil || size != markerSize || !ok && m.damaged {
		unix.Close(fd)
		return nil, Applied{}, false, err
	}
	return m, a, ok, nil
}

// makeApplied gives a tree a marker of which nothing was written.
func makeApplied(t *tree) (*slots, error) {
	fd, scratch, err := t.yard.scratch(t.own, blank())
	if err != nil {
		return nil, err
	}
	if err := t.place(scratch, t.fd, appliedName, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &slots{sys: t.sys, fd: fd}, nil
}
