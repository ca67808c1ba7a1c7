package publish

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// The problems that a file of data/ may have.
const (
	ProblemChanged = "changed" // other bytes than the document, or not a file
	ProblemMissing = "missing"
	ProblemForeign = "foreign" // no document and no directory of one has this name
	ProblemMode    = "mode"    // other permission bits, group or owner than the node gives it
)

// Fault is one difference between data/ and the image. Path is relative to
// data/; "." is data/ itself.
type Fault struct {
	Path    string `json:"path"`
	Problem string `json:"problem"`
}

// tops are the directories of data/.
var tops = []string{"tenants/", "keys/"}

// ofTops reports whether a name is one of tops or below it; the rest of the
// image is not published.
func ofTops(name string) bool {
	for _, top := range tops {
		if strings.HasPrefix(name+"/", top) {
			return true
		}
	}
	return false
}

// below reports whether a directory holds a published document of the image.
func below(img *store.Image, dir string) bool {
	if ofTops(dir) {
		for range img.Scan(dir + "/") {
			return true
		}
	}
	return false
}

// published returns the document that belongs at a path of data/, nil if none does.
func published(img *store.Image, name string) *store.Doc {
	if !ofTops(name) {
		return nil
	}
	return img.Get(name)
}

// names returns the paths that may be at fault: every document of the image
// and every name in the tree, sorted. What is in a foreign directory is not
// listed.
func (t *tree) names(img *store.Image) ([]string, error) {
	var all []string
	for _, top := range tops {
		for d := range img.Scan(top) {
			all = append(all, d.Path)
		}
	}
	all, err := t.list(img, ".", all)
	if err != nil {
		return nil, err
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (t *tree) list(img *store.Image, dir string, all []string) ([]string, error) {
	at, err := t.dir(dir, false)
	if err != nil {
		return all, nil // check says what is wrong with it
	}
	fd, err := disk.OpenDir(at, ".")
	if err != nil {
		return all, fmt.Errorf("list %s: %w", dir, err)
	}
	// The name serves file systems that do not say what an entry is.
	f := os.NewFile(uintptr(fd), fmt.Sprintf("/proc/self/fd/%d", fd))
	entries, err := f.ReadDir(-1)
	if err := errors.Join(err, f.Close()); err != nil {
		return all, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if name == appliedName {
			continue
		}
		all = append(all, name)
		if e.IsDir() && below(img, name) {
			if all, err = t.list(img, name, all); err != nil {
				return all, err
			}
		}
	}
	return all, nil
}

// check compares one path with the image and returns the problem, "" if there
// is none. buf is reused; it returns the larger one.
func (t *tree) check(img *store.Image, name string, buf []byte) (problem string, _ []byte) {
	doc := published(img, name)
	dirWanted := doc == nil && below(img, name)
	absent := ""
	if doc != nil || dirWanted {
		absent = ProblemMissing
	}
	dir, err := t.dir(path.Dir(name), false)
	if err != nil {
		return absent, buf
	}
	base := path.Base(name)
	st, err := disk.Lstat(dir, base)
	switch kind := st.Mode & unix.S_IFMT; {
	case err == unix.ENOENT || err == unix.ENOTDIR:
		return absent, buf
	case err != nil:
		return ProblemChanged, buf
	case dirWanted && kind != unix.S_IFDIR:
		return ProblemForeign, buf
	case dirWanted && t.own.wrong(&st, t.own.dir):
		return ProblemMode, buf
	case dirWanted:
		return "", buf
	case doc == nil:
		return ProblemForeign, buf
	case kind != unix.S_IFREG || st.Size != int64(len(doc.Bytes)):
		return ProblemChanged, buf
	}
	fd, err := disk.OpenFile(dir, base, unix.O_RDONLY)
	if err != nil {
		return ProblemChanged, buf
	}
	defer unix.Close(fd)
	if len(buf) <= len(doc.Bytes) {
		buf = make([]byte, 2*len(doc.Bytes)+1)
	}
	n, err := disk.ReadAll(fd, buf[:len(doc.Bytes)+1])
	// Bytes are compared, not sums: the document is at hand.
	if err != nil || !bytes.Equal(buf[:n], doc.Bytes) {
		return ProblemChanged, buf
	}
	if t.own.wrong(&st, t.own.file) || st.Uid != uint32(os.Geteuid()) { // its owner may write to it
		return ProblemMode, buf
	}
	return "", buf
}

// compare returns every fault of the tree.
func (t *tree) compare(img *store.Image) ([]Fault, error) {
	a, err := newAudit(t, img)
	if err != nil {
		return nil, err
	}
	for !a.step(t, img, 1024) {
	}
	return a.faults, nil
}

// audit is a comparison that is made in steps, between which the tree and the
// image may move on together: each path is compared with the image of its moment.
type audit struct {
	names  []string // still to be compared
	faults []Fault
	buf    []byte
}

func newAudit(t *tree, img *store.Image) (*audit, error) {
	defer t.release()
	names, err := t.names(img)
	return &audit{names: names}, err
}

// step compares the next n paths and reports whether all are done.
func (a *audit) step(t *tree, img *store.Image, n int) (done bool) {
	defer t.release()
	n = min(n, len(a.names))
	for _, name := range a.names[:n] {
		var problem string
		if problem, a.buf = t.check(img, name, a.buf); problem != "" {
			a.faults = append(a.faults, Fault{name, problem})
		}
	}
	a.names = a.names[n:]
	return len(a.names) == 0
}

// paths returns where the faults are, without data/ itself and its marker:
// every batch puts these two right.
func (a *audit) paths() []string {
	var out []string
	for _, f := range a.faults {
		if f.Path != "." && f.Path != appliedName {
			out = append(out, f.Path)
		}
	}
	return out
}
