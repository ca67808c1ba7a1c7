package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/histories"
	"github.com/cpctl/cpctl/test/live"
)

// runCommands does operations until the part ends, each with a process of its
// own, as scripts do.
func (c *caller) runCommands() {
	defer c.close()
	for c.pause(800 * time.Millisecond) {
		name := c.p.names[c.rng.IntN(len(c.p.names))]
		switch p := c.rng.IntN(10); {
		case p < 3:
			c.get(name)
		case p == 3:
			if a := c.rotate(); a != nil {
				c.command(a, "key", "rotate", "--alg", a.req.Alg)
			}
		default:
			a := c.change(name)
			args := []string{"client", string(a.op.Kind), name}
			switch a.op.Kind {
			case histories.Delete:
				args = append(args, "--yes")
			case histories.Create:
				args = append(args, "--public", "--redirect-uri", "https://"+name+".example/cb")
				fallthrough
			default:
				args = append(args, "--label", histories.Label+"="+a.op.Value)
			}
			c.command(a, args...)
		}
	}
}

// command carries out a write as a process.
func (c *caller) command(a *asked, args ...string) {
	a.req.ID = newID()
	a.op.ID = a.req.ID
	if a.op.If > 0 {
		args = append(args, "--if-revision", fmt.Sprint(a.op.If))
	}
	r, n := c.process(append(args, "--request-id", a.req.ID)...)
	a.op.Node = n.Name
	if r == nil {
		return
	}
	if r.Exit != 0 {
		c.settle(a, nil, failure(r))
		return
	}
	var w live.Written
	if err := json.Unmarshal(r.Stdout, &w); err != nil {
		c.p.wrong("%s: exit 0, and %v\n%s", a.op, err, r.Stdout)
		return
	}
	ans := &mutation.Answer{Outcome: mutation.OutcomeOf(a.req.Op), Index: w.Index, Revision: w.Revision, Replayed: w.Replayed}
	if a.op.Kind != histories.Delete && (!w.Replayed || bytes.Contains(r.Stdout, []byte(`"labels"`))) { // else it has changed since
		ans.Document = r.Stdout
	}
	c.settle(a, ans, nil)
}

// get reads a client as a process. Of the state that it was read from it tells
// nothing.
func (c *caller) get(name string) {
	o := c.p.op(&histories.Op{Client: c.name, Doc: c.p.clientPath(name), Kind: histories.Read})
	r, n := c.process("client", "get", name)
	o.Node, o.Return = n.Name, c.p.m.now()
	if r == nil {
		return
	}
	if r.Exit != 0 {
		err := failure(r)
		o.Why = err.Error()
		if o.Said = saidOf(err); o.Said != histories.NotFound && o.Said != histories.Unavailable {
			c.p.wrong("%s: a read is answered, or is not: %v", o, err)
		}
		return
	}
	var err error
	if o.Found, err = histories.Seen(r.Stdout); err != nil {
		c.p.wrong("%s: exit 0, and %v\n%s", o, err, r.Stdout)
	}
	o.Said = histories.Done
}

// process runs a command against a node.
func (c *caller) process(args ...string) (*live.Result, *live.Node) {
	n := c.node()
	r, err := live.Run(c.p.m.Dir, nil, append(args, "-t", c.p.tenant, "-s", n.Server(), "--timeout", c.patience().String(), "-o", "json", "-q")...)
	if err != nil {
		c.p.wrong("cpctl %v: %v", args, err)
		return nil, n
	}
	return r, n
}

// failure is the error that a command printed. Its exit code has to be that of
// its class.
func failure(r *live.Result) error {
	var said struct {
		Error *store.Error `json:"error"`
	}
	if err := json.Unmarshal([]byte(r.Stderr), &said); err != nil || said.Error == nil {
		return fmt.Errorf("exit %d, and no error that can be read: %v\n%s", r.Exit, err, r.Stderr)
	}
	if want := exitOf[said.Error.Code]; want != r.Exit {
		return fmt.Errorf("exit %d with %s", r.Exit, said.Error.Code)
	}
	return said.Error
}

// exitOf is what scripts rely on.
var exitOf = map[store.Code]int{store.CodeNotFound: 3, store.CodeExists: 4, store.CodeConflict: 5, store.CodeRequestReused: 6,
	store.CodeDenied: 7, store.CodeRefused: 8, store.CodeUnknown: 9, store.CodeUnavailable: 10}
