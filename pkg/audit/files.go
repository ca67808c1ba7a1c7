package audit

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// current is the newest file. When it is full it gets the name of its first line,
// wide enough for names to sort as the numbers do.
const current = "audit.jsonl"

func oldName(first uint64) string { return fmt.Sprintf("audit-%012d.jsonl", first) }

// oldFirst is the inverse of oldName.
func oldFirst(name string) (first uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, "audit-")
	digits, suffix := strings.CutSuffix(digits, ".jsonl")
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, ok && suffix && err == nil && oldName(first) == name
}

// listOld returns the finished files below a directory, the oldest first.
func listOld(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var old []file
	for _, e := range entries {
		first, ok := oldFirst(e.Name())
		if !ok {
			continue
		}
		st, err := e.Info()
		if err != nil {
			return nil, err
		}
		old = append(old, file{first, st.Size()})
	}
	slices.SortFunc(old, func(a, b file) int { return cmp.Compare(a.first, b.first) })
	return old, nil
}

// open opens the log, cuts off what a crash has left behind the last whole line,
// and says so in a line. It looks at the end of the newest file only, so that a
// start costs the same whatever was recorded.
func (l *Log) open() (err error) {
	defer func() {
		if err != nil {
			l.shut()
		}
	}()
	if err := disk.MakeAll(l.opts.Disk, l.opts.Dir); err != nil {
		return err
	}
	if l.dir, err = disk.Open(l.opts.Dir); err != nil {
		return err
	}
	if l.old, err = listOld(l.opts.Dir); err != nil {
		return err
	}
	if l.fd, err = disk.OpenFile(l.dir, current, unix.O_RDWR); errors.Is(err, unix.ENOENT) {
		err = l.create()
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: l.Path(), Err: err}
	}
	return l.recover()
}

func (l *Log) create() (err error) {
	if l.fd, err = l.opts.Disk.Create(l.dir, current, 0o600); err != nil {
		return err
	}
	return l.opts.Disk.Sync(l.dir)
}

// recover finds the last whole line and what is behind it.
func (l *Log) recover() error {
	var st unix.Stat_t
	if err := unix.Fstat(l.fd, &st); err != nil {
		return err
	}
	t, err := readTail(l.fd, st.Size)
	if err != nil {
		return err
	}
	l.size, l.torn, l.renew, l.first = t.end, false, false, 0
	switch {
	case t.last != nil:
		l.seq, l.hash = t.last.Seq, t.last.Hash
		l.first = firstOf(l.fd, l.after())
	case len(l.old) > 0:
		l.seq, l.hash = l.old[len(l.old)-1].first, ""
		if before, err := l.lastOld(); err == nil && before != nil {
			l.seq, l.hash = before.Seq, before.Hash
		}
	default:
		l.seq, l.hash = 0, ""
	}
	if t.end == st.Size {
		return nil
	}
	text := fmt.Sprintf("%d bytes behind the last whole line were cut off", st.Size-t.end)
	if kept, err := l.keep(t.end, st.Size); err != nil {
		return err
	} else if kept != "" {
		text += "; they are in " + kept
	}
	if err := l.opts.Disk.Truncate(l.fd, t.end); err != nil {
		return err
	}
	l.opts.Log.Warn("the audit log ended in a broken line", "file", l.Path(), "bytes", st.Size-t.end)
	return l.put(Event{Actor: actorSystem, Type: TypeRecovered, Result: OK, Message: text})
}

// keep saves what is about to be cut off, unless it is the mere beginning of a
// line: a crash leaves that, and more only if the power failed. Whole lines that
// do not fit are for people to look at.
func (l *Log) keep(from, to int64) (name string, err error) {
	b := make([]byte, to-from)
	if err := readAt(l.fd, b, from); err != nil {
		return "", err
	}
	if !slices.Contains(b, '\n') {
		return "", nil
	}
	name = fmt.Sprintf("cut-%012d", l.seq)
	return name, disk.Save(l.opts.Disk, filepath.Join(l.opts.Dir, name), b)
}

// after is the seq that follows the finished files, for a file whose first line
// cannot be read.
func (l *Log) after() uint64 {
	if last, err := l.lastOld(); err == nil && last != nil {
		return last.Seq + 1
	}
	return 1
}

// lastOld is the last whole line of the finished files.
func (l *Log) lastOld() (*Line, error) {
	if len(l.old) == 0 {
		return nil, nil
	}
	f := l.old[len(l.old)-1]
	fd, err := disk.OpenFile(l.dir, oldName(f.first), unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	t, err := readTail(fd, f.size)
	return t.last, err
}

// limits are the size at which a file is finished and that of all files, on a disk
// of so many bytes, 0 if that is unknown.
func (o *Options) limits(disk uint64) (one, all int64) {
	if all = o.totalBytes; disk > 0 {
		all = min(all, int64(disk/100*totalPercent))
	}
	return max(min(o.fileBytes, all/8), min(o.fileBytes, leastBytes)), all
}

// rotate finishes the newest file and begins the next one; the finished ones may
// have so many bytes together. The lines of the one
// are on the disk before there is the other: no crash leaves a gap between them.
func (l *Log) rotate(most int64) error {
	err := l.opts.Disk.Datasync(l.fd)
	if err != nil && !l.renew { // else it is why
		return fmt.Errorf("finish the file: %w", err)
	}
	if err = l.opts.Disk.Rename(l.dir, current, l.dir, oldName(l.first)); err != nil {
		return fmt.Errorf("finish the file: %w", err)
	}
	l.old = append(l.old, file{l.first, l.size})
	l.left = append(l.left, l.fd)
	l.fd, l.first, l.size, l.renew = -1, 0, 0, false
	if err := l.create(); err != nil {
		l.shut() // the next line opens what is there then
		return fmt.Errorf("begin a file: %w", err)
	}
	l.forget(most)
	return nil
}

// forget deletes the oldest files beyond so many bytes. What is left is a chain
// that begins later.
func (l *Log) forget(most int64) {
	total := int64(0)
	for _, f := range l.old {
		total += f.size
	}
	for len(l.old) > fewest && total > most {
		f := l.old[0]
		if err := l.opts.Disk.Unlink(l.dir, oldName(f.first)); err != nil && err != unix.ENOENT {
			l.opts.Log.Warn("an old audit file was not deleted", "file", oldName(f.first), "error", err)
			return
		}
		l.old, total = l.old[1:], total-f.size
	}
}
