package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// leastRuns is how often each command is run at least.
const leastRuns = 20

// process is one run of a command, from its start to its end.
type process struct {
	took time.Duration
	most float64 // memory, MB
}

// commands runs the commands that get one document, whole processes in turns: of
// cpctl at the leader's socket, of etcd at the leader's client URL.
func (p plan) commands(r *report, base, etcdctl string, ours *cpctl, theirs *etcd) error {
	ctx, cancel := context.WithTimeout(context.Background(), nodes.Patience)
	defer cancel()
	once := filepath.Join(base, "once-binary")
	if err := build(".", once, "./once"); err != nil {
		return err
	}
	get, err := ours.get(ctx)
	if err != nil {
		return err
	}
	document, err := command(get...).Output()
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(get, " "), err)
	}
	other, err := theirs.get(ctx, etcdctl, document)
	if err != nil {
		return err
	}
	if out, err := command(other...).Output(); err != nil || !bytes.Contains(out, document) {
		return fmt.Errorf("%s: %q, %w", strings.Join(other, " "), out, err)
	}
	var us, them []process
	for range max(p.pairs, leastRuns) {
		for _, one := range []struct {
			command []string
			to      *[]process
		}{{get, &us}, {other, &them}} {
			ran, err := measured(once, one.command)
			if err != nil {
				return err
			}
			*one.to = append(*one.to, ran)
		}
	}
	took := func(p process) float64 { return float64(p.took) }
	most := func(all []process) float64 {
		return slices.MaxFunc(all, func(a, b process) int { return int(a.most*1e6 - b.most*1e6) }).most
	}
	fmt.Fprintln(r.w, "work\truns\tcpctl\tetcdctl\tratio\tgoal\tcpctl memory\tgoal\tetcdctl memory\t")
	fmt.Fprintf(r.w, "%s\t%d\t%s\t%s\t", words["cli"], len(us), ms(median(us, took)), ms(median(them, took)))
	r.ratio(subject{"cli", 0, wall}, ratio(us, them, took))
	fmt.Fprintf(r.w, "%.1fMB\t%s\t%.1fMB\t\n", most(us), r.judge(subject{"cli", 0, memory}, most(us)), most(them))
	return r.w.Flush()
}

// command has nothing of its caller's environment that it could be told by.
func command(words ...string) *exec.Cmd {
	c := exec.Command(words[0], words[1:]...)
	c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "CPCTL_") || strings.HasPrefix(v, "ETCDCTL_") || strings.HasPrefix(v, "XDG_") || strings.HasPrefix(v, "HOME=")
	})
	c.Env = append(c.Env, "HOME=/nonexistent")
	c.Stderr = os.Stderr
	return c
}

// measured runs a command by way of once.
func measured(once string, words []string) (p process, err error) {
	out, err := command(append([]string{once}, words...)...).Output()
	if err != nil {
		return p, fmt.Errorf("%s: %w", strings.Join(words, " "), err)
	}
	var kib float64
	if _, err := fmt.Sscan(string(out), (*int64)(&p.took), &kib); err != nil {
		return p, fmt.Errorf("%s: %q: %w", once, out, err)
	}
	p.most = kib * 1024 / 1e6
	return p, nil
}

// get is the command that shows a tenant.
func (c *cpctl) get(ctx context.Context) ([]string, error) {
	leader, _, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	return []string{c.Binary, "tenant", "get", nodes.Tenant(0), "-o", "json", "--server", leader.Server()}, nil
}

// get is the command that shows a document, which is put there.
func (e *etcd) get(ctx context.Context, etcdctl string, document []byte) ([]string, error) {
	leader, err := e.leader(ctx)
	if err != nil {
		return nil, err
	}
	one, err := e.dial(leader)
	if err != nil {
		return nil, err
	}
	defer one.close()
	name := "tenants/" + nodes.Tenant(0) + "/tenant.json"
	if _, err := one.Put(ctx, name, string(document)); err != nil {
		return nil, err
	}
	return []string{etcdctl, "get", name, "--endpoints", leader, "--cacert", filepath.Join(e.base, "ca.pem"),
		"--cert", filepath.Join(e.base, "cert.pem"), "--key", filepath.Join(e.base, "key.pem")}, nil
}
