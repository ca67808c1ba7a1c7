package node

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/pki"
)

// tlsNew is where credentials wait until all of them are on the disk. After the
// exchange it holds those of before; a start removes it either way.
const tlsNew = "tls.new"

// replaceTLS puts other credentials in place of those in tls/: all of them or,
// whenever the machine stops, none. They are there for good when it returns. A
// tls/ that somebody has removed is made anew.
func (d *dataDir) replaceTLS(c pki.Credentials) error {
	if err := disk.Remove(d.disk, d.file(tlsNew)); err != nil {
		return err
	}
	if err := disk.MakeAll(d.disk, d.file(tlsNew)); err != nil {
		return err
	}
	if err := d.saveTLS(tlsNew, c); err != nil {
		return err
	}
	top, err := disk.Open(d.path)
	if err != nil {
		return err
	}
	defer unix.Close(top)
	err = d.disk.Exchange(top, tlsNew, top, "tls")
	if errors.Is(err, os.ErrNotExist) {
		return disk.Move(d.disk, d.file(tlsNew), d.file("tls"))
	}
	if err != nil {
		return &os.LinkError{Op: "exchange", Old: d.file(tlsNew), New: d.file("tls"), Err: err}
	}
	if err := d.disk.Sync(top); err != nil {
		return &os.PathError{Op: "sync", Path: d.path, Err: err}
	}
	return disk.Remove(d.disk, d.file(tlsNew))
}

// saveTLS writes the three files that belong together.
func (d *dataDir) saveTLS(dir string, c pki.Credentials) error {
	return errors.Join(
		disk.Save(d.disk, d.file(dir, "node.key"), c.KeyPEM),
		disk.Save(d.disk, d.file(dir, "node.crt"), c.CertPEM),
		disk.Save(d.disk, d.file(dir, "ca.crt"), c.CAPEM),
	)
}

// replace makes other credentials this node's own, in the files first and while
// nobody compares them. When it fails the files may be the new ones or the old
// ones: both are good, and it is tried again.
func (n *Node) replace(c pki.Credentials) error {
	if _, part, err := c.Check(); err != nil {
		return errors.Join(errors.New("the credentials do not fit together: "+part), err)
	}
	n.tlsFiles.Lock()
	defer n.tlsFiles.Unlock()
	if err := n.dir.replaceTLS(c); err != nil {
		return err
	}
	return n.hold(c)
}
