// Package faultdisk is the disk for tests, on which each call may fail.
package faultdisk

import (
	"errors"
	"sync"

	"github.com/cpctl/cpctl/pkg/disk"
)

// Disk is the real disk with a test's word before each call. Its zero value
// fails nothing.
type Disk struct {
	real disk.Real

	mu     sync.Mutex
	before func(call, name string) error
}

var _ disk.FS = (*Disk)(nil)

// New returns a disk that asks before each call.
func New(before func(call, name string) error) *Disk { return &Disk{before: before} }

// ErrKilled is what every call gets after KillAfter.
var ErrKilled = errors.New("killed")

// Set names what is asked before each call, nil for nothing. call is the
// method's name; name that of the file, "" for an open one. An error is that of
// the call, which then does nothing; a write leaves half of its bytes, as on a
// full disk.
func (d *Disk) Set(before func(call, name string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = before
}

// KillAfter makes the n-th call from now on the last one that does anything:
// what comes later finds a process that is gone. killed reports whether
// anything came.
func (d *Disk) KillAfter(n int) (killed func() bool) {
	return d.fail(func(call int) error {
		if call > n {
			return ErrKilled
		}
		return nil
	}, func(calls int) bool { return calls > n })
}

// FailOnce makes the n-th call from now on fail. failed reports whether it came.
func (d *Disk) FailOnce(n int, err error) (failed func() bool) {
	return d.fail(func(call int) error {
		if call == n {
			return err
		}
		return nil
	}, func(calls int) bool { return calls >= n })
}

func (d *Disk) fail(how func(call int) error, came func(calls int) bool) func() bool {
	calls := 0
	d.Set(func(string, string) error {
		calls++
		return how(calls)
	})
	return func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return came(calls)
	}
}

func (d *Disk) ask(call, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.before == nil {
		return nil
	}
	return d.before(call, name)
}

// do asks, then calls.
func (d *Disk) do(call, name string, f func() error) error {
	if err := d.ask(call, name); err != nil {
		return err
	}
	return f()
}

// Mkdir implements disk.FS.
func (d *Disk) Mkdir(dir int, name string, mode uint32) error {
	return d.do("mkdir", name, func() error { return d.real.Mkdir(dir, name, mode) })
}

// Create implements disk.FS.
func (d *Disk) Create(dir int, name string, mode uint32) (int, error) {
	if err := d.ask("create", name); err != nil {
		return -1, err
	}
	return d.real.Create(dir, name, mode)
}

// Write implements disk.FS.
func (d *Disk) Write(fd int, b []byte) error {
	if err := d.ask("write", ""); err != nil {
		return errors.Join(err, d.real.Write(fd, b[:len(b)/2]))
	}
	return d.real.Write(fd, b)
}

// Pwrite implements disk.FS.
func (d *Disk) Pwrite(fd int, b []byte, offset int64) error {
	if err := d.ask("pwrite", ""); err != nil {
		return errors.Join(err, d.real.Pwrite(fd, b[:len(b)/2], offset))
	}
	return d.real.Pwrite(fd, b, offset)
}

// Truncate implements disk.FS.
func (d *Disk) Truncate(fd int, size int64) error {
	return d.do("truncate", "", func() error { return d.real.Truncate(fd, size) })
}

// Rename implements disk.FS; its name is the new one.
func (d *Disk) Rename(from int, name string, to int, newName string) error {
	return d.do("rename", newName, func() error { return d.real.Rename(from, name, to, newName) })
}

// Exchange implements disk.FS; its name is the second one.
func (d *Disk) Exchange(a int, name string, b int, otherName string) error {
	return d.do("exchange", otherName, func() error { return d.real.Exchange(a, name, b, otherName) })
}

// Unlink implements disk.FS.
func (d *Disk) Unlink(dir int, name string) error {
	return d.do("unlink", name, func() error { return d.real.Unlink(dir, name) })
}

// Rmdir implements disk.FS.
func (d *Disk) Rmdir(dir int, name string) error {
	return d.do("rmdir", name, func() error { return d.real.Rmdir(dir, name) })
}

// Chmod implements disk.FS.
func (d *Disk) Chmod(fd int, mode uint32) error {
	return d.do("chmod", "", func() error { return d.real.Chmod(fd, mode) })
}

// Chown implements disk.FS.
func (d *Disk) Chown(fd int, gid int) error {
	return d.do("chown", "", func() error { return d.real.Chown(fd, gid) })
}

// Sync implements disk.FS.
func (d *Disk) Sync(fd int) error {
	return d.do("sync", "", func() error { return d.real.Sync(fd) })
}

// Datasync implements disk.FS.
func (d *Disk) Datasync(fd int) error {
	return d.do("datasync", "", func() error { return d.real.Datasync(fd) })
}
