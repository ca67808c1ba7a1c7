package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// auditReport is the JSON of `audit --verify`.
type auditReport struct {
	FormatVersion string        `json:"format_version"`
	Kind          string        `json:"kind"` // audit_check
	Logs          []auditVerify `json:"logs"`
}

type auditVerify struct {
	Node   string `json:"node"`   // its name, or the directory
	Silent string `json:"silent"` // why it did not answer
	audit.Report
}

// verifyAll has every member follow the chain of its own files.
func (e *Env) verifyAll(ctx context.Context, c auditCluster) error {
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	r := auditReport{Logs: []auditVerify{}}
	p := e.progress(func() string { return "verifying" })
	for _, n := range st.Nodes {
		var reply *rpc.AuditCheckReply
		if reply, err = c.AuditCheck(ctx, rpc.AuditCheckArgs{Node: n.ID}); err != nil {
			break
		}
		r.Logs = append(r.Logs, auditVerify{n.Name, reply.Silent, reply.Report})
	}
	p.stop()
	if err != nil {
		return err
	}
	return e.verified(&r)
}

// verifyDir follows the chain of files that no node has open.
func (e *Env) verifyDir(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, auditDir)); err == nil {
		dir = filepath.Join(dir, auditDir)
	}
	report, err := audit.Verify(dir)
	if errors.Is(err, fs.ErrNotExist) {
		says := fileReason(dir, err)
		if _, err := os.Stat(dir); err == nil {
			says = dir + " holds no audit log: neither audit/ nor audit*.jsonl"
		}
		return usagef("%s", says).WithHint("--dir is a data directory, or a directory of audit*.jsonl")
	}
	if err != nil {
		return err
	}
	return e.verified(&auditReport{Logs: []auditVerify{{dir, "", *report}}})
}

func (e *Env) verified(r *auditReport) error {
	r.FormatVersion, r.Kind = store.FormatVersion, "audit_check"
	var broken, silent error
	for _, l := range r.Logs {
		switch {
		case l.Silent != "":
			silent = store.Errorf(store.CodeUnavailable, "the audit log of node %q was not verified", l.Node).WithHint("see: cpctl cluster status")
		case l.Fault != nil && broken == nil:
			broken = store.Errorf(store.CodeIntegrity, "the audit log of %s is broken: %s line %d: %s", l.Node, l.Fault.File, l.Fault.Line, l.Fault.Problem).
				WithHint("compare it with lines that were sent elsewhere; what stands before that line is whole")
		}
	}
	if err := e.showVerified(r); err != nil {
		return err
	}
	if broken != nil {
		return broken
	}
	return silent
}

func (e *Env) showVerified(r *auditReport) error {
	if e.flags.output == formatJSON || e.flags.output == formatYAML {
		return e.document(r)
	}
	for _, l := range r.Logs {
		text := "whole"
		switch {
		case l.Silent != "":
			text = "not verified: " + oneLine(l.Silent)
		case l.Fault != nil:
			text = fmt.Sprintf("broken at %s line %d: %s", l.Fault.File, l.Fault.Line, l.Fault.Problem)
		case l.Lines > 0:
			text = fmt.Sprintf("whole: lines %d to %d in %s, last hash %s", l.First, l.Last, plural(l.Files, "file"), l.Hash)
		}
		if l.Recovered > 0 {
			text += fmt.Sprintf("; cut off after a crash %s", plural(l.Recovered, "time"))
		}
		if l.Lost > 0 {
			text += fmt.Sprintf("; lines lost %s", plural(l.Lost, "time"))
		}
		if e.flags.output == formatName {
			text = ""
		}
		name := l.Node
		if filepath.Base(name) == name {
			name = "node/" + name
		}
		if text != "" {
			name += " " + text
		}
		if err := e.line(name); err != nil {
			return err
		}
	}
	return nil
}
