package publish

import (
	"cmp"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// rank is the place of a path in the order of a tenant's changes: what others
// refer to comes first, the tenant itself last.
func rank(name string) int {
	switch part := strings.Split(name, "/"); {
	case len(part) == 4 && part[2] == "scopes":
		return 0
	case len(part) == 4 && part[2] == "clients":
		return 1
	case path.Base(name) == "jwks.json":
		return 2
	case path.Base(name) == "keyset.json":
		return 3
	case path.Base(name) == "tenant.json":
		return 4
	}
	return 5
}

// inOrder sorts paths by tenant, then by rank.
func inOrder(paths []string) []string {
	type place struct {
		slug string
		rank int
		name string
	}
	places := make([]place, len(paths))
	for i, name := range paths {
		places[i] = place{slugOf(name), rank(name), name}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.slug, b.slug), cmp.Compare(a.rank, b.rank), cmp.Compare(a.name, b.name))
	})
	sorted := make([]string, len(paths))
	for i, p := range places {
		sorted[i] = p.name
	}
	return slices.Compact(sorted)
}

// slugOf returns the tenant that a path belongs to, "" for a name that is none.
func slugOf(name string) string {
	if part := strings.SplitN(name, "/", 3); len(part) > 1 {
		return part[1]
	}
	return ""
}

// bySlug groups paths by tenant, in the order of the slugs.
func bySlug(paths []string) [][]string {
	sorted := inOrder(paths)
	var groups [][]string
	for i, name := range sorted {
		if i == 0 || slugOf(name) != slugOf(sorted[i-1]) {
			groups = append(groups, nil)
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], name)
	}
	return groups
}

// gone returns what is to be removed so that nothing is left of a path: itself,
// or the highest directory above it that has no document any more.
func gone(img *store.Image, name string) string {
	for dir := path.Dir(name); dir != "." && !below(img, dir); dir = path.Dir(dir) {
		name = dir
	}
	return name
}

// update makes the tree equal to the image at the given paths. had is the
// image that the tree holds as far as is known, or nil.
func (t *tree) update(img, had *store.Image, paths []string) error {
	defer t.release()
	for _, group := range bySlug(paths) {
		if err := t.updateTenant(img, had, group); err != nil {
			return err
		}
	}
	return nil
}

// updateTenant does it for the paths of one tenant, which are in order.
func (t *tree) updateTenant(img, had *store.Image, paths []string) error {
	slug := slugOf(paths[0])
	if t.remade(img, had, slug, paths) {
		for _, top := range tops {
			if err := t.remove(top + slug); err != nil {
				return err
			}
			for d := range img.Scan(top + slug + "/") {
				paths = append(paths, d.Path)
			}
		}
		paths = inOrder(paths)
	}
	for _, name := range paths {
		if doc := published(img, name); doc != nil {
			if err := t.put(name, doc.Bytes, had != nil && published(had, name) != nil); err != nil {
				return err
			}
		}
	}
	removed := map[string]bool{}
	for _, name := range slices.Backward(paths) {
		if published(img, name) != nil {
			continue
		}
		if below(img, name) { // a directory with a wrong mode, or something in its place
			if err := t.fixDir(name); err != nil {
				return err
			}
			continue
		}
		if top := gone(img, name); !removed[top] {
			removed[top] = true
			if err := t.remove(top); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tree) fixDir(name string) error {
	fd, err := t.dir(name, true)
	if err != nil {
		return err
	}
	return t.own.fix(t.sys, fd, t.own.dir)
}

// remade reports whether the tenant in the tree is another than the image's of
// the same slug: it was deleted and made again since. What the tree should hold
// counts too: an attempt that failed may have removed the old tenant's file, and
// with it files that do not differ, of which its batch knows nothing.
func (t *tree) remade(img, had *store.Image, slug string, paths []string) bool {
	name := "tenants/" + slug + "/tenant.json"
	doc := published(img, name)
	if doc == nil || !slices.Contains(paths, name) {
		return false
	}
	if had != nil {
		if old := published(had, name); old != nil && another(old.Bytes, doc.Bytes) {
			return true
		}
	}
	old, err := t.read(name)
	return err == nil && another(old, doc.Bytes)
}

// another reports whether two documents are those of two tenants. One that is
// damaged may be anybody's.
func another(a, b []byte) bool {
	type identity struct {
		UID            string `json:"uid"`
		CreateRevision uint64 `json:"create_revision"`
	}
	var one, two identity
	return json.Unmarshal(a, &one) == nil && json.Unmarshal(b, &two) == nil && one != two
}

// read returns the bytes of a document in the tree.
func (t *tree) read(name string) ([]byte, error) {
	dir, err := t.dir(path.Dir(name), false)
	if err != nil {
		return nil, err
	}
	fd, err := disk.OpenFile(dir, path.Base(name), unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, 256<<10) // no document is larger: that is the largest command
	n, err := disk.ReadAll(fd, b)
	return b[:n], err
}

// wholeFrom is the number of files from which one change is shown at one
// moment, if it is at least an eighth of all files: below that, writing the
// whole tree again would cost many times the change.
const wholeFrom = 1024

// many reports whether a change of n files is worth a new tree.
func many(n int, img *store.Image) bool {
	c := img.Counts()
	return n >= wholeFrom && 8*n >= 3*c.Tenants+c.Clients+c.Scopes
}
