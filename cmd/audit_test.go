package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// recordOf writes the log of a node, a line for each second given, and returns
// its directory.
func recordOf(t *testing.T, node string, seconds ...int) string {
	t.Helper()
	at := noon
	dir := filepath.Join(t.TempDir(), "audit")
	l := audit.Open(audit.Options{Dir: dir, Node: node, Now: func() time.Time { return at }})
	for i, s := range seconds {
		at = noon.Add(time.Duration(s-3600) * time.Second)
		l.Record(audit.Event{Actor: "operator/ana", Serial: "0a", Source: "10.0.0.7:4242", RequestID: fmt.Sprint("r", i+1), Type: "client.create",
			Target: "client/acme/" + node, Index: 7, Revision: 3, Result: "denied", Message: "it may not"})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func linesOf(t *testing.T, dir string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// withLogs makes members of a cluster of the logs, by the ids of the nodes; they
// give two lines at a time. What is not there does not answer.
func (w *world) withLogs(logs map[string][]string, ids ...string) {
	w.withMembers(ids...)
	var mu sync.Mutex
	w.audit = func(a rpc.AuditArgs) (*rpc.AuditReply, error) {
		mu.Lock()
		defer mu.Unlock()
		all, there := logs[a.Node]
		switch {
		case !there:
			return &rpc.AuditReply{Page: audit.Page{Next: a.Behind}, Silent: "connection refused"}, nil
		case a.End:
			return &rpc.AuditReply{Page: audit.Page{Next: audit.Cursor{Seq: uint64(len(all))}}}, nil
		}
		r := &rpc.AuditReply{Page: audit.Page{Next: a.Behind}}
		for _, line := range all[a.Behind.Seq:] {
			if len(r.Lines) == 2 {
				r.More = true
				break
			}
			if r.Next.Seq++; !timeOf(line).Before(a.Since) {
				r.Lines = append(r.Lines, line)
			}
		}
		return r, nil
	}
}

func (w *world) withMembers(ids ...string) {
	st := &rpc.ClusterStatus{}
	for _, id := range ids {
		st.Nodes = append(st.Nodes, rpc.NodeStatus{ID: id, Name: strings.Replace(id, "id-", "n", 1)})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = st
}

func TestTheLogsOfAllMembersAreMergedByTime(t *testing.T) {
	one, two := linesOf(t, recordOf(t, "n1", 1, 2, 9, 10, 11)), linesOf(t, recordOf(t, "n2", 3, 4, 5, 12))
	logs := map[string][]string{"id-1": one, "id-2": two}
	w := newWorld()
	w.withLogs(logs, "id-1", "id-2", "id-3")
	r := w.run("audit", "-o", "json")
	want := append(append(append(slices.Clone(one[:2]), two[:3]...), one[2:]...), two[3])
	if r.code != 0 || r.out != strings.Join(want, "\n")+"\n" {
		t.Errorf("exit %d, got\n%s", r.code, r.out)
	}
	if r.err != "the audit log of node \"n3\" is missing here: connection refused\n" {
		t.Errorf("stderr: %q", r.err)
	}
	w.run("audit", "-q").want(t, 0, `TIME                   NODE   ACTOR          TYPE            TARGET           RESULT
2026-02-10T23:00:01Z   n1     operator/ana   client.create   client/acme/n1   denied
2026-02-10T23:00:02Z   n1     operator/ana   client.create   client/acme/n1   denied
2026-02-10T23:00:03Z   n2     operator/ana   client.create   client/acme/n2   denied
2026-02-10T23:00:04Z   n2     operator/ana   client.create   client/acme/n2   denied
2026-02-10T23:00:05Z   n2     operator/ana   client.create   client/acme/n2   denied
2026-02-10T23:00:09Z   n1     operator/ana   client.create   client/acme/n1   denied
2026-02-10T23:00:10Z   n1     operator/ana   client.create   client/acme/n1   denied
2026-02-10T23:00:11Z   n1     operator/ana   client.create   client/acme/n1   denied
2026-02-10T23:00:12Z   n2     operator/ana   client.create   client/acme/n2   denied
`, "")
	w.run("audit", "-q", "-o", "wide", "--no-headers", "--since", "2026-02-10T23:00:12Z").want(t, 0,
		"2026-02-10T23:00:12.000000Z   n2   operator/ana   client.create   client/acme/n2   denied   7   r4   10.0.0.7:4242   0a   it may not\n", "")
	w.run("audit", "-q", "-o", "name", "--since", "3589s").want(t, 0, "client/acme/n1\nclient/acme/n2\n", "")
	w.withLogs(logs, "id-1", "id-2")
	w.run("audit", "--since", "1s").want(t, 0, "", "nothing is on record\n")
	for since, lines := range map[string]int{"0": 9, "0s": 9, "1d": 9, "59m55s": 5} {
		if r := w.run("audit", "--since", since, "-o", "name"); strings.Count(r.out, "\n") != lines {
			t.Errorf("--since %s: got %q, want %d lines", since, r.out, lines)
		}
	}
	w.run("audit", "--since", "soon").want(t, 2, "", "cpctl: \"soon\" is no value of --since\n  it is a duration such as 15m or 7d, or a time such as 2026-01-05T10:00:00Z\n")
	w.run("audit", "--since", "1h", "--verify").want(t, 2, "", "cpctl: --since and --verify exclude each other\n")
	w.audit = func(rpc.AuditArgs) (*rpc.AuditReply, error) {
		return nil, store.Errorf(store.CodeDenied, "operator/ana may not read the audit log")
	}
	w.run("audit").want(t, 7, "", "cpctl: operator/ana may not read the audit log\n")
}

// What is said on stderr is a line each, and names are no empty lines.
func TestNothingOfAnAuditIsSplitOrBlank(t *testing.T) {
	w := newWorld()
	w.withLogs(nil, "id-1", "id-2")
	lines := linesOf(t, recordOf(t, "n1", 1, 2))
	lines[0] = strings.Replace(lines[0], `"client/acme/n1"`, `""`, 1)
	w.audit = func(a rpc.AuditArgs) (*rpc.AuditReply, error) {
		if a.Node == "id-2" {
			return &rpc.AuditReply{Silent: "the connection broke\nread tcp: reset"}, nil
		}
		return &rpc.AuditReply{Page: audit.Page{Lines: lines, Next: audit.Cursor{Seq: 2}}}, nil
	}
	w.run("audit", "-o", "name").want(t, 0, "client/acme/n1\n", "the audit log of node \"n2\" is missing here: the connection broke; read tcp: reset\n")
}

// --follow begins where the logs end, says once who does not answer, and goes on
// with one that answers again from there.
func TestFollowGoesOnUntilItIsInterrupted(t *testing.T) {
	one, two := linesOf(t, recordOf(t, "n1", 1, 2, 3)), linesOf(t, recordOf(t, "n2", 4, 5))
	w := newWorld()
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	w.ctx = ctx
	w.withLogs(map[string][]string{}, "id-1", "id-2")
	var mu sync.Mutex
	step, rounds, shown := 0, 0, false
	w.audit = func(a rpc.AuditArgs) (*rpc.AuditReply, error) {
		mu.Lock()
		defer mu.Unlock()
		r := &rpc.AuditReply{Page: audit.Page{Next: a.Behind}}
		switch {
		case a.Node == "id-2" && step < 2: // not there in the beginning
			step++
			r.Silent = "connection refused"
		case a.End && a.Node == "id-1":
			r.Next.Seq = 2
		case a.End:
			r.Next.Seq = 1
		case a.Node == "id-1" && a.Behind.Seq == 2:
			r.Lines, r.Next.Seq = one[2:], 3
		case a.Node == "id-2" && a.Behind.Seq == 1:
			r.Lines, r.Next.Seq = two[1:], 2
		case a.Node == "id-1" && a.Behind.Seq == 3:
			shown = true // what came before is printed by then, or in a moment
			time.Sleep(time.Millisecond)
		case a.Node == "id-2" && a.Behind.Seq == 2 && shown:
			if rounds++; rounds > 2 {
				interrupt()
			}
		default:
			time.Sleep(time.Millisecond) // as the server would, for longer
		}
		return r, nil
	}
	r := w.run("audit", "--follow", "-o", "json")
	if got := strings.Split(strings.TrimSpace(r.out), "\n"); r.code != 130 || len(got) != 2 || !slices.Contains(got, one[2]) || !slices.Contains(got, two[1]) {
		t.Errorf("exit %d, got\n%s", r.code, r.out)
	}
	if strings.Count(r.err, `node "n2" is missing here`) != 1 {
		t.Errorf("stderr: %q", r.err)
	}
}

// A member that is removed ends its own log only, and one that joins is followed
// from its first line.
func TestFollowGoesOnWhenMembersComeAndGo(t *testing.T) {
	joined := linesOf(t, recordOf(t, "n3", 1, 2))
	w := newWorld()
	ctx, interrupt := context.WithTimeout(context.Background(), 20*time.Second)
	defer interrupt()
	w.ctx = ctx
	w.withLogs(map[string][]string{}, "id-1", "id-2")
	var mu sync.Mutex
	asked, told := 0, new(atomic.Bool)
	w.audit = func(a rpc.AuditArgs) (*rpc.AuditReply, error) {
		mu.Lock()
		defer mu.Unlock()
		r := &rpc.AuditReply{Page: audit.Page{Next: a.Behind}}
		switch {
		case a.Node == "id-2" && !a.End:
			w.withMembers("id-1", "id-3")
			return nil, store.Errorf(store.CodeNotFound, "there is no member with the id %q", a.Node)
		case a.Node == "id-3" && a.Behind.Seq == 0:
			r.Lines, r.Next.Seq = joined, 2
		case a.Node == "id-3":
			if asked++; asked > 2 && told.Load() { // what came before is printed by then
				interrupt()
			}
		}
		return r, nil
	}
	r := w.with(func(e *Env) { e.followLook, e.Err = time.Millisecond, telling{e.Err, told} }, "audit", "--follow", "-o", "json")
	if got := strings.Split(strings.TrimSpace(r.out), "\n"); r.code != 130 || !slices.Equal(got, joined) {
		t.Errorf("exit %d, got\n%s", r.code, r.out)
	}
	if strings.Count(r.err, `node "n2" is no member any more`) != 1 {
		t.Errorf("stderr: %q", r.err)
	}
}

// telling notes that something was written.
type telling struct {
	io.Writer
	told *atomic.Bool
}

func (t telling) Write(b []byte) (int, error) {
	defer t.told.Store(true)
	return t.Writer.Write(b)
}

func TestVerifyTellsWhoseChainIsBroken(t *testing.T) {
	w := newWorld()
	w.withLogs(nil, "id-1", "id-2", "id-3")
	hash := strings.Repeat("ab", 32)
	whole := &rpc.AuditCheckReply{Report: audit.Report{Files: 2, Lines: 40, First: 3, Last: 42, Hash: hash, Recovered: 1}}
	broken := &rpc.AuditCheckReply{Report: audit.Report{Files: 1, Lines: 4, First: 1, Last: 4, Fault: &audit.Fault{File: "audit.jsonl", Line: 5, Problem: "it was changed"}}}
	silent := &rpc.AuditCheckReply{Silent: "connection refused"}
	good := "node/n1 whole: lines 3 to 42 in 2 files, last hash " + hash + "; cut off after a crash 1 time\n"
	w.chains = map[string]*rpc.AuditCheckReply{"id-1": whole, "id-2": silent, "id-3": whole}
	w.run("audit", "--verify").want(t, 10, good+"node/n2 not verified: connection refused\n"+strings.Replace(good, "n1", "n3", 1),
		"cpctl: the audit log of node \"n2\" was not verified\n  see: cpctl cluster status\n")
	w.chains["id-3"] = broken // counts for more
	w.run("audit", "--verify").want(t, 11, good+"node/n2 not verified: connection refused\nnode/n3 broken at audit.jsonl line 5: it was changed\n",
		"cpctl: the audit log of n3 is broken: audit.jsonl line 5: it was changed\n  compare it with lines that were sent elsewhere; what stands before that line is whole\n")
	r := w.run("audit", "--verify", "-o", "json")
	var doc auditReport
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil || doc.Kind != "audit_check" || len(doc.Logs) != 3 || doc.Logs[2].Fault.Line != 5 || doc.Logs[0].Fault != nil {
		t.Errorf("got %v, %s", err, r.out)
	}
}

func TestFilesAreVerifiedWithNoNode(t *testing.T) {
	w := newWorld()
	dir := recordOf(t, "n1", 1, 2, 3)
	for _, at := range []string{dir, filepath.Dir(dir)} { // a copy, a data directory
		if r := w.run("audit", "--verify", "--dir", at); r.code != 0 || !strings.HasPrefix(r.out, dir+" whole: lines 1 to 3 in 1 file, last hash ") {
			t.Errorf("%s: exit %d, %s%s", at, r.code, r.out, r.err)
		}
	}
	file := filepath.Join(dir, "audit.jsonl")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(b, []byte("ana"), []byte("eve"), 2), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.run("audit", "--verify", "--dir", dir); r.code != 11 || !strings.Contains(r.err, "audit.jsonl line 1: it was changed") {
		t.Errorf("exit %d, %s", r.code, r.err)
	}
	empty, hint := t.TempDir(), "\n  --dir is a data directory, or a directory of audit*.jsonl\n"
	w.run("audit", "--verify", "--dir", empty).want(t, 2, "", "cpctl: "+empty+" holds no audit log: neither audit/ nor audit*.jsonl"+hint)
	w.run("audit", "--verify", "--dir", empty+"/none").want(t, 2, "", "cpctl: "+empty+"/none: no such file or directory"+hint)
	w.run("audit", "--dir", dir).want(t, 2, "", "cpctl: --dir goes with --verify\n  the files are lines of JSON: cat, grep and jq show them\n")
	if len(w.dialled) > 0 {
		t.Errorf("a node was asked: %v", w.dialled)
	}
}
