package reader

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// How a view waits for files that are being changed: a change takes fractions
// of a millisecond a file, so the next look soon finds them settled.
const (
	tries    = 5
	settling = 5 * time.Millisecond // most that one try waits before it looks
	recheck  = 200 * time.Microsecond
)

// Marker says what the files held at a moment. Two that are equal are of the
// same files.
type Marker struct {
	ClusterID string
	Index     uint64 // of the cluster's log: what --min-index and "index" in answers are about
	Revision  uint64 // of the state: what documents carry
	Digest    string // of all documents, as `cpctl cluster status -o json` shows it
	Settled   bool   // no file was being changed

	sequence, inode uint64
}

func (r record) marker() Marker {
	return Marker{ClusterID: r.ClusterID, Index: r.Index, Revision: r.Revision, Digest: r.Digest,
		Settled: r.State == stateDone, sequence: r.sequence, inode: r.inode}
}

// Marker tells what the files hold now.
func (r *Reader) Marker() (Marker, error) {
	d, rec, err := r.open()
	if err != nil {
		return Marker{}, err
	}
	d.close()
	return rec.marker(), nil
}

// View is an open data/. It is good until the function that got it returns.
type View struct{ dir dir }

// View calls look with a view of the files, and again, five times at most,
// while they are changed under it: look begins from nothing each time. When the
// returned marker is settled, everything that the last look read is of one
// moment, and what it missed does not exist. Else the files were changed during
// every look: then each document is whole, and no more than that. The error is
// look's own, or says why there is nothing to look at.
func (r *Reader) View(look func(*View) error) (m Marker, err error) {
	for range tries {
		var again bool
		if m, again, err = r.look(look); !again {
			return m, err
		}
	}
	return m, err
}

// look looks once. Again: the result may be of more than one moment.
func (r *Reader) look(look func(*View) error) (m Marker, again bool, err error) {
	d, before, err := r.open()
	if err != nil {
		return Marker{}, false, err
	}
	defer d.close()
	for end := time.Now().Add(settling); before.State != stateDone && time.Now().Before(end); {
		time.Sleep(recheck)
		if before, err = d.applied(); err != nil {
			return Marker{}, true, err
		}
	}
	m = before.marker()
	v := &View{d}
	err = look(v)
	v.dir = -1 // whoever kept it reads nothing of another file's
	after, gone := d.applied()
	if gone != nil { // this tree was swapped out, and is being deleted
		m.Settled = false
		return m, true, gone
	}
	if !m.Settled || after != before {
		m.Settled = false
		return m, true, err
	}
	return m, false, err
}

// list returns the names behind the names of files.
func (v *View) list(path string, name func(file string) (string, bool)) ([]string, error) {
	files, err := v.dir.names(path)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(files))
	for _, f := range files {
		if n, ok := name(f); ok {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

// documents lists the documents of one kind of a tenant. A directory exists
// exactly while it holds a file.
func (v *View) documents(tenant, kind string) ([]string, error) {
	if !isSlug(tenant) {
		return nil, missing("tenant", tenant)
	}
	names, err := v.list("tenants/"+tenant+"/"+kind, func(file string) (string, bool) {
		file, ok := strings.CutSuffix(file, ".json")
		name, legal := unescape(file)
		return name, ok && legal
	})
	if errors.Is(err, fs.ErrNotExist) {
		_, err = v.Tenant(tenant) // none of the kind, or no tenant
		return []string{}, err
	}
	return names, err
}
