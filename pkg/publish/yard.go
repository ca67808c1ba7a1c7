package publish

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// yardName is where trees are staged and where removed ones await deletion.
const yardName = "restore.tmp"

// readerGrace is how long a tree stays whole after it was taken out: a reader
// that opened it before may finish.
const readerGrace = 10 * time.Second

// yard is the directory restore.tmp. It exists while something is in it, and a little
// longer: under load it would be made and removed for every batch, and files are made
// slowly in a new directory.
type yard struct {
	sys    disk.FS
	parent int // handle of the directory that holds it
	fd     int // -1 while it does not exist
	used   time.Time
	next   int // number of the next name
	graves []grave
	spares []spare // the one that rests longest first

	grace   time.Duration // before a tree is deleted
	respite time.Duration // before a spare is written again
	idle    time.Duration // after which it is deleted

	spare func() bool // whether there may be more; nil: always
}

type grave struct {
	name string
	due  time.Time
	tree bool // it was data/
}

func (y *yard) open() error {
	y.used = time.Now()
	if y.fd >= 0 {
		return nil
	}
	if err := y.sys.Mkdir(y.parent, yardName, 0o700); err != nil && err != unix.EEXIST {
		return fmt.Errorf("make %s: %w", yardName, err)
	}
	fd, err := disk.OpenDir(y.parent, yardName)
	if err != nil {
		return fmt.Errorf("open %s: %w", yardName, err)
	}
	y.fd = fd
	return nil
}

// name returns a name that is not taken in the yard.
func (y *yard) name() string {
	y.next++
	return strconv.Itoa(y.next)
}

// bury moves a directory into the yard, to be deleted when the grace is over.
func (y *yard) bury(dir int, name string) error {
	if err := y.open(); err != nil {
		return err
	}
	n := y.name()
	if err := y.sys.Rename(dir, name, y.fd, n); err != nil {
		y.tidy()
		return err
	}
	y.keep(n)
	return nil
}

// keep puts a directory that is in the yard already into the queue.
func (y *yard) keep(name string) {
	y.graves = append(y.graves, grave{name: name, due: time.Now().Add(y.grace)})
}

// keepTree is keep for a whole data/. No more than two await deletion: beyond
// that, room counts for more than the slowest reader.
func (y *yard) keepTree(name string) {
	trees := 0
	for i := len(y.graves) - 1; i >= 0; i-- {
		if y.graves[i].tree {
			trees++
		}
		if trees > 1 {
			y.graves[i].due = time.Time{}
		}
	}
	y.graves = append(y.graves, grave{name: name, due: time.Now().Add(y.grace), tree: true})
}

// due returns when the next deletion is to begin.
func (y *yard) due() (next time.Time, ok bool) {
	if len(y.graves) > 0 {
		next, ok = y.graves[0].due, true
	}
	if len(y.spares) > 0 {
		if end := y.spares[0].since.Add(y.idle); !ok || end.Before(next) {
			next, ok = end, true
		}
	}
	if end := y.used.Add(y.idle); !ok && y.fd >= 0 {
		next, ok = end, true
	}
	return next, ok
}

// hurry ends the grace of everything: space is needed, or the process ends.
func (y *yard) hurry() {
	y.used = time.Time{}
	y.dropSpares(time.Now())
	for i := range y.graves {
		y.graves[i].due = time.Time{}
	}
}

// sweep deletes up to budget names of what is due. It reports whether there is
// more to do now. What cannot be deleted is left for the next start.
func (y *yard) sweep(now time.Time, budget int) (more bool, err error) {
	for len(y.graves) > 0 && !now.Before(y.graves[0].due) {
		done, err := y.delete(y.graves[0].name, &budget)
		if err != nil {
			err = fmt.Errorf("delete %s/%s: %w", yardName, y.graves[0].name, err)
			y.graves = y.graves[1:]
			return true, err
		}
		if !done {
			return true, nil
		}
		y.graves = y.graves[1:]
	}
	y.dropSpares(now.Add(-y.idle))
	y.tidy()
	return false, nil
}

// delete removes a name of the yard. The marker of a tree goes first: whoever
// still reads there sees by its absence that the rest is not to be trusted.
func (y *yard) delete(name string, budget *int) (done bool, err error) {
	if fd, err := disk.OpenDir(y.fd, name); err == nil {
		err := y.sys.Unlink(fd, appliedName)
		unix.Close(fd)
		if err != nil && err != unix.ENOENT {
			return false, err
		}
	}
	return disk.RemoveAll(y.sys, y.fd, name, budget)
}

// discard deletes a staged tree that is of no use.
func (y *yard) discard(name string) error {
	whole := math.MaxInt
	_, err := disk.RemoveAll(y.sys, y.fd, name, &whole)
	y.tidy()
	return err
}

// leave removes the yard at once if nothing is in it. It may be a directory that
// somebody took away, of which the handle is of no use.
func (y *yard) leave() {
	y.used = time.Time{}
	y.tidy()
}

// tidy removes the yard itself once nothing is in it and nothing was for a while.
func (y *yard) tidy() {
	if y.fd < 0 || len(y.graves)+len(y.spares) > 0 || time.Since(y.used) < y.idle {
		return
	}
	if err := y.sys.Rmdir(y.parent, yardName); errors.Is(err, unix.ENOTEMPTY) {
		return // something that could not be deleted; the next start tries again
	}
	unix.Close(y.fd)
	y.fd = -1
}
