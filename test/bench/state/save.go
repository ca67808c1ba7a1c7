package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// save compares the archive with one of the same tree that tar and a packer make,
// by turns, and reading it with unpacking it. cpctl's archive is verified and
// synced before it has its name; theirs is neither.
func (b *bench) save() error {
	leader, _, err := b.leader()
	if err != nil {
		return err
	}
	packer, err := exec.LookPath("pigz")
	if err != nil {
		packer = "gzip"
		fmt.Fprintln(os.Stderr, "there is no pigz here: snapshot save stands beside tar | gzip -1, which packs on one core")
	}
	name := filepath.Base(packer)
	file, theirs := filepath.Join(b.Base, "save.tgz"), filepath.Join(b.Base, "tar.tgz")
	if _, err := tarred(leader, packer, theirs); err != nil { // the tree is read once before it counts
		return err
	}
	var saved, tars []time.Duration
	for range pairs {
		d, err := nodes.Save(b.Binary, leader.Server(), file)
		if err != nil {
			return err
		}
		saved = append(saved, d)
		if d, err = tarred(leader, packer, theirs); err != nil {
			return err
		}
		tars = append(tars, d)
	}
	b.results.compared("save", "snapshot save", long(saved), "tar | "+name+" -1: "+long(tars), nodes.Ratio(saved, tars), atMost(0.6))
	var verified, tested []time.Duration
	for range pairs {
		d, err := nodes.Verify(b.Binary, file)
		if err != nil {
			return err
		}
		verified = append(verified, d)
		if d, err = nodes.Timed(exec.Command("gzip", "-t", file)); err != nil {
			return err
		}
		tested = append(tested, d)
	}
	b.results.compared("save", "snapshot verify", long(verified), "gzip -t: "+long(tested), nodes.Ratio(verified, tested), atMost(1.5))
	ours, err := os.Stat(file)
	if err != nil {
		return err
	}
	other, err := os.Stat(theirs)
	if err != nil {
		return err
	}
	b.results.noted("save", "size of the archive", mib(ours.Size()), "tar | "+name+" -1: "+mib(other.Size()))
	return nil
}

// tarred packs the documents of a node, as somebody without cpctl would.
func tarred(n *nodes.Node, packer, file string) (time.Duration, error) {
	to, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer to.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	tar := exec.Command("tar", "-C", filepath.Join(n.Dir, "data"), "-cf", "-", "tenants", "keys")
	pack := exec.Command(packer, "-1")
	tar.Stdout, tar.Stderr, pack.Stdin, pack.Stdout, pack.Stderr = in, os.Stderr, out, to, os.Stderr
	began := time.Now()
	err = errors.Join(tar.Start(), pack.Start())
	in.Close() // the packer sees the end when tar has ended
	out.Close()
	if err != nil {
		return 0, err
	}
	if err := errors.Join(tar.Wait(), pack.Wait()); err != nil {
		return 0, fmt.Errorf("tar | %s: %w", packer, err)
	}
	return time.Since(began), nil
}
