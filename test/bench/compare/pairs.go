package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// build makes a binary of a package that the module in dir knows.
func build(dir, binary, pkg string) error {
	c := exec.Command("go", "build", "-trimpath", "-o", binary, pkg)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// againstEtcd measures what both systems do.
func (p plan) againstEtcd(r *report, base string) error {
	if p.etcd == "" {
		p.etcd = filepath.Join(base, "etcd-binary")
		if err := build("etcd", p.etcd, "go.etcd.io/etcd/server/v3"); err != nil {
			return err
		}
	}
	if p.etcdctl == "" && slices.Contains(p.kinds, "cli") {
		p.etcdctl = filepath.Join(base, "etcdctl-binary")
		if err := build("etcd", p.etcdctl, "go.etcd.io/etcd/etcdctl/v3"); err != nil {
			return err
		}
	}
	ours, err := foundCpctl(filepath.Join(base, "c"), "cpctl")
	if err != nil {
		return fmt.Errorf("cpctl: %w", err)
	}
	defer ours.end()
	theirs, err := foundEtcd(filepath.Join(base, "e"), p.etcd, ours.stored)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer theirs.end()
	if err := head(base, ours, theirs.version); err != nil {
		return err
	}
	if err := p.measure(r, ours, theirs, p.calls()...); err != nil {
		return err
	}
	if !slices.Contains(p.kinds, "cli") {
		return nil
	}
	return p.commands(r, base, p.etcdctl, ours, theirs)
}

// withoutFiles measures what publishing costs a write.
func (p plan) withoutFiles(r *report, base string) error {
	with, err := foundCpctl(filepath.Join(base, "p"), "published")
	if err != nil {
		return fmt.Errorf("cpctl: %w", err)
	}
	defer with.end()
	without, err := foundCpctl(filepath.Join(base, "u"), "unpublished", unpublishedTag)
	if err != nil {
		return fmt.Errorf("cpctl that publishes no files: %w", err)
	}
	defer without.end()
	if err := head(base, with, "a build of its own that publishes no files"); err != nil {
		return err
	}
	return p.measure(r, with, without, "files")
}

// head says who is compared, and where.
func head(base string, ours *cpctl, theirs string) error {
	version, err := ours.version()
	if err != nil {
		return err
	}
	here, err := machine(base)
	if err != nil {
		return err
	}
	fmt.Printf("%s against %s, three nodes each; requests of %d bytes, values of %d; %s\n", version, theirs, len(nodes.Patch(0)), len(ours.stored), here)
	return nil
}
