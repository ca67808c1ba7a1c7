package reader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Errors that are told apart with errors.Is. Others are of the disk, such as
// fs.ErrPermission.
var (
	// ErrNotFound: the document does not exist.
	ErrNotFound = errors.New("not found")

	// ErrNotReady: the node has not verified its files since the machine started,
	// or has none yet. Ask again later; Reader.Changed waits for it.
	ErrNotReady = errors.New("the files are not ready")

	// ErrWithdrawn is an ErrNotReady: the node has found out that its state differs
	// from that of the majority, and takes its files back until it is repaired.
	// Another node's files are good.
	ErrWithdrawn = fmt.Errorf("%w: withdrawn", ErrNotReady)

	// ErrDamaged: a file is not as the node wrote it. `cpctl cluster check --repair`,
	// or a restart of the node, puts it right.
	ErrDamaged = errors.New("damaged")
)

func notReady(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotReady, fmt.Sprintf(format, args...))
}

// Reader reads the files of one node.
type Reader struct {
	// Interval is how often Changed looks; 100 ms if it is not set before.
	Interval time.Duration

	data string // path of data/
	boot string
}

// Open returns a reader for the node whose --data-dir is given: the directory
// that holds data/, not data/ itself. It need not have been started yet.
func Open(dataDir string) (*Reader, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("which boot is this: %w", err)
	}
	st, err := os.Stat(dataDir)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("%s is no directory; give the --data-dir of the node", dataDir)
	}
	if _, err := os.Lstat(filepath.Join(dataDir, appliedName)); err == nil {
		return nil, fmt.Errorf("%s is what a node publishes; give its --data-dir, the directory above", dataDir)
	}
	return &Reader{Interval: 100 * time.Millisecond, data: filepath.Join(dataDir, "data"), boot: strings.TrimSpace(string(boot))}, nil
}

// open opens data/ as it is now, if its files count. A tree without a marker may
// be one that was swapped out before it was looked into.
func (r *Reader) open() (d dir, rec record, err error) {
	for range tries {
		if d, err = openData(r.data); errors.Is(err, syscall.ENOENT) {
			return 0, rec, notReady("%s does not exist; has the node been started?", r.data)
		} else if err != nil {
			return 0, rec, fault("", err)
		}
		rec, err = d.applied()
		if err == nil && rec.State == stateWithdrawn {
			err = fmt.Errorf("%w: the state of this node differs from that of the others; repair it with: cpctl cluster check --repair", ErrWithdrawn)
		}
		if err == nil && rec.BootID != r.boot {
			err = notReady("the node has not verified %s since the machine started", r.data)
		}
		if err == nil {
			return d, rec, nil
		}
		swapped := !d.is(r.data)
		d.close()
		if !swapped {
			break
		}
	}
	return 0, rec, err
}

// one reads one thing. Whatever is wrong is looked at again in a view: it may
// have been looked for in a tree that was on its way out.
func one[T any](r *Reader, get func(*View) (T, error)) (T, error) {
	var x T
	d, _, err := r.open()
	if err != nil {
		return x, err
	}
	x, err = get(&View{d})
	d.close()
	if err != nil {
		return together(r, get)
	}
	return x, nil
}

// together reads one thing of several files in a view.
func together[T any](r *Reader, get func(*View) (T, error)) (x T, err error) {
	_, err = r.View(func(v *View) (err error) { x, err = get(v); return err })
	return x, err
}

// Tenant reads a tenant.
func (r *Reader) Tenant(slug string) (*Tenant, error) {
	return one(r, func(v *View) (*Tenant, error) { return v.Tenant(slug) })
}

// Tenants lists the slugs of all tenants, sorted.
func (r *Reader) Tenants() ([]string, error) { return together(r, (*View).Tenants) }

// Client reads a client.
func (r *Reader) Client(tenant, id string) (*Client, error) {
	return one(r, func(v *View) (*Client, error) { return v.Client(tenant, id) })
}

// Clients lists the ids of a tenant's clients, sorted.
func (r *Reader) Clients(tenant string) ([]string, error) {
	return together(r, func(v *View) ([]string, error) { return v.Clients(tenant) })
}

// Scope reads a scope.
func (r *Reader) Scope(tenant, name string) (*Scope, error) {
	return one(r, func(v *View) (*Scope, error) { return v.Scope(tenant, name) })
}

// Scopes lists the names of a tenant's scopes, sorted.
func (r *Reader) Scopes(tenant string) ([]string, error) {
	return together(r, func(v *View) ([]string, error) { return v.Scopes(tenant) })
}

// JWKS reads the public key set of a tenant, or of the platform ("global"), to
// be served as it is.
func (r *Reader) JWKS(tenant string) ([]byte, error) {
	return one(r, func(v *View) ([]byte, error) { return v.JWKS(tenant) })
}

// Keys reads what is public of a tenant's keys, or of the platform's ("global"):
// the active one first, then the next, those that retire, and those revoked.
func (r *Reader) Keys(tenant string) ([]Key, error) {
	return one(r, func(v *View) ([]Key, error) { return v.Keys(tenant) })
}
